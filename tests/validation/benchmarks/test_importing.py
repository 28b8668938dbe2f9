"""Published layouts become input folders that are predicted and scored as the challenge's are."""

# ruff: noqa: RUF001 - Chinese has marks of its own
from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip.core.errors import EnvironmentProblem, InputError, MevlipError
from mevlip.flare.ground_truth import read_answered
from mevlip.flare.questions import read_input_folder
from mevlip.tasks import TaskType
from mevlip_validation.benchmarks import importing
from mevlip_validation.benchmarks.base import Unusable, ask, ask_one, benchmarks
from mevlip_validation.benchmarks.importing import import_benchmark
from mevlip_validation.benchmarks.layouts.iu_xray import QUESTION
from mevlip_validation.bootstrap import score_of
from mevlip_validation.matching import Row
from mevlip_validation.metrics import metrics_of
from mevlip_validation.published import BENCHMARK_MEASURES, BENCHMARKS, benchmark_table
from tests.conftest import ROOT, call_mevlip
from tests.validation.benchmarks.small_benchmarks import (
    BUILDERS,
    draw,
    picture,
    slake,
    write_csv,
    write_json,
    write_parquet,
)
from tests.validation.rows import make_row

EXPECTED: dict[str, list[tuple[str, str, str, str]]] = {
    "iu-xray": [
        ("iu_xray", "report_generation", QUESTION, "The heart is of size 4 . No effusion ."),
        ("iu_xray", "report_generation", QUESTION, "The heart is of size 5 . No effusion ."),
    ],
    "omnimedvqa": [
        ("omnimedvqa", "classification", "What is shown? A: Scan one., B: No, it's normal., C: Scan three", "B"),
        ("omnimedvqa", "classification", "What is shown? A: Scan one., B: No, it's normal., C: Scan three", "A"),
    ],
    "path-vqa": [
        ("path_vqa", "classification", "Are the nuclei dark? A: Yes, B: No", "A"),
        ("path_vqa", "report_generation", "What lies in the middle? Answer in a few words.", "a vessel"),
    ],
    "pmc-vqa": [
        ("pmc_vqa", "classification", 'Is the "arrow" red? A: Red, B: Green, dark, C: Blue, D: None', "B"),
        ("pmc_vqa", "classification", "What is plotted? A: Mass, B: Time, C: Heat, D: Dose", "D"),
    ],
    "slake": [
        ("slake_en", "classification", "Does it show a stent? A: Yes, B: No", "B"),
        ("slake_en", "report_generation", "Which organ is bright? Answer in a few words.", "Spleen"),
        ("slake_zh", "classification", "图中有支架吗？ A: 有, B: 没有", "B"),
        ("slake_zh", "report_generation", "哪个器官最亮？ 请用几个词回答。", "脾脏"),
    ],
    "vqa-rad": [
        ("vqa_rad", "classification", "Is a drain in place? A: Yes, B: No", "A"),
        ("vqa_rad", "classification", "Is the shadow left or right? A: left, B: right", "B"),
        ("vqa_rad", "report_generation", "Which plane is it? Answer in a few words.", "axial"),
    ],
}  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a small benchmark of a name."""

    def build(name: str) -> Path:
        root = tmp_path / "source" / name
        root.mkdir(parents=True)
        BUILDERS[name](root)
        return root

    return build


def test_every_benchmark_has_a_small_one_a_published_score_and_a_place_in_the_docs() -> None:
    assert list(benchmarks()) == sorted(BUILDERS, key=lambda name: name.replace("-", "_"))
    assert set(BENCHMARK_MEASURES) == set(BUILDERS)
    page = (ROOT / "docs/benchmarks.md").read_text("utf-8")
    for name, one in benchmarks().items():
        assert f"| `{name}` |" in page and one.title in page
        assert all(len(scores[name]) == len(BENCHMARK_MEASURES[name]) for scores in BENCHMARKS.values())
        for row in benchmark_table(name)[1]:
            assert f"| {' | '.join(row[1:])} |" in page or row[1] in page


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_a_layout_becomes_questions_with_their_ground_truth(
    source: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    done = import_benchmark(name, source(name), tmp_path / "out")
    folder = read_answered(tmp_path / "out")
    assert not folder.problems
    found = [(row.question.folder.name, str(row.task), row.question.text, row.answer) for row in folder.rows]
    assert found == EXPECTED[name] and done.questions.total() == len(found)
    questions = read_input_folder(tmp_path / "out").questions
    assert all(question.record["Answer"] == "" and question.record["Split"] == "test" for question in questions)
    for question in questions:
        assert question.image_names and all((question.folder / image).is_file() for image in question.image_names)
        assert all(image.startswith("imagesTs/") for image in question.image_names)


def test_an_imported_benchmark_is_checked_and_scored_as_it_is(source: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call_mevlip("data", "import", "vqa-rad", source("vqa-rad"), "--out", out)
    assert result.exit_code == 0 and "wrote 3 questions of VQA-RAD" in result.output
    assert "Fleming-VL-8B" in result.stdout and "66.1" in result.stdout and "not reproduced here" in result.stdout
    assert "0 issues" in call_mevlip("data", "check", out, "--quiet").stdout
    answers = ["A", "A", "Axial."]
    rows = [one.record | {"Answer": said} for one, said in zip(read_input_folder(out).questions, answers, strict=True)]
    write_json(tmp_path / "predictions.json", rows)
    result = call_mevlip(
        "score", tmp_path / "predictions.json", "--truth", out, "--json", tmp_path / "scores.json", "--resamples", "20"
    )
    assert result.exit_code == 0, result.output
    scores = {
        (one["task"], one["measure"], one["protocol"]): one["value"]
        for one in json.loads((tmp_path / "scores.json").read_text())["scores"]
    }
    assert scores["classification", "accuracy", "macro"] == 0.5
    assert not any(measure == "accuracy" and protocol != "macro" for _, measure, protocol in scores)
    assert scores["report_generation", "statement F1", "macro"] == 1.0, "letter case and a full stop do not matter"


def test_right_chinese_answers_count_as_statements_though_not_in_rouge(
    source: Callable[[str], Path], tmp_path: Path
) -> None:
    import_benchmark("slake", source("slake"), tmp_path / "out")
    rows = match_all(tmp_path / "out", "slake_zh")
    by_name = {one.name: score_of(one.statistic(rows), len(rows)) for one in metrics_of(TaskType.REPORT).measures[:4]}
    assert by_name["statement F1"] == 1.0 and by_name["ROUGE-L"] == 0.0, "docs/benchmarks.md says so"


def match_all(folder: Path, dataset: str) -> list[Row]:
    """Rows of one data set's free texts, each answered with its truth."""
    found = [row for row in read_answered(folder).rows if row.question.folder.name == dataset]
    return [make_row(TaskType.REPORT, row.answer, row.answer) for row in found if row.task is TaskType.REPORT]


