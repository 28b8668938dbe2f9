"""A run over an input folder: read, route, answer batch by batch, keep a journal, write."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mevlip import __version__
from mevlip.core import interrupts
from mevlip.core.progress import Progress
from mevlip.flare.images import Perturbation
from mevlip.flare.predictions import answered, write_predictions
from mevlip.flare.questions import PREDICTIONS_NAME, InputFolder, Question, read_input_folder
from mevlip.flare.shards import Shard
from mevlip.flare.store import ImageStore
from mevlip.inference.batching import Batch
from mevlip.inference.engine import Answer, Counters, give_up
from mevlip.inference.pictures import ImageLoader
from mevlip.predictor import Predictor
from mevlip.routing.policy import RoutedQuestion
from mevlip.runs.explanations import explain, write_explanations
from mevlip.runs.journal import Journal, question_key
from mevlip.runs.merging import record_shard
from mevlip.runs.output import check_destination, output_folder
from mevlip.runs.report import RunReport, corrections, write_run_report
from mevlip.runs.schedule import TimeLimit, in_time
from mevlip.settings import RunSettings

logger = logging.getLogger(__name__)

_MOST_FAILURES_LOGGED = 50
_DEADLY = "the program died twice while it asked this question, the second time alone"
_LATE = "the time limit was reached before this question was asked"


def run(
    predictor: Predictor,
    input: Path | str,  # noqa: A002 - what the command and the challenge call it
    output: Path | str,
    *,
    quiet: bool = True,
    perturbation: Perturbation | None = None,
    **settings: Any,
) -> RunReport:
    """Answers every question of an input folder: what `mevlip predict` does.

    Args:
        predictor: The loaded system.
        input: Folder that holds the question files.
        output: Folder that receives predictions.json.
        quiet: Whether to show no progress.
        perturbation: A change to the images; None shows them as they are.
        settings: Other fields of `RunSettings`, such as `routing="generalist"`.

    Raises:
        MevlipError: See `run_folder`.
    """
    chosen = RunSettings(input=Path(input), output=Path(output), **settings)
    return run_folder(predictor, chosen, quiet, perturbation=perturbation)


def run_folder(
    predictor: Predictor,
    settings: RunSettings,
    quiet: bool = False,
    folder: InputFolder | None = None,
    perturbation: Perturbation | None = None,
    sources: Mapping[str, str] | None = None,
) -> RunReport:
    """Answers every question of an input folder.

    Args:
        predictor: The loaded system; router and model are loaded where they are needed.
        settings: What to do.
        quiet: Whether to show no progress.
        folder: The input folder, where it has been read already.
        perturbation: A change to the images; None shows them as they are.
        sources: Where settings come from, such as `environment`, for the run's report.

    Raises:
        InputError: There is nothing to answer.
        CheckpointError: The checkpoint is incomplete or altered.
        EnvironmentProblem: The output folder or the device cannot be used, another run writes into the folder, or a
            destination is not the run's to write.
        ModelFailure: The model, its device or a library broke; finished answers are in the journal.
        OutputError: The predictions would break the contract; nothing was written.
    """
    clock = _Clock()
    limit = TimeLimit(settings.time_limit)
    with clock("read"):
        folder = folder or read_input_folder(settings.input, settings.output)
        questions = _select(folder, settings)
        limit.answers = len(questions)
        for path, option in ((settings.explanations, "--explanations"), (settings.run_report, "--run-report")):
            if path is not None:
                check_destination(path, option, folder.root, settings.output)
    with (
        output_folder(settings.output),
        closing(Journal(settings.output, run_identity(predictor, settings, perturbation))) as journal,
        ImageStore(folder.root) as store,
    ):
        with clock("verify"):
            predictor.begin_verification()
        keys = {question.position: question_key(question, store) for question in questions}
        answers = {position: journal.done[key] for position, key in keys.items() if key in journal.done}
        resumed = len(answers)
        if resumed:
            logger.info("resuming: %d answers are there from an earlier run", resumed)
        counters = Counters()
        with clock("route"):
            waiting = [question for question in questions if question.position not in answers]
            routed = predictor.route(waiting, settings, counters)
            _log_corrections(routed)
        new, once, often = _by_deaths(routed, [journal.deaths.get(keys[item.question.position], 0) for item in routed])
        answers |= {item.question.position: give_up(item, _DEADLY, asked=True) for item in often}
        if (new or once) and limit.left > 0:
            with clock("load"):
                engine = predictor.engine([*new, *once], settings, _loader(store, perturbation), counters)
            alone = {item.question.position for item in once}
            with (
                engine,
                clock("answer"),
                Progress("answering", len(new) + len(once), "questions", quiet) as progress,
            ):
                for batch, following in in_time(_with_some_alone(engine.batches, alone), limit):
                    journal.asking(keys[item.question.position] for item in batch.items)
                    made = engine.answer(batch, following)
                    journal.append((keys[answer.position], answer) for answer in made)
                    answers |= {answer.position: answer for answer in made}
                    progress.advance(len(made))
                    interrupts.check()
        late = [item for item in routed if item.question.position not in answers]
        answers |= {item.question.position: give_up(item, _LATE, asked=False) for item in late}
        with clock("verify"):
            predictor.verify()  # done where the model was loaded; answers of an earlier run need none
        with clock("write"):
            ordered = tuple(answers[question.position] for question in questions)
            _log_failures(questions, ordered)
            rows = [answered(question, answer.text) for question, answer in zip(questions, ordered, strict=True)]
            path = settings.output / PREDICTIONS_NAME
            write_predictions(rows, questions, path)
            explanations = tuple(map(explain, questions, ordered))
            if settings.explanations:
                write_explanations(settings.explanations, explanations)
        report = RunReport(path, ordered, explanations, resumed, len(late), counters, clock.seconds)
        if settings.shard:
            identity = run_identity(predictor, settings, perturbation)
            record_shard(report, folder, questions, predictor.checkpoint.folder, identity)
        if settings.run_report:
            write_run_report(settings.run_report, report, settings, predictor, sources or {})
        if not late:
            journal.discard()
    return report


def _by_deaths(routed: Sequence[RoutedQuestion], deaths: Sequence[int]) -> tuple[list[RoutedQuestion], ...]:
    """Questions that the program never died on, that it died on once, to be asked last and alone, and more often."""
    new, once, often = (
        [item for item, number in zip(routed, deaths, strict=True) if min(number, 2) == wanted] for wanted in range(3)
    )
    if once:
        logger.warning("an earlier run died while it asked %d questions; each is asked alone now", len(once))
    return new, once, often


def _with_some_alone(batches: Iterable[Batch], alone: Container[int]) -> list[Batch]:
    """Takes some questions, by their position, out of their batches and puts each at the end, by itself."""
    together, apart = [], []
    for batch in batches:
        if rest := tuple(item for item in batch.items if item.question.position not in alone):
            together.append(replace(batch, items=rest))
        apart += [replace(batch, items=(item,)) for item in batch.items if item.question.position in alone]
    return [*together, *apart]


def _log_corrections(routed: Sequence[RoutedQuestion]) -> None:
    """Logs how often a question's form excluded the task that the router or the record named."""
    for pair, number in corrections((item.corrected_from, item.task) for item in routed).most_common():
        logger.info("task corrected by the question's form: %s (%d)", pair, number)


