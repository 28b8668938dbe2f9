"""Runs over a folder with a fake model: what becomes of questions that kill the program, of time, of destinations."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mevlip.core.errors import EnvironmentProblem, TimeLimitReached
from mevlip.inference.engine import Engine
from mevlip.runs import folder
from mevlip.runs.explanations import read_explanations
from mevlip.runs.journal import Journal, journals
from mevlip.runs.report import RunReport, check_failures
from mevlip.runs.schedule import TimeLimit
from mevlip.settings import RunSettings
from tests.conftest import FakeModel, answer_folder, record

Write = Callable[..., Path]


class Killed(BaseException):
    """Stands for an end that no handler sees."""


def answers(output: Path) -> list[str]:
    return [row["Answer"] for row in json.loads((output / "predictions.json").read_bytes())]


def run(root: Path, output: Path, model: FakeModel, **options: Any) -> RunReport:
    return answer_folder(root, output, model, routing="declared", **options)


@pytest.fixture
def kill(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs with a model that dies on some questions, and leaves the journal as a killed process does."""

    def kill(root: Path, output: Path, deadly: str, **options: Any) -> FakeModel:
        def die(adapter: str, text: str) -> str:
            if deadly in text:
                raise Killed
            return "B"

        model = FakeModel(die)
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "close", lambda self: None)
            with pytest.raises(Killed):
                run(root, output, model, **options)
        return model

    return kill


def test_a_question_that_kills_the_program_twice_costs_no_other_answer(
    write_questions: Write, tmp_path: Path, kill: Callable[..., FakeModel]
) -> None:
    root = write_questions([record(f"{'deadly' if i == 2 else 'benign'} {i}? A: x, B: y") for i in range(6)])
    out = tmp_path / "out"
    first = kill(root, out, "deadly", batch_tokens=100)
    assert len(first.batches) == 1
    second = kill(root, out, "deadly", batch_tokens=100)
    assert [len(prompts) for _, prompts, _, _ in second.batches] == [3, 1, 1, 1], "those in flight come last, alone"
    third = FakeModel(lambda *_: "A")
    report = run(root, out, third, batch_tokens=100)
    assert third.batches == [], "the others were answered, and it is not asked a third time"
    assert answers(out) == ["B", "B", "A", "B", "B", "B"]
    [lost] = report.failures
    assert (lost.position, lost.reason) == (
        2,
        "the program died twice while it asked this question, the second time alone",
    )
    assert not journals(out)


def test_a_question_that_was_in_flight_by_chance_is_answered(
    write_questions: Write, tmp_path: Path, kill: Callable[..., FakeModel], caplog: pytest.LogCaptureFixture
) -> None:
    root = write_questions([record(f"fine {i}? A: x, B: y") for i in range(4)])
    kill(root, tmp_path / "out", "fine 2", batch_tokens=70)
    report = run(root, tmp_path / "out", FakeModel(lambda *_: "B"), batch_tokens=70)
    assert answers(tmp_path / "out") == ["B"] * 4 and not report.failures and report.resumed == 2
    assert "an earlier run died while it asked 2 questions; each is asked alone now" in caplog.text


def test_an_interrupt_is_held_against_no_question(write_questions: Write, tmp_path: Path) -> None:
    root = write_questions([record(f"fine {i}? A: x, B: y") for i in range(4)])

    def interrupt(adapter: str, text: str) -> str:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run(root, tmp_path / "out", FakeModel(interrupt))
    model = FakeModel(lambda *_: "B")
    run(root, tmp_path / "out", model)
    assert [len(prompts) for _, prompts, _, _ in model.batches] == [4]