def test_other_splits_are_taken_when_they_are_asked_for(source: Callable[[str], Path], tmp_path: Path) -> None:
    root = source("iu-xray")
    for split, answer, file in (
        ("validation", "", "iu_xray_questions_val.json"),
        ("train", "The heart is of size 0 . No effusion .", "iu_xray_questions_train.json"),
    ):
        import_benchmark("iu-xray", root, tmp_path / split, split)  # type: ignore[arg-type]
        records = json.loads((tmp_path / split / "Xray/iu_xray" / file).read_text())
        assert records[0]["Answer"] == answer
    assert not list((tmp_path / "train").rglob("*withGT*"))
    for name in ("vqa-rad", "pmc-vqa"):
        with pytest.raises(InputError, match="does not hold the validation split of"):
            import_benchmark(name, source(name), tmp_path / "out", "validation")


def test_records_that_cannot_be_asked_are_counted_with_the_reason(
    source: Callable[[str], Path], tmp_path: Path
) -> None:
    done = import_benchmark("omnimedvqa", source("omnimedvqa"), tmp_path / "out")
    assert done.left_out == {"its answer is not exactly one of its options": 1}


def test_the_first_version_of_pmc_vqa_gives_its_answer_by_label_or_text(tmp_path: Path) -> None:
    root = tmp_path / "pmc"
    draw(root / "images/F.jpg")
    header = ("Figure_path", "Question", "Answer", "Choice A", "Choice B", "Choice C", "Choice D", "Answer_label")
    write_csv(
        root / "test.csv",
        header,
        [("F.jpg", "Which?", "cold ", "A:warm", " B:cold", "C:hot", "D:dry", label) for label in ("B", "")],
    )
    import_benchmark("pmc-vqa", root, tmp_path / "out")
    assert [row.answer for row in read_answered(tmp_path / "out").rows] == ["B", "B"]


