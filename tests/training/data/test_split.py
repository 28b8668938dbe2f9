from __future__ import annotations

import json
import random
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.core.errors import InputError
from mevlip.flare.questions import read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.tasks import TaskType
from mevlip_training.data.records import read_examples
from mevlip_training.data.split import hold_out, split
from tests.training.data.conftest import boxes, copy_smaller, measure, row, scene

Flare = Callable[..., Path]
TASK = TaskType.CLASSIFICATION

rows_of_groups = st.lists(
    st.tuples(st.sampled_from("ab"), st.frozensets(st.integers(0, 30).map(str), min_size=1, max_size=3)), max_size=60
)


@given(rows_of_groups, st.floats(0.05, 0.95), st.integers(0, 5))
def test_rows_with_a_common_image_are_never_parted(
    rows: list[tuple[str, frozenset[str]]], share: float, seed: int
) -> None:
    keys = [own for _, own in rows]
    chosen = hold_out([(dataset, TASK) for dataset, _ in rows], keys, share, seed)
    held = {key for index in chosen for key in keys[index]}
    assert all((index in chosen) == bool(own & held) for index, own in enumerate(keys))


@given(st.integers(1, 80), st.integers(1, 80), st.floats(0.05, 0.95), st.integers(0, 5))
def test_every_stratum_gives_its_share_to_within_half_a_row(first: int, second: int, share: float, seed: int) -> None:
    strata = [("a", TASK)] * first + [("b", TASK)] * second
    keys = [frozenset({str(index)}) for index in range(len(strata))]
    given = Counter(strata[index] for index in hold_out(strata, keys, share, seed))
    for stratum, size in Counter(strata).items():
        assert abs(given[stratum] - share * size) <= 0.5 + 1e-9


@given(rows_of_groups, st.randoms())
def test_the_choice_does_not_depend_on_the_order(rows: list[tuple[str, frozenset[str]]], rng: random.Random) -> None:
    def chosen(ordered: list[tuple[str, frozenset[str]]]) -> Counter[tuple[str, frozenset[str]]]:
        held = hold_out([(dataset, TASK) for dataset, _ in ordered], [own for _, own in ordered], 0.3, 7)
        return Counter(ordered[index] for index in held)

    assert chosen(rows) == chosen(rng.sample(rows, len(rows)))


@pytest.mark.parametrize("seed", range(20))
def test_strata_that_share_images_both_get_their_share(seed: int) -> None:
    keys = [frozenset({str(index)}) for index in range(100)]
    strata = [("cls", TASK)] * 100 + [("det", TaskType.DETECTION)] * 80
    given = Counter(strata[index][0] for index in hold_out(strata, keys + keys[:80], 0.1, seed))
    assert given == {"cls": 10, "det": 8}


def tree(flare: Flare) -> Path:
    flare(*(row("A", image=f"imagesTr/{n}.png") for n in range(20)), place="Xray/dental")
    flare(*(boxes([[1, 2, 3, 4]], image=f"imagesTr/{n + 10}.png") for n in range(20)), place="Ultrasound/scan")
    return flare(
        *(row("B", image=[f"imagesTr/{n + 100}.png", f"imagesTr/{n + 101}.png"]) for n in range(0, 20, 2)),
        place="Clinical/baby",
    )


def hashes(root: Path) -> set[str]:
    examples = read_examples(root)
    with ImageStore(examples.root) as store:
        return {store.facts(one.question, name).sha256 for one in examples.rows for name in one.question.image_names}


def test_the_parts_are_whole_trees_without_a_common_image(flare: Flare, tmp_path: Path) -> None:
    report = split(tree(flare), tmp_path / "out", share=0.2, quiet=True)
    training, validation = tmp_path / "out" / "training", tmp_path / "out" / "validation"
    assert not hashes(training) & hashes(validation)
    assert len(hashes(training)) + len(hashes(validation)) == 50
    assert sum(report.validation.values()) == 10 and report.left_out == {}
    assert {one.split for one in read_examples(tmp_path / "out").rows} == {"training", "validation"}
    assert (training / "Xray/dental/dental_questions_train.json").is_file()
    asked = read_input_folder(validation).questions
    assert {one.record["Answer"] for one in asked} == {""}
    assert {one.file for one in asked} == {f"{p}/{p.split('/')[1]}_questions_val.json" for p in (
        "Xray/dental", "Ultrasound/scan", "Clinical/baby",
    )}  # fmt: skip
    assert "" not in {str(one.answer) for one in read_examples(validation).rows}


