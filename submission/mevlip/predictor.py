"""The loaded system: a verified checkpoint, its router and its model, each loaded once and only when needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mevlip.checkpoints.checkpoint import Checkpoint, find_checkpoint, read_checkpoint, verify_files
from mevlip.core.lean_imports import import_bitsandbytes
from mevlip.core.offline import go_offline
from mevlip.core.progress import Progress
from mevlip.flare.given import load_given_images
from mevlip.flare.questions import Question
from mevlip.inference.batching import plan
from mevlip.inference.completion import Model
from mevlip.inference.engine import Answer, Counters, Engine, ImageLoader
from mevlip.routing.policy import RoutedQuestion, needs_router, route
from mevlip.routing.router import Router, TaskPrediction
from mevlip.settings import AnswerSettings, Device, PredictorSettings
from mevlip.tasks import GENERALIST, NO_ADAPTER, TaskType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mevlip.flare.questions import GivenImage

logger = logging.getLogger(__name__)

ModelLoader = Callable[[Checkpoint, Device], Model]
RouterLoader = Callable[[Path], "TaskClassifier"]


class TaskClassifier(Protocol):
    """What the predictor needs of a router; `mevlip.routing.router.Router` is the real one."""

    forwards: int
    """Batches run so far."""

    @property
    def threshold(self) -> float:
        """Least confidence for a task's own adapter."""

    def classify(self, questions: Iterable[str]) -> dict[str, TaskPrediction]:
        """Classifies questions, each distinct one once."""


@dataclass
class Loads:
    """How often a predictor did what is costly and needed only once; tests assert these numbers."""

    verifications: int = 0
    routers: int = 0
    models: int = 0


def load_model(checkpoint: Checkpoint, device: Device) -> Model:
    """Loads the checkpoint's model; the heavy imports happen here."""
    import_bitsandbytes()
    from mevlip.inference.model import VisionLanguageModel, choose_device

    chosen = choose_device(device)
    logger.info("device: %s%s", chosen, " (chosen automatically)" if device == "auto" else "")
    if unknown := [name for name in checkpoint.routes if name not in checkpoint.probes]:
        logger.warning(
            "no known answer is recorded for %s: they are only known to change the base's output; assemble the "
            "checkpoint again without --no-probe",
            ", ".join(unknown),
        )
    return VisionLanguageModel.load(checkpoint, chosen)


