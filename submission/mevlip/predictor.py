"""The loaded system: a verified checkpoint, its router and its model, each loaded once and only when needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mevlip.checkpoints.checkpoint import Checkpoint, begin_verification, find_checkpoint, read_checkpoint
from mevlip.checkpoints.verified import read_verified, write_verified
from mevlip.core.lean_imports import free_dropped, import_gliclass, import_peft
from mevlip.core.offline import go_offline
from mevlip.core.progress import Progress
from mevlip.flare.given import load_given_images
from mevlip.flare.questions import Question
from mevlip.inference.completion import Model
from mevlip.inference.engine import Answer, Counters, Engine
from mevlip.inference.memory import parse_size
from mevlip.inference.pictures import ImageLoader
from mevlip.routing.policy import RoutedQuestion, Routing, needs_router, route
from mevlip.routing.router import Router, TaskPrediction
from mevlip.settings import AnswerSettings, Device, PredictorSettings, Verify
from mevlip.tasks import GENERALIST, NO_ADAPTER, TaskType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mevlip.checkpoints.verification import Verification
    from mevlip.flare.questions import GivenImage

logger = logging.getLogger(__name__)

ModelLoader = Callable[[Checkpoint, PredictorSettings], Model]
RouterLoader = Callable[[Path, Device], "TaskClassifier"]


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
    hashed_files: int = 0
    hashed_bytes: int = 0
    unchanged_files: int = 0
    """Files that were not hashed, because they are unchanged since they were."""
    unchanged_bytes: int = 0
    routers: int = 0
    models: int = 0


def load_router(folder: Path, device: Device) -> TaskClassifier:
    """Loads the checkpoint's task classifier, on the model's device; the heavy imports happen here."""
    import_gliclass()
    from mevlip.inference.device import choose_device

    return Router.load(folder, choose_device(device))


def load_model(checkpoint: Checkpoint, settings: PredictorSettings, exact: bool = False) -> Model:
    """Loads the checkpoint's model; the heavy imports happen here.

    Args:
        checkpoint: The checkpoint.
        settings: Where and how it runs.
        exact: Whether to compute in float32 without a GPU, whatever the processor is fast with.
    """
    import_peft()
    import torch

    from mevlip.inference.device import choose_device
    from mevlip.inference.loading import compute_dtype
    from mevlip.inference.model import VisionLanguageModel

    chosen = choose_device(settings.device)
    dtype = torch.float32 if exact and chosen.type == "cpu" else compute_dtype(chosen)
    how = str(dtype).removeprefix("torch.")
    logger.info("device: %s, %s%s", chosen, how, " (chosen automatically)" if settings.device == "auto" else "")
    if unknown := [name for name in checkpoint.routes if name not in checkpoint.probes]:
        logger.warning(
            "no known answer is recorded for %s: they are only known to change the base's output; assemble the "
            "checkpoint again without --no-probe",
            ", ".join(unknown),
        )
    most = parse_size(settings.max_memory) if settings.max_memory else None
    return VisionLanguageModel.load(checkpoint, chosen, most, settings.reference, dtype)


class Predictor:
    """Owns a checkpoint's router and model and answers questions with them.

    Args:
        checkpoint: The checkpoint; its files are verified before the first answer.
        settings: Where and how the model runs, and how files are verified.
        load_model: Loads the model; tests and other model families hand in another.
        load_router: Loads the task classifier; likewise.
        quiet: Whether to show no progress.

    Attributes:
        loads: How often checkpoint, router and model were loaded.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: PredictorSettings | None = None,
        *,
        load_model: ModelLoader = load_model,
        load_router: RouterLoader = load_router,
        quiet: bool = True,
    ) -> None:
        go_offline()
        self.checkpoint = checkpoint
        self.settings = settings or PredictorSettings()
        self.loads = Loads()
        self._verifying: Verification | None = None
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
        return cls(read_checkpoint(find_checkpoint(chosen.checkpoint)), chosen, **options)

    @classmethod
    def load(
        cls,
        checkpoint: str | Path | None = None,
        device: Device = "auto",
        *,
        verify: Verify = "full",
        **options: Any,
    ) -> Predictor:
        """Verifies a checkpoint and loads its router and model.

        Args:
            checkpoint: Its folder or name; None for the medical one if it is there, else the demo.
            device: Where the model runs.
            verify: Whether every file is hashed, or only those changed since a `quick` verification before.
            options: Those of the class.

        Raises:
            CheckpointError: The checkpoint is absent, incomplete or altered.
            EnvironmentProblem: The device cannot be used, or memory does not suffice.
            ModelFailure: The model, its device or a library broke.
        """
        name = None if checkpoint is None else str(checkpoint)
        predictor = cls.find(PredictorSettings(checkpoint=name, device=device, verify=verify), **options)
        _ = predictor.router, predictor.model
        return predictor

    def begin_verification(self) -> None:
        """Compares the checkpoint's files with its manifest, all but its weights, which threads hash from now on.

        Raises:
            CheckpointError: A file is missing, unlisted, of a refused kind or of another size, or is altered and is
                not weights.
        """
        if self._verifying:
            return
        folder, manifest, digest = self.checkpoint.folder, self.checkpoint.manifest, self.checkpoint.digest
        known = read_verified(folder, digest) if self.settings.verify == "quick" else {}
        self._verifying = begin_verification(folder, manifest, known)
        logger.info("checkpoint: %s (%s)", folder, manifest.kind)
        if manifest.notice:
            logger.warning("%s", manifest.notice)

    def verify(self) -> None:
        """Waits until every file of the checkpoint is known to be as its manifest says.

        Raises:
            CheckpointError: A file is missing, altered, unlisted or of a refused kind.
        """
        if self.loads.verifications:
            return
        self.begin_verification()
        assert self._verifying, "it has begun"  # noqa: S101 - a line above
        try:
            with Progress("verifying the checkpoint", self.checkpoint.manifest.size, "B", self._quiet) as progress:
                files = self._verifying.wait(progress.advance)
        except BaseException:
            self._verifying = None  # asked again, it is begun anew
            raise
        hashed = [one.size for one in files.values() if one.hashed]
        unchanged = [one.size for one in files.values() if not one.hashed]
        self.loads.hashed_files, self.loads.hashed_bytes = len(hashed), sum(hashed)
        self.loads.unchanged_files, self.loads.unchanged_bytes = len(unchanged), sum(unchanged)
        self.loads.verifications += 1
        if self.settings.verify == "quick":
            logger.info("verified: %d files hashed, %d unchanged since they were", len(hashed), len(unchanged))
            if hashed:
                stamps = {name: one.stamp for name, one in files.items() if one.stamp}
                write_verified(self.checkpoint.folder, self.checkpoint.digest, stamps)

    @contextmanager
    def _unverified(self) -> Iterator[None]:
        """Lets weights be used while they are verified; where one is damaged, that is the error, whatever else fails.

        Raises:
            CheckpointError: A file is altered; a library may have said something else about it.
        """
        self.begin_verification()
        assert self._verifying, "it has begun"  # noqa: S101 - a line above
        if self._verifying.failed:
            self.verify()
        try:
            yield
        except Exception:
            self.verify()
            raise
        except BaseException:  # Ctrl-C waits for nothing
            self._verifying.stop()
            self._verifying = None
            raise

    @cached_property
    def router(self) -> TaskClassifier:
        """The task classifier."""
        with self._unverified():
            self.loads.routers += 1
            return self._load_router(self.checkpoint.router, self.settings.device)

    @cached_property
    def model(self) -> Model:
        """The model with its adapters; its checkpoint is verified."""
        with self._unverified():
            self.loads.models += 1
            model = self._load_model(self.checkpoint, self.settings)
        self.verify()
        return model

    def close(self) -> None:
        """Drops router and model, and frees their memory; where they are needed again, they are loaded again."""
        self.__dict__.pop("router", None)
        self.__dict__.pop("model", None)
        free_dropped()

    @property
    def identity(self) -> dict[str, Any]:
        """What answers depend on besides the question and the settings."""
        return {"checkpoint": self.checkpoint.digest, **self.settings.model_dump(exclude={"checkpoint", "verify"})}

    def ask(
        self,
        question: str,
        images: Sequence[GivenImage] = (),
        *,
        task: TaskType | str | None = None,
        constrain: bool = True,
        thinking: str | None = None,
    ) -> Answer:
        """Answers one question.

        Args:
            question: Its text.
            images: Its images: paths, files' bytes or Pillow images.
            task: What kind of answer it wants; None lets the router decide.
            constrain: Whether the model may only say what the question allows.
            thinking: Whether it thinks first; see `AnswerSettings`.
        """
        asked = Question.given_as(question, images, TaskType(task) if task is not None else None)
        routing: Routing = "router" if task is None else "declared"
        settings = AnswerSettings(routing=routing, constrain=constrain, thinking=thinking)
        return self.answer([asked], settings)[0]

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
        if not placed:
            return ()
        with self.engine(self.route(placed, chosen, counters), chosen, load, counters) as engine:
            found = {answer.position: answer for answers in engine.run() for answer in answers}
        return tuple(found[place] for place in range(len(placed)))

    def route(
        self, questions: Sequence[Question], settings: AnswerSettings, counters: Counters
    ) -> list[RoutedQuestion]:
        """Chooses task and adapter of each question; the router is loaded only where one has to be read."""
        texts = {question.text for question in questions if needs_router(question, settings.routing)}
        if not texts:
            return [route(question, settings.routing, {}, 0.0, self.checkpoint.routes) for question in questions]
        before = self.router.forwards
        with self._unverified():
            predictions = self.router.classify(texts)
        counters.router_forwards += self.router.forwards - before
        threshold = self.router.threshold if settings.threshold is None else settings.threshold
        return [
            route(question, settings.routing, predictions, threshold, self.checkpoint.routes) for question in questions
        ]

    def engine(
        self, routed: Sequence[RoutedQuestion], settings: AnswerSettings, load: ImageLoader, counters: Counters
    ) -> Engine:
        """What answers routed questions with the loaded model."""
        # Without an adapter the base is asked as the generalist is.
        known = {**self.checkpoint.routes, NO_ADAPTER: self.checkpoint.routes[GENERALIST]}
        routes = {name: one.with_thinking(settings.thinking) for name, one in known.items()}
        return Engine(self.model, routes, load, routed, counters, settings.constrain, settings.batch_tokens)
