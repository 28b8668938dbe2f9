"""The whole run: read, route, plan, answer, write."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mevlip import __version__
from mevlip.answers import STAGES
from mevlip.checkpoints.checkpoint import Checkpoint, find_checkpoint, read_checkpoint, verify_files
from mevlip.core import interrupts
from mevlip.core.errors import TooManyFailures
from mevlip.core.offline import go_offline
from mevlip.core.progress import Progress
from mevlip.flare.predictions import answered, write_predictions
from mevlip.flare.questions import InputFolder, Question, read_input_folder
from mevlip.inference.batching import RoutedQuestion, needs_router, plan, route
from mevlip.inference.engine import Counters, Engine, Model, Result
from mevlip.routing.router import Router
from mevlip.run.explanations import explain, write_explanations
from mevlip.run.journal import Journal, question_key
from mevlip.run.settings import Settings
from mevlip.tasks import GENERALIST, NO_ADAPTER

logger = logging.getLogger(__name__)

_MOST_FAILURES_TOLD = 50

ModelLoader = Callable[[Checkpoint, str], Model]


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes:
        predictions: The file written.
        results: The result of each question, in output order.
        resumed: How many answers came from an earlier run's journal.
        counters: Machine-independent cost.
        seconds: Wall time by phase.
    """

    predictions: Path
    results: tuple[Result, ...]
    resumed: int
    counters: Counters
    seconds: dict[str, float]

    @property
    def fallbacks(self) -> int:
        """Number of answers that are legal stand-ins."""
        return sum(result.stage == "fallback" for result in self.results)

    @property
    def failures(self) -> tuple[Result, ...]:
        """Fallbacks of questions that the model was asked: it broke, or said nothing of use."""
        return tuple(result for result in self.results if result.stage == "fallback" and result.asked)

    @property
    def reasons(self) -> Counter[str]:
        """How often each reason led to a fallback."""
        return Counter(result.reason for result in self.results if result.stage == "fallback")

    def by_task(self) -> list[tuple[str | int, ...]]:
        """Rows of task, questions, answered by its own adapter, by the generalist, and by each of `STAGES`."""
        rows: list[tuple[str | int, ...]] = []
        for task in dict.fromkeys(sorted(result.task for result in self.results)):
            mine = [result for result in self.results if result.task == task]
            own = sum(result.adapter == task.value for result in mine)
            stages = Counter(result.stage for result in mine)
            rows.append((task.value, len(mine), own, len(mine) - own, *(stages[stage] for stage in STAGES)))
        return rows


def load_real_model(checkpoint: Checkpoint, device: str) -> Model:
    """Loads the checkpoint's model; the heavy imports happen here."""
    from mevlip.inference.model import VisionLanguageModel, choose_device

    chosen = choose_device(device)
    logger.info("device: %s%s", chosen, " (chosen automatically)" if device == "auto" else "")
    return VisionLanguageModel.load(checkpoint, chosen)


def predict(settings: Settings, load_model: ModelLoader = load_real_model, quiet: bool = False) -> RunReport:
    """Answers every question of an input folder.

    Args:
        settings: What to do.
        load_model: Loads the model; tests hand in another one.
        quiet: Whether to show no progress.

    Raises:
        InputError: There is nothing to answer.
        CheckpointError: The checkpoint is incomplete or altered.
        EnvironmentProblem: The output folder or the device cannot be used.
        ModelFailure: The model, its device or a library broke; finished answers are in the journal.
        OutputError: The predictions would break the contract; nothing was written.
    """
    go_offline()
    clock = _Clock()
    with clock("read"):
        folder = read_input_folder(settings.input, settings.output)
        questions = _select(folder, settings.limit)
        keys = {question.position: question_key(question, folder.root) for question in questions}
    checkpoint = read_checkpoint(find_checkpoint(settings.checkpoint))
    with closing(Journal(settings.output, _run_identity(settings, checkpoint.digest))) as journal:
        with clock("verify"):
            _verify(checkpoint, quiet)
        results = {position: journal.done[key] for position, key in keys.items() if key in journal.done}
        waiting = [question for question in questions if question.position not in results]
        resumed = len(results)
        if resumed:
            logger.info("resuming: %d answers are there from an earlier run", resumed)
        counters = Counters()
        with clock("route"):
            routed = _route_all(settings, checkpoint, waiting, counters)
        if routed:
            with clock("load"):
                # Without an adapter the base is asked as the generalist is.
                routes = {**checkpoint.routes, NO_ADAPTER: checkpoint.routes[GENERALIST]}
                model = load_model(checkpoint, settings.device)
                engine = Engine(model, routes, folder.root, counters, settings.constrain)
            with clock("answer"), Progress("answering", len(routed), "questions", quiet) as progress:
                for batch in engine.run(plan(routed, settings.batch_size)):
                    journal.append((keys[result.position], result) for result in batch)
                    results |= {result.position: result for result in batch}
                    progress.advance(len(batch))
                    interrupts.check()
        with clock("write"):
            ordered = tuple(results[question.position] for question in questions)
            _tell_failures(questions, ordered)
            rows = [answered(q, result.answer) for q, result in zip(questions, ordered, strict=True)]
            path = write_predictions(rows, questions, settings.output)
            if settings.explanations:
                write_explanations(settings.explanations, map(explain, questions, ordered))
        journal.discard()
    return RunReport(path, ordered, resumed, counters, clock.seconds)