def test_the_same_seed_gives_the_same_parts_and_another_one_others(flare: Flare, tmp_path: Path) -> None:
    root = tree(flare)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        split(root, tmp_path / name, share=0.2, seed=seed, quiet=True)
    a, b, c = (hashes(tmp_path / name / "validation") for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_and_its_smaller_copy_are_never_parted(flare: Flare, tmp_path: Path, seed: int) -> None:
    root = flare(*(row("AB"[n % 2], image=f"imagesTr/{n}.png") for n in range(8)))
    images = root / "training/Xray/dental/imagesTr"
    for n in range(4):
        scene(images / f"{n}.png", n)
        copy_smaller(images / f"{n}.png", images / f"{n + 4}.png")
    split(root, tmp_path / "out", share=0.5, seed=seed, quiet=True)
    parts = [{path.stem for path in (tmp_path / "out" / one).rglob("*.png")} for one in ("training", "validation")]
    assert [len(part) for part in parts] == [4, 4]
    assert all({str(n), str(n + 4)} <= parts[0] or {str(n), str(n + 4)} <= parts[1] for n in range(4))


def test_archived_images_are_taken_out(flare: Flare, tmp_path: Path) -> None:
    root = flare(*(measure("1.0", image=f"imagesTr/{n}.png") for n in range(10)))
    folder = root / "training/Xray/dental"
    with zipfile.ZipFile(folder / "imagesTr.zip", "w") as archive:
        for path in sorted((folder / "imagesTr").iterdir()):
            archive.write(path, path.name)
            path.unlink()
    split(root, tmp_path / "out", quiet=True)
    images = list((tmp_path / "out").rglob("imagesTr/*.png"))
    assert len(images) == 10
    (tmp_path / "own").touch()
    assert {path.stat().st_mode for path in images} == {(tmp_path / "own").stat().st_mode}, "as open as any new file"


def test_what_the_audit_condemns_is_in_neither_part_and_named(flare: Flare, tmp_path: Path) -> None:
    sound = [measure(f"{80 + n}.5", image=f"imagesTr/{n}.png", question="What is the ABR%?") for n in range(10)]
    root = flare(
        *sound,
        measure("2085.53", image="imagesTr/20.png", question="What is the ABR%?"),
        measure("12.0", image="imagesTr/21.png", question="What is the ABR%?"),
        row("T", image="imagesTr/22.png"),
        row("T", image="imagesTr/23.png"),
    )
    (root / "training/Xray/dental/imagesTr/21.png").unlink()
    report = split(root, tmp_path / "out", share=0.5, quiet=True)
    file = "training/Xray/dental/dental_questions_train.json"
    condemned = {
        "answer that is not an option": [f"{file}[12]", f"{file}[13]"],
        "measurement out of range": [f"{file}[10]"],
        "missing or unreadable image": [f"{file}[11]"],
    }
    assert report.left_out == condemned
    summary = json.loads((tmp_path / "out" / "split.json").read_text())
    assert summary == {"share": 0.5, "seed": 2025, "training": 5, "validation": 5, "left_out": condemned}
    kept = read_examples(tmp_path / "out").rows
    assert sorted(one.answer for one in kept) == sorted(one["Answer"] for one in sound)


def test_a_row_with_a_degenerate_box_among_others_is_kept_as_found(flare: Flare, tmp_path: Path) -> None:
    answer = [[1, 2, 3, 4], [5, 5, 5, 5]]
    report = split(flare(boxes(answer), boxes([[7, 7, 7, 7]], "imagesTr/2.png")), tmp_path / "out", 0.1, quiet=True)
    assert [one.answer for one in read_examples(tmp_path / "out").rows] == [answer]
    assert list(report.left_out) == ["box without area"]


def test_nothing_to_split_is_an_error_with_its_causes(flare: Flare, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 x answer that is not an option"):
        split(flare(row("T")), tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_data_sets_of_one_name_are_refused(flare: Flare, tmp_path: Path) -> None:
    flare(row("A"), split="training/one")
    with pytest.raises(InputError, match="both become Xray/dental"):
        split(flare(row("A"), split="training/two"), tmp_path / "out", quiet=True)
