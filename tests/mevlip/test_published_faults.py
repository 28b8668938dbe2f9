"""The faults of published submissions, one by one, with the outcome they should have had.

Numbers are those of the list of faults in docs/answers.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mevlip.answers import QuestionSpec
from mevlip.core.errors import ModelFailure
from mevlip.inference.completion import OutOfMemory
from mevlip.reading import read_answer
from mevlip.runs.journal import journals
from mevlip.runs.report import RunReport
from mevlip.tasks import TASKS, TaskType, parse_task_type
from tests.conftest import FakeModel, answer_folder, record

Write = Callable[..., Path]
CELLS = "How many cells lie in this field?"

LUMPS = QuestionSpec("Question: Which is it? Options: A) Soft lump B) Hard lump C) None", (400, 300))
TEETH = QuestionSpec("Choose all that apply, with semicolons: Decay Spot; Root Shadow; Filling, Crown, and Repair.")
WHERE = QuestionSpec("Return [x_min, y_min, x_max, y_max] of the lump, nested for several.", (400, 300))
CLS, MULTI, DET = TaskType.CLASSIFICATION, TaskType.MULTI_LABEL, TaskType.DETECTION
INST, COUNT, REG, REPORT = TaskType.INSTANCE_DETECTION, TaskType.COUNTING, TaskType.REGRESSION, TaskType.REPORT


def answered(root: Path, output: Path, answer: Callable[[str, str], str], **options: Any) -> RunReport:
    return answer_folder(root, output, FakeModel(answer), **options)


@pytest.mark.parametrize(
    ("task", "spec", "text", "answer"),
    [
        # 1: everything before the first line break was dropped.
        (CLS, LUMPS, "B\nBecause of its border", "B"),
        (MULTI, TEETH, "Decay Spot\nRoot Shadow", "Decay Spot; Root Shadow"),
        (COUNT, LUMPS, "12\ncells", "12"),
        (DET, WHERE, "[\n [1, 2, 30, 40]\n]", "[[1, 2, 30, 40]]"),
        (INST, WHERE, '{\n "1": [\n  [1, 2, 30, 40]\n ]\n}', '{"1": [[1, 2, 30, 40]]}'),
        (REPORT, LUMPS, "The heart is wide.\nNo fluid.", "The heart is wide. No fluid."),
        # 2: no letter was taken out of a longer text.
        (CLS, LUMPS, "B. Hard lump", "B"),
        (CLS, LUMPS, "B:", "B"),
        (CLS, LUMPS, "Answer: B", "B"),
        # 4: numbers ended at their comma or exponent, no number was a confident zero.
        (COUNT, LUMPS, "1,234", "1234"),
        (COUNT, LUMPS, "1e3", "1000"),
        (COUNT, LUMPS, "no idea of the number", TASKS[COUNT].fallback),
        (COUNT, LUMPS, "many", TASKS[COUNT].fallback),
        # 16: boxes were neither clipped nor ordered.
        (DET, WHERE, "[[390, 20, 30, 900]]", "[[30, 20, 390, 300]]"),
        # 17: a sentence that begins with an article became its letter.
        (CLS, LUMPS, "A hard lump", "B"),
        # 18: boxes were joined by semicolons or left flat.
        (DET, WHERE, "[1, 2, 30, 40]; [5, 6, 70, 80]", "[[1, 2, 30, 40], [5, 6, 70, 80]]"),
        (DET, WHERE, "[194, 67, 283, 126]", "[[194, 67, 283, 126]]"),
        (INST, WHERE, '{"1": [1, 2, 30, 40]}', '{"1": [[1, 2, 30, 40]]}'),
        # 20: a huge digit string became the answer.
        (COUNT, LUMPS, "2.47e253", TASKS[COUNT].fallback),
        (COUNT, LUMPS, "2" * 254, TASKS[COUNT].fallback),
        (REG, LUMPS, "2" * 254, TASKS[REG].fallback),
    ],
)
def test_texts_that_were_misread(task: TaskType, spec: QuestionSpec, text: str, answer: str) -> None:
    assert read_answer(task, text, spec).text == answer


@pytest.mark.model
def test_3_the_routed_task_decides_how_an_answer_is_read(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record(CELLS, TaskType=""), record(CELLS, TaskType="Classification")])
    report = answered(root, tmp_path / "out", lambda adapter, text: "12 cells")
    assert [(result.task, result.text) for result in report.answers] == [(COUNT, "12")] * 2


@pytest.mark.model
def test_5_the_router_reads_each_distinct_question_once(write_questions: Write, tmp_path: Path) -> None:
    report = answered(write_questions([record(CELLS)] * 40), tmp_path / "out", lambda adapter, text: "12")
    assert report.counters.router_forwards == 1


@pytest.mark.model
def test_6_and_15_every_view_of_a_question_is_shown(write_questions: Write, tmp_path: Path) -> None:
    views = ["imagesVal/a-1.png", "imagesVal/a-2.png", "imagesVal/a-3.png"]
    report = answered(write_questions([record(CELLS, image=views)]), tmp_path / "out", lambda adapter, text: "12")
    assert report.counters.pictures_decoded == 3
    assert report.answers[0].text == "12"
    assert json.loads(report.predictions.read_bytes())[0]["ImageName"] == views, "a list stays a list"


def test_10_the_budget_holds_a_full_set_of_chromosomes() -> None:
    # 46 boxes at 23.4 tokens each, as counted on a published model's output.
    assert TASKS[INST].max_new_tokens > 46 * 23.4


@pytest.mark.model
def test_11_an_error_is_never_an_answer(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record(CELLS, image="imagesVal/gone.png"), record(CELLS)])
    (root / "Xray/set/imagesVal/gone.png").unlink()

    def breaks(error: type[Exception]) -> Callable[[str, str], str]:
        def answer(adapter: str, text: str) -> str:
            raise error("no room")

        return answer

    report = answered(root, tmp_path / "out", breaks(OutOfMemory))
    assert [result.text for result in report.answers] == [TASKS[COUNT].fallback] * 2
    assert all(result.failed for result in report.answers)
    with pytest.raises(ModelFailure, match="no room"):
        answered(root, tmp_path / "broken", breaks(RuntimeError))
    assert not (tmp_path / "broken/predictions.json").exists()


@pytest.mark.model
def test_12_a_crash_loses_no_finished_answer(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record(CELLS), record("Report on the lungs in this film.")])

    def stops(adapter: str, text: str) -> str:
        if adapter == "report_generation":
            raise KeyboardInterrupt
        return "12"

    with pytest.raises(KeyboardInterrupt):
        answered(root, tmp_path / "out", stops)
    assert "12" in journals(tmp_path / "out")[0].read_text("utf-8")


@pytest.mark.model
def test_13_truth_and_broken_files_are_no_questions(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record(CELLS)])
    write_questions([record(CELLS, Answer="99")], name="set_questions_val_withGT.json")
    (root / "Xray/set/other_questions_val.json").write_text("{broken", "utf-8")
    report = answered(root, tmp_path / "out", lambda adapter, text: "12")
    assert [result.text for result in report.answers] == ["12"]


@pytest.mark.parametrize(
    "spelling",
    ["multi-label classification", "instance_detection", "counting", "regression", "detection", "report_generation"],
)
def test_19_the_challenges_spellings_are_known(spelling: str) -> None:
    assert parse_task_type(spelling) not in (None, CLS)