def test_when_time_is_over_the_output_is_complete_and_the_next_run_goes_on(
    write_questions: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(folder, "TimeLimit", partial(TimeLimit, clock=lambda: now[0]))
    root = write_questions([record(f"fine {i}? A: x, B: y") for i in range(6)])
    answer = Engine.answer

    def slow(self: Engine, batch: Any, following: Any) -> Any:
        now[0] += 10
        return answer(self, batch, following)

    monkeypatch.setattr(Engine, "answer", slow)
    settings = {"batch_tokens": 70, "time_limit": 25.0}
    report = run(root, tmp_path / "out", FakeModel(lambda *_: "B"), **settings)
    assert report.late == 2 and answers(tmp_path / "out") == ["B"] * 4 + ["A"] * 2
    assert not report.failures, "the model failed on none"
    with pytest.raises(TimeLimitReached, match="The time limit of 25 s left no time for 2 of 6 questions") as caught:
        check_failures(report, RunSettings(input=root, output=tmp_path / "out", **settings))
    assert caught.value.exit_code == 4
    again = run(root, tmp_path / "out", FakeModel(lambda *_: "B"), batch_tokens=70, time_limit=1000.0)
    assert (again.resumed, again.late) == (4, 0) and answers(tmp_path / "out") == ["B"] * 6
    assert not journals(tmp_path / "out")


def test_without_any_time_no_model_is_loaded(write_questions: Write, tmp_path: Path) -> None:
    def unwanted(*_: str) -> str:
        raise AssertionError("nothing is asked")

    report = run(write_questions([record(), record()]), tmp_path / "out", FakeModel(unwanted), time_limit=0.01)
    assert (report.late, "load" in report.seconds) == (2, False)
    assert answers(tmp_path / "out") == ["A", "A"]


@pytest.mark.parametrize("option", ["explanations", "run_report"])
def test_destinations_are_checked_before_anything_is_answered(
    write_questions: Write, tmp_path: Path, option: str
) -> None:
    root = write_questions([record()])
    [question_file] = root.rglob("*.json")
    for destination in (tmp_path / "out/predictions.json", question_file):
        model = FakeModel()
        before = question_file.read_bytes()
        with pytest.raises(EnvironmentProblem, match=f"Name another file for --{option.replace('_', '-')}"):
            run(root, tmp_path / "out", model, **{option: destination})
        assert model.batches == [] and question_file.read_bytes() == before


def test_the_run_report_says_how_the_run_was_made_and_no_question_or_answer(
    write_questions: Write, tmp_path: Path
) -> None:
    root = write_questions([record("A secret question? A: x, B: y", image=["a.png", "b.png"]), record(image="c.png")])
    for name in ("b.png", "c.png"):
        next(root.rglob(name)).unlink()
    file = tmp_path / "reports/run.json"
    run(root, tmp_path / "out", FakeModel(lambda *_: "B"), run_report=file, batch_tokens=100)
    content = json.loads(file.read_bytes())
    assert content["settings"]["batch_tokens"] == {"value": 100, "source": "given"}
    assert content["settings"]["constrain"] == {"value": True, "source": "default"}
    assert content["checkpoint"]["kind"] == "demo" and len(content["checkpoint"]["routes_sha256"]) == 8
    assert content["questions"] == 2 and content["counters"]["questions"] == 2
    assert content["tasks"] == [
        {"task": "classification", "questions": 2, "own_adapter": 2, "generalist": 0,
         "strict": 1, "tolerant": 0, "repaired": 0, "fallback": 1}
    ]  # fmt: skip
    assert content["problems"] == {"not found beside its question file": 2}
    assert content["fallback_reasons"] == {"no image could be used": 1}
    assert {"read", "route", "answer", "write"} <= set(content["seconds"])
    assert content["peak_memory_bytes"] > 10**8 and content["packages"]["torch"]
    assert "secret" not in file.read_text() and ".png" not in file.read_text()


def test_a_corrected_task_is_visible_in_log_report_and_explanations(
    write_questions: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    letters = "Which class has the jaw? A: Class I, B: Class II"
    root = write_questions(
        [record(letters, TaskType="instance_detection"), record(letters), record("How many?", TaskType="counting")]
    )
    explained, reported = tmp_path / "explanations.jsonl", tmp_path / "run.json"
    with caplog.at_level("INFO", logger="mevlip"):
        run(root, tmp_path / "out", FakeModel(lambda *_: "B"), explanations=explained, run_report=reported)
    assert answers(tmp_path / "out")[:2] == ["B", "B"], "not {}"
    lines = [json.loads(line) for line in explained.read_text().splitlines()]
    assert [(line["task"], line["routed_task"]) for line in lines] == [
        ("classification", "instance_detection"), ("classification", "classification"), ("counting", "counting"),
    ]  # fmt: skip
    assert read_explanations(explained)[0].routed_task == "instance_detection"
    assert json.loads(reported.read_bytes())["corrected_tasks"] == {"instance_detection -> classification": 1}
    assert [r.getMessage() for r in caplog.records if "corrected" in r.getMessage()] == [
        "task corrected by the question's form: instance_detection -> classification (1)"
    ]


def test_a_corrected_task_is_kept_by_the_journal(
    write_questions: Write, tmp_path: Path, kill: Callable[..., FakeModel]
) -> None:
    letters = [record(f"Which {name}? A: x, B: y", TaskType="counting") for name in ("first", "deadly")]
    root = write_questions(letters)
    kill(root, tmp_path / "out", "deadly", batch_tokens=1)
    report = run(root, tmp_path / "out", FakeModel(lambda *_: "A"), batch_tokens=1)
    assert report.resumed == 1
    assert [answer.corrected_from for answer in report.answers] == ["counting", "counting"]
