"""The task classifier: which task a question asks for, and how sure that is."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from mevlip.checkpoints.records import FrozenModel, read_record
from mevlip.core.errors import CheckpointError, ModelFailure
from mevlip.core.lean_imports import import_gliclass
from mevlip.routing.bi_encoder import BiEncoderPipeline, TwoTokenizers
from mevlip.tasks import TASKS, TaskType

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

ROUTER_NAME = "router.json"


class RouterSettings(FrozenModel):
    """Content of router.json: what the classifier was trained with."""

    version: Literal[1] = 1
    labels: dict[TaskType, str]
    """The words that stand for each task, as in training."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Least confidence for a task-specific adapter; 0.3 is the authors' released value (chance is 1/7)."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Divides the logits before the softmax; 1 leaves them as they are."""
    max_length: Annotated[int, Field(ge=16)] = 512
    """Longest input in tokens, labels included."""

    @model_validator(mode="after")
    def _labels_every_task(self) -> RouterSettings:
        if set(self.labels) != set(TASKS) or len(set(self.labels.values())) != len(TASKS):
            raise ValueError("labels gives each of the seven tasks words of its own")
        return self


@dataclass(frozen=True)
class TaskPrediction:
    """The task that the classifier finds most likely for one question.

    Attributes:
        task: The most likely task.
        confidence: Its probability among the seven, 0 to 1.
    """

    task: TaskType
    confidence: float


class Router:
    """A GLiClass model, loaded once.

    Where a GPU has no room for it, or fails, it goes on on the CPU with a warning, though `--device cuda` never falls
    back for the model itself: it is small, it names the same tasks there, and a run is not to be lost for it.

    Attributes:
        settings: What it was trained with.
        forwards: Batches run so far.
    """

    def __init__(self, pipeline: Any, settings: RouterSettings) -> None:
        self._pipeline = pipeline
        self.settings = settings
        self.forwards = 0

    @property
    def threshold(self) -> float:
        """Least confidence for a task's own adapter."""
        return self.settings.threshold

    @classmethod
    def load(cls, folder: Path, device: str | torch.device = "cpu") -> Router:
        """Loads the classifier from a local folder.

        Args:
            folder: The folder.
            device: Where it runs, if it can.

        Raises:
            CheckpointError: The folder does not hold a complete classifier.
            ModelFailure: The GPU failed for good.
        """
        settings = _read_settings(folder)
        import_gliclass()
        from gliclass import GLiClassModel
        from transformers import AutoTokenizer

        try:
            model = GLiClassModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            if model.config.architecture_type == "bi-encoder":
                tokenizer = TwoTokenizers.load(folder, tokenizer)
        except Exception as error:  # each library has errors of its own for a damaged file
            raise CheckpointError(
                f"The router in {folder} cannot be loaded ({type(error).__name__})", "Fetch or train the router again."
            ) from error
        router = cls(input_pipeline(model, tokenizer, settings, "cpu"), settings)
        router._move(device)
        return router

    def classify(self, questions: Iterable[str], batch_size: int = 32) -> dict[str, TaskPrediction]:
        """Classifies questions, each distinct one once.

        Args:
            questions: Question texts with blanks collapsed.
            batch_size: Distinct questions per forward.

        Returns:
            The prediction for each distinct question.
        """
        # Neighbors of like length waste least padding; ties by text keep batches the same from run to run.
        distinct = sorted(set(questions), key=lambda text: (len(text), text))
        predictions: dict[str, TaskPrediction] = {}
        for start in range(0, len(distinct), batch_size):
            batch = distinct[start : start + batch_size]
            predictions.update(zip(batch, self._classify_batch(batch), strict=True))
        return predictions

    def _classify_batch(self, batch: Sequence[str]) -> list[TaskPrediction]:
        import torch

        tasks = list(self.settings.labels)
        try:
            logits = score_texts(self._pipeline, self.settings, batch).cpu()
        except RuntimeError as error:
            if self._pipeline.device.type == "cpu":
                raise
            self._fall_back(error)
            logits = score_texts(self._pipeline, self.settings, batch)
        best = torch.softmax(logits / self.settings.temperature, dim=-1).max(dim=-1)
        self.forwards += 1
        return [TaskPrediction(tasks[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]

    def _move(self, device: str | torch.device) -> None:
        try:
            self._place(device)
        except RuntimeError as error:
            self._fall_back(error)

    def _fall_back(self, error: RuntimeError) -> None:
        """Goes on on the CPU.

        Raises:
            ModelFailure: The weights cannot be fetched from the GPU any more.
        """
        cause = str(error).partition("\n")[0]
        logger.warning("the task classifier runs on the CPU: the GPU failed it (%s)", cause)
        try:
            self._place("cpu")
        except RuntimeError as broken:
            raise ModelFailure(
                f"The GPU stopped working while it classified questions ({cause})",
                "Check the GPU, its driver and the packages with `mevlip doctor`, or choose --device cpu.",
            ) from broken

    def _place(self, device: str | torch.device) -> None:
        import torch

        self._pipeline.model.to(device)
        self._pipeline.device = torch.device(device)


def score_texts(pipeline: Any, settings: RouterSettings, batch: Sequence[str]) -> Any:
    """Scores a batch of texts; prediction and calibration both do it here.

    Returns:
        A float32 tensor of logits, shape (texts, tasks), columns in the order of `settings.labels`.
    """
    import torch

    labels = list(settings.labels.values())
    # A question that spells a mark of the classifier's own would forge a label.
    texts = [text.replace("<<", "< <") for text in batch]
    with torch.inference_mode():
        inputs = pipeline.prepare_inputs(texts, labels, same_labels=True)
        return pipeline.model(**inputs, max_num_classes=len(labels)).logits[:, : len(labels)].float()


def input_pipeline(model: Any, tokenizer: Any, settings: RouterSettings, device: str) -> Any:
    """What writes labels and questions for a model in training and prediction alike, by its `prepare_inputs`.

    That is GLiClass's own pipeline, except for bi-encoders: their `tokenizer` is a `TwoTokenizers`.
    """
    if isinstance(tokenizer, TwoTokenizers):
        return BiEncoderPipeline(model, tokenizer, settings.max_length, device)
    from gliclass import ZeroShotClassificationPipeline

    with contextlib.redirect_stdout(io.StringIO()):  # the library prints its choice of pipeline
        pipeline = ZeroShotClassificationPipeline(
            model,
            tokenizer,
            max_length=settings.max_length,
            classification_type="single-label",
            device=device,
            progress_bar=False,
        )
    return pipeline.pipe


def _read_settings(folder: Path) -> RouterSettings:
    return read_record(folder / ROUTER_NAME, RouterSettings, "router setting", "Fetch or train the router again.")