def test_the_mirrors_give_the_same_questions(tmp_path: Path) -> None:
    rows = [(picture(3), "Is it dark?", "no"), (picture(4), "What is it?", "a fold")]
    for name in ("vqa-rad", "path-vqa"):
        write_parquet(tmp_path / name / "data/test-00000-of-00001.parquet", rows)
        import_benchmark(name, tmp_path / name, tmp_path / f"{name}-out")
        found = read_answered(tmp_path / f"{name}-out").rows
        assert [(row.task, row.answer) for row in found] == [
            (TaskType.CLASSIFICATION, "B"),
            (TaskType.REPORT, "a fold"),
        ]
        [image] = found[0].question.image_names
        assert (found[0].question.folder / image).read_bytes() == picture(3) and image.endswith(".png")


def test_pathvqas_own_tree_is_read_with_json_in_the_pickles_place(tmp_path: Path) -> None:
    root = tmp_path / "pvqa"
    draw(root / "images/test/test_0001.jpg")
    (root / "qas/test").mkdir(parents=True)
    trap = pickle.dumps(_Trap(tmp_path / "sprung"))
    (root / "qas/test/test_qa.pkl").write_bytes(trap)
    with pytest.raises(InputError, match="qas/test/test_qa.pkl is a pickle.* flaviagiammarino/path-vqa"):
        import_benchmark("path-vqa", root, tmp_path / "out")
    assert not (tmp_path / "sprung").exists()
    write_json(root / "qas/test/test_qa.json", [{"image": "test_0001", "question": "Is it thin?", "answer": "no"}])
    import_benchmark("path-vqa", root, tmp_path / "out")
    assert read_input_folder(tmp_path / "out").questions[0].image_names == ("imagesTs/images/test/test_0001.jpg",)


class _Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return Path.write_text, (str(self.path), "")