class Predictor:
    """Owns a checkpoint's router and model and answers questions with them.

    Args:
        checkpoint: The checkpoint; its files are verified before the first of them is loaded.
        device: Where the model runs.
        load_model: Loads the model; tests and other model families hand in another.
        load_router: Loads the task classifier; likewise.
        quiet: Whether to show no progress.

    Attributes:
        loads: How often checkpoint, router and model were loaded.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: Device = "auto",
        *,
        load_model: ModelLoader = load_model,
        load_router: RouterLoader = Router.load,
        quiet: bool = True,
    ) -> None:
        go_offline()
        self.checkpoint = checkpoint
        self.device = device
        self.loads = Loads()
        self._load_model = load_model
        self._load_router = load_router
        self._quiet = quiet

    @classmethod
    def find(cls, settings: PredictorSettings | None = None, **options: Any) -> Predictor:
        """A predictor that loads nothing yet; `options` are those of the class.

        Raises:
            CheckpointError: There is no such checkpoint, or its manifest or a route breaks its contract.
        """
        chosen = settings or PredictorSettings()
        return cls(read_checkpoint(find_checkpoint(chosen.checkpoint)), chosen.device, **options)

    @classmethod
    def load(cls, checkpoint: str | Path | None = None, device: Device = "auto", **options: Any) -> Predictor:
        """Verifies a checkpoint and loads its router and model.

        Args:
            checkpoint: Its folder or name; None for the medical one if it is there, else the demo.
            device: Where the model runs.
            options: Those of the class.

        Raises:
            CheckpointError: The checkpoint is absent, incomplete or altered.
            EnvironmentProblem: The device cannot be used, or memory does not suffice.
            ModelFailure: The model, its device or a library broke.
        """
        name = None if checkpoint is None else str(checkpoint)
        predictor = cls.find(PredictorSettings(checkpoint=name, device=device), **options)
        _ = predictor.router, predictor.model
        return predictor

    def verify(self) -> None:
        """Compares every file of the checkpoint with its manifest, once.

        Raises:
            CheckpointError: A file is missing, altered, unlisted or of a refused kind.
        """
        if self.loads.verifications:
            return
        manifest = self.checkpoint.manifest
        with Progress("verifying the checkpoint", manifest.size, "B", self._quiet) as progress:
            verify_files(self.checkpoint.folder, manifest, progress.advance)
        self.loads.verifications += 1
        logger.info("checkpoint: %s (%s)", self.checkpoint.folder, manifest.kind)
        if manifest.notice:
            logger.warning("%s", manifest.notice)

    @cached_property
    def router(self) -> TaskClassifier:
        """The task classifier."""
        self.verify()
        self.loads.routers += 1
        return self._load_router(self.checkpoint.router)

    @cached_property
    def model(self) -> Model:
        """The model with its adapters."""
        self.verify()
        self.loads.models += 1
        return self._load_model(self.checkpoint, self.device)

    @property
    def identity(self) -> dict[str, Any]:
        """What answers depend on besides the question and the settings."""
        return {"checkpoint": self.checkpoint.digest, "device": self.device}

    def ask(
        self,
        question: str,
        images: Sequence[GivenImage] = (),
        *,
        task: TaskType | str | None = None,
        constrain: bool = True,
    ) -> Answer:
        """Answers one question.

        Args:
            question: Its text.
            images: Its images: paths, files' bytes or Pillow images.
            task: What kind of answer it wants; None lets the router decide.
            constrain: Whether the model may only say what the question allows.
        """
        asked = Question.given_as(question, images, TaskType(task) if task is not None else None)
        return self.answer(
            [asked], AnswerSettings(routing="router" if task is None else "declared", constrain=constrain)
        )[0]

    def answer(
        self,
        questions: Sequence[Question],
        settings: AnswerSettings | None = None,
        load: ImageLoader = load_given_images,
    ) -> tuple[Answer, ...]:
        """Answers questions together: routed, and in batches of one adapter.

        Args:
            questions: The questions.
            settings: How to answer them.
            load: Loads a question's images; questions made by `Question.given_as` carry their own.

        Returns:
            The answers in the order of the questions.

        Raises:
            ModelFailure: The model, its device or a library broke.
        """
        chosen = settings or AnswerSettings()
        placed = [replace(question, position=place) for place, question in enumerate(questions)]
        counters = Counters()
        batches = plan(self.route(placed, chosen, counters), chosen.batch_size)
        answered = self.engine(chosen, load, counters).run(batches) if batches else ()
        found = {answer.position: answer for batch in answered for answer in batch}
        return tuple(found[place] for place in range(len(placed)))

    def route(
        self, questions: Sequence[Question], settings: AnswerSettings, counters: Counters
    ) -> list[RoutedQuestion]:
        """Chooses task and adapter of each question; the router is loaded only where one has to be read."""
        texts = {question.text for question in questions if needs_router(question, settings.routing)}
        if not texts:
            return [route(question, settings.routing, {}, 0.0) for question in questions]
        before = self.router.forwards
        predictions = self.router.classify(texts)
        counters.router_forwards += self.router.forwards - before
        threshold = self.router.threshold if settings.threshold is None else settings.threshold
        return [route(question, settings.routing, predictions, threshold) for question in questions]

    def engine(self, settings: AnswerSettings, load: ImageLoader, counters: Counters) -> Engine:
        """What answers batches of routed questions with the loaded model."""
        # Without an adapter the base is asked as the generalist is.
        routes = {**self.checkpoint.routes, NO_ADAPTER: self.checkpoint.routes[GENERALIST]}
        return Engine(self.model, routes, load, counters, settings.constrain, settings.batch_tokens)
