"""A run over every malformed input at once: it ends well, whatever is wrong is named, and nothing else is lost."""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mevlip.core.text import answer_fault
from mevlip.flare.predictions import find_issues, parse_strictly, schema_validator
from mevlip.flare.questions import InputFolder, read_input_folder
from mevlip.inference.engine import Answer
from mevlip.predictor import Predictor
from mevlip.routing.router import TaskPrediction
from mevlip.runs.folder import run as run_with
from mevlip.settings import PredictorSettings
from mevlip.tasks import TaskType
from tests.conftest import DEMO, HANG, ROOT, FakeModel, require_marker
from tests.mevlip.malformed import Case, all_cases
from tests.mevlip.malformed.case import GOOD, put
from tests.mevlip.malformed.images import ANY

CASES = tuple(all_cases())


def folder_of(number: int) -> str:
    return f"{number:04}"


@dataclass(frozen=True)
class Outcome:
    """What one run made of the corpus."""

    folder: InputFolder
    answers: tuple[Answer, ...]
    rows: list[dict[str, Any]]

    def of(self, number: int) -> list[tuple[dict[str, Any], Answer]]:
        """Rows and answers of one case."""
        start = f"{folder_of(number)}/"
        return [
            (self.rows[question.position], self.answers[question.position])
            for question in self.folder.questions
            if question.file.startswith(start)
        ]

    def said_of(self, number: int) -> str:
        """Every problem of one case, as a run logs it."""
        start = f"{folder_of(number)}/"
        lines = [problem for problem in self.folder.problems if problem.startswith(start)]
        return "\n".join([*lines, *itertools.chain.from_iterable(answer.problems for _, answer in self.of(number))])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("corpus") / "in"
    for number, case in enumerate(CASES):
        (root / folder_of(number)).mkdir(parents=True)
        case.write(root / folder_of(number))
    (root / "good").mkdir()
    put(root / "good", json.dumps([GOOD]))
    yield root
    shutil.rmtree(root)  # pytest would try to open what is in it


class FakeRouter:
    """Takes every question for a choice."""

    forwards = 0
    threshold = 0.5

    def classify(self, questions: Iterable[str]) -> dict[str, TaskPrediction]:
        return {question: TaskPrediction(TaskType.CLASSIFICATION, 1.0) for question in questions}


def run(corpus: Path, output: Path, model: FakeModel) -> Outcome:
    settings = PredictorSettings(checkpoint=str(DEMO))
    predictor = Predictor.find(settings, load_model=lambda *_: model, load_router=lambda *_: FakeRouter())
    report = run_with(predictor, corpus, output, routing="declared", max_failures="100%")
    folder = read_input_folder(corpus)
    return Outcome(folder, report.answers, parse_strictly(report.predictions.read_bytes()))


@pytest.fixture(scope="module")
def outcome(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(corpus, tmp_path_factory.mktemp("out"), FakeModel(lambda *_: "B"))


def test_the_corpus_is_large_and_its_cases_have_names() -> None:
    assert len(CASES) >= 250
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_output_is_strict_and_answers_every_record(outcome: Outcome) -> None:
    assert find_issues(outcome.rows, outcome.folder.questions) == []
    assert schema_validator().is_valid(outcome.rows)
    assert [fault for row in outcome.rows if (fault := answer_fault(row["Answer"]))] == []
    assert len(outcome.rows) == 1 + sum(case.rows or 0 for case in CASES)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_a_malformed_input_is_named_and_its_neighbors_are_answered(outcome: Outcome, number: int) -> None:
    case: Case = CASES[number]
    found = outcome.of(number)
    assert len(found) == (case.rows or 0)
    answered = [answer for row, answer in found if {**row, "Answer": ""} == GOOD and not answer.problems]
    assert len(answered) >= case.good
    assert all((answer.text, answer.stage) == ("B", "strict") for answer in answered)
    said = outcome.said_of(number)
    assert said.isprintable() or ("\n" in said and said.replace("\n", "").isprintable())
    if case.problem == ANY:
        return
    assert case.problem in said
    if case.name.startswith(("image ", "archive ")) and not case.problem:
        assert not said, "an unusual image is still one"


NASTY = (
    "\x1b[2J",
    "\u202eB",
    "B\n",
    "\u200b",
    "\x00",
    "a\u2028b",
    "\ud800",
    "\ufeffB",
    " ",
    "",
    "x" * 200_000,
    "\ue000",
    "B",
)


def test_no_model_makes_an_answer_that_breaks_the_rule(corpus: Path, tmp_path: Path) -> None:
    """The model says something nasty about every input, or repeats the question."""
    said = itertools.cycle(NASTY)
    echoing = FakeModel(lambda adapter, text: next(said) + (text[-50_000:] if len(text) % 2 else ""))
    outcome = run(corpus, tmp_path, echoing)
    assert find_issues(outcome.rows, outcome.folder.questions) == []
    assert [fault for row in outcome.rows if (fault := answer_fault(row["Answer"]))] == []


@pytest.mark.model
def test_the_real_command_ends_well_in_bounded_memory(tmp_path: Path) -> None:
    chosen = (
        "pipe",
        "link to itself",
        "sparse giant",
        "json brackets",
        "Extra nan",
        "Question bottomless",
        "image is giant",
        "image PNG at 100 megapixels",
        "archive claims less",
        "archive bzip2",
        "text escape sequences in labels Classification",
        "text brackets Classification",
        "name control",
    )
    cases = [case for case in CASES if case.name in chosen]
    assert len(cases) == len(chosen)
    for number, case in enumerate(cases):
        (tmp_path / "in" / folder_of(number)).mkdir(parents=True)
        case.write(tmp_path / "in" / folder_of(number))
    require_marker()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mevlip",
            "predict",
            tmp_path / "in",
            tmp_path / "out",
            "--checkpoint",
            DEMO,
            "--max-failures",
            "100%",
        ],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "submission")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30)),
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "\x1b" not in done.stderr
    rows = parse_strictly((tmp_path / "out/predictions.json").read_bytes())
    assert len(rows) == sum(case.rows or 0 for case in cases)
    assert [fault for row in rows if (fault := answer_fault(row["Answer"]))] == []
    for cause in ("named pipe", "symbolic links", "larger than the allowed 64 MiB", "not valid JSON", "holds NaN",
                  "nested more than 64 deep", "larger than the allowed 512 MiB", "another method"):  # fmt: skip
        assert cause in done.stderr