def spoil(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        slake(root)
        rows = json.loads((root / "test.json").read_text())
        change(rows[1])
        write_json(root / "test.json", rows)

    return write


def outside(root: Path) -> None:
    slake(root)
    link = root / "imgs/xm1/source.jpg"
    link.unlink()
    link.symlink_to(draw(root.parent / "secret.jpg"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (spoil(lambda row: row.pop("question")), r"\[1\]: field 'question' is absent where a text is expected"),
        (spoil(lambda row: row.update(answer=["a"])), r"test.json\[1\]: field 'answer' is \['a'\] where a text"),
        (spoil(lambda row: row.update(answer="")), r"test.json\[1\]: field 'answer' is empty"),
        (spoil(lambda row: row.update(img_name="gone.jpg")), r"'img_name' names 'imgs/gone.jpg', which is not there"),
        (spoil(lambda row: row.update(img_name="../../x.jpg")), r"'img_name' names .* absolute paths and '..'"),
        (outside, r"\[1\]: field 'img_name' names 'imgs/xm1/source.jpg', which is a link that leaves"),
        (lambda root: write_json(root / "test.json", {"a": 1}), "test.json is a dict, not a list of records"),
        (lambda root: write_json(root / "test.json", [3]), r"test.json\[0\] is a int, not a record"),
        (lambda root: (root / "test.json").write_text("[{"), "test.json is not valid JSON"),
        (lambda root: (root / "test.json").symlink_to("/etc/hostname"), "test.json is a link that leaves"),
        (lambda root: None, "does not hold the test split of SLAKE. It should have train.json"),
    ],
)  # fmt: skip
def test_what_is_wrong_names_file_record_and_field(tmp_path: Path, build: Callable[[Path], None], message: str) -> None:
    root = tmp_path / "source"
    root.mkdir()
    build(root)
    with pytest.raises(MevlipError, match=message):
        import_benchmark("slake", root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_broken_parquet_file_or_picture_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "source/data/test-0.parquet"
    write_parquet(path, [(b"no picture", "Is it dark?", "no")])
    with pytest.raises(InputError, match=r"data/test-0.parquet\[0\]: field 'image' holds no readable picture"):
        import_benchmark("path-vqa", tmp_path / "source", tmp_path / "out")
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match="data/test-0.parquet is not a readable Parquet file"):
        import_benchmark("path-vqa", tmp_path / "source", tmp_path / "out")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(EnvironmentProblem, match=r"me-vlip\[benchmarks\]"):
        import_benchmark("path-vqa", tmp_path / "source", tmp_path / "out")


def test_an_unknown_name_a_missing_folder_and_a_used_one_are_refused(
    source: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="'vqa-x' is not a benchmark .* Name one of iu-xray, omnimedvqa"):
        import_benchmark("vqa-x", tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="does not exist"):
        import_benchmark("slake", tmp_path / "none", tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("x")
    with pytest.raises(EnvironmentProblem, match="was not written by this command"):
        import_benchmark("slake", source("slake"), tmp_path / "out")


def test_long_lists_are_written_in_parts_with_a_truth_each(
    source: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_MOST", 2)
    import_benchmark("vqa-rad", source("vqa-rad"), tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").rglob("*questions*"))
    assert names == [f"vqa_rad_questions_test{end}.json" for end in ("", "_2", "_2_withGT", "_withGT")]
    assert [row.answer for row in read_answered(tmp_path / "out").rows] == ["A", "B", "axial"]


def test_pictures_are_linked_and_the_source_stays_as_it_was(source: Callable[[str], Path], tmp_path: Path) -> None:
    root = source("slake")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    import_benchmark("slake", root, tmp_path / "out")
    [copy] = (tmp_path / "out").rglob("slake_en/imagesTs/imgs/xm0/source.jpg")
    assert copy.samefile(root / "imgs/xm0/source.jpg")
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@given(st.lists(st.text(min_size=1, max_size=20), min_size=2, max_size=6), st.data())
def test_whatever_the_options_are_the_letter_names_the_right_one(options: list[str], data: st.DataObject) -> None:
    right = data.draw(st.integers(0, len(options) - 1))
    try:
        task, text, letter = ask_one("Which is it?", options, right)
    except Unusable:
        return
    found = QuestionSpec(text).options
    assert task is TaskType.CLASSIFICATION and len(found) == len(options)
    assert (
        found[letter]
        == " ".join("".join(char for char in options[right] if char.isprintable() or char.isspace()).split()).strip(
            " ,;|"
        )
        or not options[right].isprintable()
    )


def test_ordinary_options_can_always_be_asked() -> None:
    words = ["Grade A: low", "Type B cells", "1. bone", "no (none)"]
    assert ask_one("Which is it?", words, 2)[2] == "C"


@given(st.sampled_from(("yes", "No", "YES.", " no ")))
def test_yes_and_no_become_letters(answer: str) -> None:
    task, text, letter = ask("Is it dark?", answer)
    assert (task, text) == (TaskType.CLASSIFICATION, "Is it dark? A: Yes, B: No")
    assert letter == ("A" if "y" in answer.lower() else "B")


@given(st.text(max_size=40))
def test_any_other_answer_is_free_text_or_refused(answer: str) -> None:
    assume(answer.strip(" .。").casefold() not in ("yes", "no"))
    try:
        task, _, said = ask("What is it?", answer)
    except Unusable:
        return
    assert task in (TaskType.REPORT, TaskType.CLASSIFICATION) and said