def run_identity(
    predictor: Predictor, settings: RunSettings, perturbation: Perturbation | None = None
) -> dict[str, Any]:
    """What answers depend on besides the question; answers of a run with another identity are not reused."""
    images = {"perturbation": perturbation.name if perturbation else None}
    return {"version": __version__, **predictor.identity, **settings.identity, **images}


def _loader(store: ImageStore, perturbation: Perturbation | None) -> ImageLoader:
    if perturbation is None:
        return store.load
    return lambda question, settings: perturbation.change(store.load(question, settings))


def _select(folder: InputFolder, settings: RunSettings) -> tuple[Question, ...]:
    for problem in folder.problems:
        logger.warning("%s", problem)
    questions = folder.questions[: settings.limit]
    logger.info("%d questions in %d files", len(questions), len({question.file for question in questions}))
    if len(questions) < len(folder.questions):
        logger.warning("PARTIAL OUTPUT: --limit leaves %d questions out", len(folder.questions) - len(questions))
    if settings.shard:
        with ImageStore(folder.root) as store:
            questions = Shard.parse(settings.shard).select(questions, folder.root, store)
        logger.info("shard %s: %d of these questions", settings.shard, len(questions))
    return questions


def _log_failures(questions: Sequence[Question], answers: Sequence[Answer]) -> None:
    """Logs each question that had a bad image or broke the model, with its place."""
    lines = [
        f"{question.where}: {'; '.join([*answer.problems, *([answer.reason] if answer.failed else [])])}"
        for question, answer in zip(questions, answers, strict=True)
        if answer.problems or answer.failed
    ]
    for line in lines[:_MOST_FAILURES_LOGGED]:
        logger.warning("%s", line)
    if len(lines) > _MOST_FAILURES_LOGGED:
        logger.warning("... and %d more such questions", len(lines) - _MOST_FAILURES_LOGGED)


class _Clock:
    """Wall seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start
