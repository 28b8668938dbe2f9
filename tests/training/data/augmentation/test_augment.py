"""The tree of synthesized rows: right, balanced, repeatable, and never made of validation rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip.core.errors import InputError
from mevlip.flare.questions import read_input_folder
from mevlip.tasks import parse_task_type
from mevlip_training.data.audit import check_folder
from mevlip_training.data.augmentation.augment import AMBIGUOUS, FIELD, UNBALANCED, Augmented, Choices, augment
from mevlip_training.data.prepare import Choices as Prepare
from mevlip_training.data.prepare import prepare
from mevlip_training.data.records import read_examples
from mevlip_validation.targets import write_target
from tests.conftest import call_mevlip
from tests.training.data.conftest import boxes, measure, row

Flare = Callable[..., Path]
FOUR = "What is it? A: Cyst, B: Lump, C: Gland, D: Scar"
FIVE = "What is on it? Select all that apply: Cyst; Lump; Gland; Scar; Clip."


def several(flare: Flare, count: int = 8) -> Path:
    """Rows of every task, each of an image of its own; images are 40 by 32 pixels."""

    def image(base: int, number: int) -> str:
        return f"imagesTr/{base + number}.png"

    places = ([2, 2, 8, 8], [16, 2, 22, 8], [30, 24, 38, 30], [2, 24, 8, 30])
    flare(*(row("ABCD"[n % 4], image(100, n), question=FOUR) for n in range(count)), place="Xray/letters")
    flare(
        *(
            row(
                "; ".join(("Cyst", "Lump", "Clip")[: 1 + n % 3]),
                image(200, n),
                question=FIVE,
                TaskType="multi-label classification",
            )
            for n in range(count)
        ),
        place="Xray/labels",
    )
    flare(
        *(
            boxes([places[n % 4]], image(300, n), question="Box [x_min, y_min, x_max, y_max] around the node.")
            for n in range(count)
        ),
        place="Ultrasound/nodes",
    )
    flare(*(measure(str(10 + n), image(400, n)) for n in range(count)), place="Ultrasound/angles")
    return flare(
        *(
            row(f"Finding {n}.", image(500, n), question="Describe the bones.", TaskType="report_generation")
            for n in range(count)
        ),
        place="Xray/reports",
    )


def run(root: Path, out: Path, **choices: Any) -> Augmented:
    return augment(root, out, Choices(**choices), quiet=True)


def new_records(out: Path) -> list[dict[str, Any]]:
    files = sorted(out.rglob("*_questions_train_*.json"))
    return [record for file in files for record in json.loads(file.read_text("utf-8"))]


def content(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_every_new_row_can_be_taught_and_passes_the_checks(flare: Flare, tmp_path: Path) -> None:
    done = run(several(flare), tmp_path / "out")
    found = check_folder(tmp_path / "out", quiet=True)
    assert not found.issues and not found.problems
    assert found.questions == done.originals + done.written.total() == 40 + len(new_records(tmp_path / "out"))
    assert {kind for kind, _ in done.written} == {"chinese", "choice", "place", "report", "shuffle"}
    for example in read_examples(tmp_path / "out").rows:
        spec = QuestionSpec(example.question.text, (40, 32), "pixel")
        target = write_target(example.task, example.answer, spec)
        if spec.options:
            texts = [*spec.options.values()]
            assert target in spec.options and len(set(texts)) == len(texts)


def test_a_new_row_says_where_it_is_from_and_nothing_else_reads_that(flare: Flare, tmp_path: Path) -> None:
    root = several(flare)
    run(root, tmp_path / "out", kinds=["shuffle"])
    sources = {row.id: row for row in read_examples(root).rows}
    for record in new_records(tmp_path / "out"):
        origin = sources[record[FIELD]["from"]]
        assert record[FIELD]["kind"] == "shuffle" and record["ImageName"] == origin.question.record["ImageName"]
        before, after = QuestionSpec(origin.question.text).options, QuestionSpec(record["Question"]).options
        assert after[record["Answer"]] == before[origin.answer], "the letter follows its text"
    rows = prepare(tmp_path / "out", tmp_path / "data", Prepare(), quiet=True).rows
    assert sum(count for (_, dataset), count in rows.items() if dataset == "letters") == 16
    assert "Augmented" not in (tmp_path / "data/classification.jsonl").read_text("utf-8")
    assert len(read_input_folder(tmp_path / "out").questions) == 48


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), share=st.sampled_from((0.3, 0.6, 1.0)))
def test_right_options_stand_in_every_place_equally_often_but_for_one(
    flare: Flare, tmp_path: Path, seed: int, share: float
) -> None:
    run(several(flare), tmp_path / "out", seed=seed, share=share, kinds=["choice", "shuffle", "place"])
    places: dict[tuple[str, int], Counter[int]] = {}
    for file in (tmp_path / "out").rglob("*_questions_train_*.json"):
        for record in json.loads(file.read_text("utf-8")):
            options = QuestionSpec(record["Question"]).options
            key = file.parent.name, len(options)
            places.setdefault(key, Counter())[[*options].index(record["Answer"])] += 1
    assert places
    for (_, options), counts in places.items():
        found = [counts[place] for place in range(options)]
        assert max(found) - min(found) <= 1


def test_equal_seeds_write_equal_bytes_and_others_another_order(flare: Flare, tmp_path: Path) -> None:
    root = several(flare)
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        run(root, tmp_path / name, seed=seed)
    assert content(tmp_path / "one") == content(tmp_path / "again")
    one, other = new_records(tmp_path / "one"), new_records(tmp_path / "other")
    assert [record["Question"] for record in one] != [record["Question"] for record in other]


def test_a_one_sided_two_option_data_set_gives_as_many_of_either_side(flare: Flare, tmp_path: Path) -> None:
    rows = (row("B" if n == 7 else "A", f"imagesTr/{n}.png") for n in range(10))
    done = run(flare(*rows), tmp_path / "out", kinds=["shuffle"])
    letters = Counter(record["Answer"] for record in new_records(tmp_path / "out"))
    assert abs(letters["A"] - letters["B"]) <= 1 and letters.total() in (2, 3)
    assert done.passed_over["shuffle", UNBALANCED] == 10 - letters.total()


def test_rows_about_the_same_with_other_answers_are_passed_over(flare: Flare, tmp_path: Path) -> None:
    around = "Box [x_min, y_min, x_max, y_max] around the node."
    corners = "Find the node and give its box [x_min, y_min, x_max, y_max]."
    root = flare(
        boxes([[2, 2, 8, 8]], question=around), boxes([[30, 24, 38, 30]], question=corners),
        boxes([[2, 2, 8, 8]], "imagesTr/2.png", question=around),
    )  # fmt: skip
    done = run(root, tmp_path / "out", kinds=["place"])
    assert done.written == {("place", "dental"): 1} and done.passed_over == {("place", AMBIGUOUS): 2}


def test_rows_of_other_splits_are_counted_and_never_used(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("A", "imagesTr/1.png", question=FOUR))
    for split in ("validation", "validation-public", "validation-hidden", "testing"):
        flare(row("B", f"imagesTr/{len(split)}.png", question=FOUR, Split="train"), split=split)
    done = run(root, tmp_path / "out")
    assert (done.originals, done.other_splits) == (1, 4)
    assert {path.name for path in (tmp_path / "out").rglob("*.png")} == {"1.png"}
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["training"]


@pytest.mark.parametrize("split", ["validation", "validation_public", "validation-hidden", "testing"])
def test_a_split_that_is_not_for_training_is_refused(flare: Flare, tmp_path: Path, split: str) -> None:
    root = flare(row("A", question=FOUR, Split="train"), split=split)
    for named in (root, root / split):
        with pytest.raises(InputError, match="holds no training rows, but"):
            run(named, tmp_path / "out")
    with pytest.raises(InputError, match="but unknown"):
        run(flare(row("A", question=FOUR, Split=""), split="elsewhere", place="a/b") / "elsewhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_training_row_whose_image_is_in_another_split_is_left_out(flare: Flare, tmp_path: Path) -> None:
    root = flare(row("A", question=FOUR), row("B", "imagesTr/2.png", question=FOUR))
    flare(row("C", question=FOUR), split="validation-public")
    done = run(root, tmp_path / "out")
    assert done.left_out == {"image shared by splits": 1} and done.originals == 1


def test_the_originals_may_be_left_out(flare: Flare, tmp_path: Path) -> None:
    done = run(several(flare), tmp_path / "out", only_new=True, kinds=["shuffle"])
    assert len(read_examples(tmp_path / "out").rows) == done.written.total() == 8
    assert {path.parent.parent.name for path in (tmp_path / "out").rglob("*.png")} == {"letters"}


def test_an_unknown_kind_or_nothing_to_make_is_refused(flare: Flare, tmp_path: Path) -> None:
    root = flare(measure("12"))
    with pytest.raises(InputError, match="'mirror' is not a kind of synthesized row. Name one of chinese, choice"):
        run(root, tmp_path / "out", kinds=["mirror"])
    with pytest.raises(InputError, match="Nothing can be made of the rows below"):
        run(root, tmp_path / "out", kinds=["place"])
    assert not (tmp_path / "out").exists()


def test_the_command_shows_what_was_written(flare: Flare, tmp_path: Path) -> None:
    root = several(flare)
    result = call_mevlip(
        "data", "augment", root, "--out", tmp_path / "out", "--kind", "shuffle", "--kind", "place", "--share", "0.5"
    )
    assert result.exit_code == 0, result.output
    assert "shuffle  letters      4" in result.stdout and "new rows beside 40 originals" in result.stdout
    assert all(parse_task_type(one["TaskType"]) for one in new_records(tmp_path / "out"))