def enforce(report: RunReport, settings: Settings) -> None:
    """Raises TooManyFailures where the model failed on more questions than the settings allow; the output stays."""
    failures, total = report.failures, len(report.results)
    allowed = settings.allowed_failures(total)
    if len(failures) > allowed:
        [(cause, _)] = Counter(result.reason for result in failures).most_common(1)
        raise TooManyFailures(
            f"The model failed on {len(failures)} of {total} questions, which have fallback answers; "
            f"--max-failures {settings.max_failures} allows {allowed}; most frequent cause: {cause}",
            f"{report.predictions} is complete and valid; fix the cause and run again, or raise --max-failures.",
        )


def _select(folder: InputFolder, limit: int | None) -> tuple[Question, ...]:
    for problem in folder.problems:
        logger.warning("%s", problem)
    questions = folder.questions[:limit]
    logger.info("%d questions in %d files", len(questions), len({question.file for question in questions}))
    if len(questions) < len(folder.questions):
        logger.warning("PARTIAL OUTPUT: --limit leaves %d questions out", len(folder.questions) - len(questions))
    return questions


def _tell_failures(questions: tuple[Question, ...], results: tuple[Result, ...]) -> None:
    """Logs each question that had a bad image or broke the model, with its place."""
    lines = [
        f"{question.where}: {'; '.join([*result.problems, *([result.reason] if result.failed else [])])}"
        for question, result in zip(questions, results, strict=True)
        if result.problems or result.failed
    ]
    for line in lines[:_MOST_FAILURES_TOLD]:
        logger.warning("%s", line)
    if len(lines) > _MOST_FAILURES_TOLD:
        logger.warning("... and %d more such questions", len(lines) - _MOST_FAILURES_TOLD)


def _route_all(
    settings: Settings, checkpoint: Checkpoint, questions: list[Question], counters: Counters
) -> list[RoutedQuestion]:
    texts = {question.text for question in questions if needs_router(question, settings.routing)}
    if not texts:
        return [route(question, settings.routing, {}, 0.0) for question in questions]
    router = Router.load(checkpoint.router)
    threshold = router.settings.threshold if settings.threshold is None else settings.threshold
    predictions = router.classify(texts)
    counters.router_forwards = router.forwards
    return [route(question, settings.routing, predictions, threshold) for question in questions]


def _verify(checkpoint: Checkpoint, quiet: bool) -> None:
    with Progress("verifying the checkpoint", checkpoint.manifest.size, "B", quiet) as progress:
        verify_files(checkpoint.folder, checkpoint.manifest, progress.advance)
    logger.info("checkpoint: %s (%s)", checkpoint.folder, checkpoint.manifest.kind)
    if checkpoint.manifest.notice:
        logger.warning("%s", checkpoint.manifest.notice)


def _run_identity(settings: Settings, checkpoint_digest: str) -> str:
    """What answers depend on besides the question; answers of a run with another identity are not reused."""
    relevant = settings.model_dump(include={"routing", "threshold", "device", "batch_size", "constrain"}, mode="json")
    return json.dumps({"version": __version__, "checkpoint": checkpoint_digest, **relevant}, sort_keys=True)


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
