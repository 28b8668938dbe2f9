"""Anybody's predictions: what their answers mean, who reads them so, and the form that all evaluators read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.core.text import answer_fault
from mevlip.flare.questions import InputFolder, Question, read_input_folder
from mevlip.tasks import TASKS, TaskType, parse_task_type
from mevlip_validation.bootstrap import score_of
from mevlip_validation.conventions import OTHER_FORM, Convention, Formatted, conventions, read_file
from mevlip_validation.matching import match, read_records, read_truth
from tests.conftest import EXAMPLES, call_mevlip, record, run_mevlip
from tests.validation.rows import QUESTIONS, scoring_of

DET, COUNT = TaskType.DETECTION, TaskType.COUNTING
FLAT = "[10, 20, 30, 40]"


def folder_of(*records: dict[str, Any]) -> InputFolder:
    questions = tuple(Question(n, "f.json", n, one, Path()) for n, one in enumerate(records))
    return InputFolder(Path(), questions, ())


def declared(questions: Sequence[Question]) -> list[TaskType]:
    return [question.declared for question in questions if question.declared]


def asked(task: TaskType, image: str = "a.png") -> dict[str, Any]:
    return record(QUESTIONS.get(task, "How much?"), image, TaskType=task.value)


def read_one(task: TaskType, value: Any) -> Formatted:
    question = asked(task)
    return read_file([{**question, "Answer": value}], folder_of(question), declared)


def by_evaluator(found: Formatted) -> dict[str, Convention]:
    return {one.evaluator: one for one in conventions(found.readings)}


@pytest.mark.parametrize(
    ("task", "value", "text", "readers"),
    [
        (DET, FLAT, f"[{FLAT}]", {"flare26", "qwen25", "qwen3"}),
        (DET, [10, 20, 30, 40], f"[{FLAT}]", {"flare26", "qwen25", "qwen3"}),
        (DET, '{"bbox": [10.2, 20.1, 30, 40]}', f"[{FLAT}]", {"flare26", "qwen3"}),
        (COUNT, "There are 12 cells.", "12", {"flare26", "qwen25", "qwen3"}),
        (COUNT, 12, "12", {"flare25", "flare26", "qwen25", "qwen3"}),
        (TaskType.CLASSIFICATION, "The answer is B.", "B", {"qwen25"}),
        (TaskType.CLASSIFICATION, "b", "B", {"flare25", "flare26", "qwen3"}),
        (TaskType.MULTI_LABEL, "dental caries.", "Dental Caries", set()),
        (TaskType.INSTANCE_DETECTION, f'{{"X": {FLAT}}}', f'{{"X": [{FLAT}]}}', {"flare26"}),
        (TaskType.REPORT, "All\nis well.", "All is well.", {"flare25", "flare26", "qwen25", "qwen3"}),
    ],
)
def test_an_answer_is_rewritten_and_every_evaluators_reading_named(
    task: TaskType, value: Any, text: str, readers: set[str]
) -> None:
    found = read_one(task, value)
    assert [row["Answer"] for row in found.rows()] == [text]
    each = by_evaluator(found)
    assert {name for name, one in each.items() if one.as_given} == readers
    for name, one in each.items():
        if name not in readers and one.as_formatted:
            assert one.reasons == {OTHER_FORM: (1, "f.json[0]")}


def test_flat_boxes_score_nothing_in_2025_and_all_once_rewritten() -> None:
    truths = [one for one in read_truth(EXAMPLES) if parse_task_type(one.record["TaskType"]) is DET]
    folder = read_input_folder(EXAMPLES)
    flat = [{**one.record, "Answer": json.dumps(json.loads(one.record["Answer"])[0])} for one in truths]
    mine = InputFolder(folder.root, tuple(one for one in folder.questions if one.declared is DET), ())
    formatted = read_file(flat, mine, declared)
    before, after = (
        score_of(scoring_of(DET, "flare25").statistic(match(truths, rows).rows), len(truths))
        for rows in (flat, formatted.rows())
    )
    assert before == 0
    assert after > 0.8
    each = by_evaluator(formatted)
    assert (each["flare25"].as_given, each["flare25"].as_formatted) == (0, len(truths))
    assert each["flare26"].as_given == len(truths)


def test_what_means_nothing_becomes_a_fallback_and_is_no_reading() -> None:
    found = read_one(COUNT, "many")
    [one] = found.readings
    assert (one.parsed.stage, one.meaning) == ("fallback", None)
    assert found.rows()[0]["Answer"] == TASKS[COUNT].fallback
    assert conventions(found.readings) == []


def test_rows_come_in_the_order_of_the_input_and_what_does_not_match_is_counted() -> None:
    one, two, three = asked(COUNT, "a.png"), asked(COUNT, "b.png"), asked(COUNT, "c.png")
    theirs = [
        {**two, "Answer": "2"},
        {**one, "Answer": "1"},
        {**one, "Answer": "5"},
        {**three, "ImageName": "imagesTs/c.png", "Answer": "3"},
    ]
    found = read_file(theirs, folder_of(one, two, three), declared)
    assert [row["Answer"] for row in found.rows()] == ["1", "2", TASKS[COUNT].fallback]
    assert (found.missing, found.surplus) == (1, 2)
    assert found.hints == ("1 of them differ only in the folders of ImageName",)


def test_boxes_are_kept_inside_the_image_where_its_size_is_known() -> None:
    question = asked(DET)
    theirs = [{**question, "Answer": "[[-5, 20, 300, 40]]"}]
    assert read_file(theirs, folder_of(question), declared).rows()[0]["Answer"] != "[[0, 20, 100, 40]]"
    sized = read_file(theirs, folder_of(question), declared, lambda _: (100, 50))
    assert sized.rows()[0]["Answer"] == "[[0, 20, 100, 40]]"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(list(TASKS)), values)
def test_any_answer_becomes_a_legal_one(task: TaskType, value: Any) -> None:
    found = read_one(task, value)
    assert answer_fault(found.rows()[0]["Answer"]) is None
    for one in conventions(found.readings):
        assert 0 <= one.as_given <= one.answers == 1


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    files = sorted(EXAMPLES.rglob("*_withGT.json"))
    rows = [row for file in files for row in json.loads(file.read_text())]
    for row in rows:
        if parse_task_type(row["TaskType"]) is DET:
            row["Answer"] = json.dumps(json.loads(row["Answer"])[0])
    (tmp_path / "theirs.json").write_text(json.dumps(rows[::-1]))
    return tmp_path / "theirs.json"


def test_the_command_writes_a_file_that_passes_the_check(theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out/ours.json"
    out.parent.mkdir()
    done = call_mevlip("predictions", "format", theirs, "--input", EXAMPLES, "--out", out)
    assert done.exit_code == 0, done.stderr
    [flare25] = [line for line in done.stdout.splitlines() if line.startswith("flare25") and "  Detection" in line]
    assert flare25.split()[2:5] == ["6", "0", "6"] and flare25.endswith(OTHER_FORM)
    checked = call_mevlip("predictions", "check", out, "--input", EXAMPLES)
    assert checked.exit_code == 0 and "valid and complete" in checked.stdout
    assert not [line for line in checked.stdout.splitlines() if "  Detection" in line and "flare25" in line]
    assert len(read_records(out)) == len(read_records(theirs))


def test_the_check_says_which_valid_answers_are_not_read_as_meant(theirs: Path) -> None:
    rows = read_records(theirs)[::-1]
    theirs.write_text(json.dumps(rows))
    done = call_mevlip("predictions", "check", theirs, "--input", EXAMPLES)
    assert done.exit_code == 0, done.stderr
    assert [line.split()[2:5] for line in done.stdout.splitlines() if line.startswith("flare25    Detection")] == [
        ["6", "0", "6"]
    ]


def test_wrong_use_is_named(theirs: Path, tmp_path: Path) -> None:
    done = run_mevlip("predictions", "format", theirs, "--input", EXAMPLES, "--out", theirs)
    assert done.returncode == 2 and "would be lost" in done.stderr
    foreign = tmp_path / "in"
    foreign.mkdir()
    (foreign / "x_questions_val.json").write_text(json.dumps([record("Another?")]))
    done = run_mevlip("predictions", "format", theirs, "--input", foreign, "--out", tmp_path / "o.json")
    assert done.returncode == 6 and "answers no question of" in done.stderr
    assert not (tmp_path / "o.json").exists()


@pytest.mark.usefixtures("loaded_once")
def test_questions_without_a_task_are_routed(tmp_path: Path) -> None:
    (tmp_path / "x_questions_val.json").write_text(json.dumps([record("How many cells are there?", TaskType="")]))
    (tmp_path / "p.json").write_text(json.dumps([record("How many cells are there?", TaskType="", Answer="12 cells")]))
    done = call_mevlip("predictions", "format", tmp_path / "p.json", "--input", tmp_path, "--out", tmp_path / "o.json")
    assert done.exit_code == 0, done.stderr
    assert [row["Answer"] for row in read_records(tmp_path / "o.json")] == ["12"]
    done = call_mevlip("predictions", "check", tmp_path / "o.json", "--input", tmp_path)
    assert done.exit_code == 0 and "1 questions do not say their TaskType" in done.stdout
