"""Training a GLiClass task classifier on questions and their tasks."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from mevlip.core.errors import TrainingFailed
from mevlip.core.progress import Progress
from mevlip.routing.bi_encoder import TwoTokenizers
from mevlip.routing.router import ROUTER_NAME, RouterSettings, input_pipeline
from mevlip.tasks import TASKS
from mevlip_training.router_data import Pair, balanced_batches

LABEL_TOKEN, TEXT_TOKEN = "<<LABEL>>", "<<SEP>>"


@dataclass(frozen=True)
class RouterTraining:
    """How a router is trained.

    Attributes:
        architecture: Whether labels and question are read together, or each by an encoder of its own.
        steps: Batches that the weights are changed by.
        batch_size: Pairs per step.
        learning_rate: Peak rate of the encoder.
        head_learning_rate: Peak rate of the layers that start untrained; None takes `learning_rate`.
        focal_alpha: Weight of the right label against the wrong ones in the focal loss (Lin et al. 2017); -1 is none.
        focal_gamma: Exponent that plays down what is already learned.
        fp16: Mixed precision on CUDA; the CPU always computes in single precision.
        seed: Seeds weights, order and dropout.
    """

    architecture: Literal["uni-encoder", "bi-encoder"] = "uni-encoder"
    steps: int = 1500
    batch_size: int = 8
    learning_rate: float = 1e-5
    head_learning_rate: float | None = 3e-5
    focal_alpha: float = -1.0
    focal_gamma: float = 1.0
    fp16: bool = True
    seed: int = 0


DEFAULT = RouterTraining()
"""The paper's settings, but without class weights, and with GLiClass's own default rate (3e-5) for its new layers."""

PAPER = RouterTraining(head_learning_rate=None, focal_alpha=1.0)
"""The settings as the paper prints them.

An alpha of 1 gives every wrong label the weight 1 - alpha = 0, so the loss is least where all labels score 1.0: such a
run ends in `TrainingFailed`. It is kept to show just that.
"""

BI_ENCODER = RouterTraining(architecture="bi-encoder")
"""The default's settings for a question encoder beside a label encoder."""

PRESETS = {"default": DEFAULT, "bi-encoder": BI_ENCODER, "paper": PAPER}


def default_settings() -> RouterSettings:
    """Settings with the task table's label words."""
    return RouterSettings(labels={task.type: task.router_label for task in TASKS.values()})


def new_router(encoder: Any, tokenizer: Any, plan: RouterTraining) -> Any:
    """Puts an untrained GLiClass uni-encoder round an encoder.

    All labels and the question share one sequence; a label's score is the dot product of its mark's state with the
    question's. GLiClass's own way to load an encoder would also take pickles, hence this one.

    Args:
        encoder: A text encoder; its embeddings are enlarged for the two marks where they need to be.
        tokenizer: Its tokenizer, which gets the two marks.
        plan: Gives the loss and the seed.
    """
    torch.manual_seed(plan.seed)
    tokenizer.add_tokens([LABEL_TOKEN, TEXT_TOKEN], special_tokens=True)
    if len(tokenizer) > encoder.config.vocab_size:
        encoder.resize_token_embeddings(len(tokenizer))
    model = _untrained(
        encoder,
        plan,
        prompt_first=True,
        class_token_index=tokenizer.convert_tokens_to_ids(LABEL_TOKEN),
        text_token_index=tokenizer.convert_tokens_to_ids(TEXT_TOKEN),
    )
    model.model.encoder_model = encoder
    return model


def new_bi_encoder(encoder: Any, label_encoder: Any, plan: RouterTraining) -> Any:
    """Puts an untrained GLiClass bi-encoder round two encoders.

    A question and a label's words never meet before the dot product of their two states.

    Args:
        encoder: Reads the questions.
        label_encoder: Reads the label words; its width may be another.
        plan: Gives the loss and the seed.
    """
    torch.manual_seed(plan.seed)
    model = _untrained(
        encoder,
        plan,
        label_model_config=label_encoder.config,
        label_model_name=label_encoder.config.model_type,  # only a name, but without one there is no label encoder
    )
    model.model.encoder_model, model.model.label_encoder = encoder, label_encoder
    return model


def two_tokenizers(questions: Any, labels: Any) -> TwoTokenizers:
    """A bi-encoder's tokenizers, of the tokenizers of its two encoders."""
    words = labels.backend_tokenizer
    words.no_truncation()
    words.enable_padding(pad_id=labels.pad_token_id, pad_token=labels.pad_token)
    return TwoTokenizers(questions, words)


def _untrained(encoder: Any, plan: RouterTraining, **config: Any) -> Any:
    from gliclass import GLiClassModel, GLiClassModelConfig

    return GLiClassModel(
        GLiClassModelConfig(
            encoder_config=encoder.config,
            encoder_model=encoder.config.model_type,  # only a name for the record
            architecture_type=plan.architecture,
            scorer_type="simple",
            # 'avg' ignores the attention mask, so a question's score would depend on its batch.
            pooling_strategy="first",
            vocab_size=encoder.config.vocab_size,
            problem_type="multi_label_classification",
            focal_loss_alpha=plan.focal_alpha,
            focal_loss_gamma=plan.focal_gamma,
            # Projections keep the size of what they are given; the library's 0.03 makes scores of a narrow encoder so
            # small that nothing is learned for long.
            initializer_range=round(encoder.config.hidden_size**-0.5, 4),
            max_num_classes=len(TASKS),
            **config,
        )
    )


def train_router(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[Pair],
    settings: RouterSettings,
    plan: RouterTraining,
    device: str = "cpu",
    quiet: bool = True,
) -> list[float]:
    """Trains a GLiClass model in place, by batches in which every task comes up equally often.

    The loop is plain because the library's trainer passes over every error in a step. On a CPU the same seed gives the
    same weights.

    Args:
        model: A GLiClassModel; its own focal loss is used, with the alpha and gamma of its config.
        tokenizer: Its tokenizer, which knows the two marks; a bi-encoder's two.
        pairs: Questions and their tasks.
        settings: The settings that the predictor will use, such as the label words.
        plan: Hyper-parameters.
        device: Where to train: `cpu` or `cuda`.
        quiet: Whether to show no progress.

    Returns:
        The loss of each step.

    Raises:
        TrainingFailed: The loss was not a number, or did not fall.
    """
    torch.manual_seed(plan.seed)
    rng = random.Random(plan.seed)  # noqa: S311 - shuffling, not secrets
    model.to(device)
    step = _Step(model, plan, device)
    pipeline = input_pipeline(model, tokenizer, settings, device)
    model.train()  # the pipeline switched it to evaluation
    losses: list[float] = []
    with Progress("training the router", plan.steps, "steps", quiet) as progress:
        for batch in balanced_batches(pairs, plan.steps, plan.batch_size, rng):
            losses.append(step(_encode(pipeline, settings, batch)))
            progress.advance()
    model.eval()
    _check_fall(losses)
    return losses


class _Step:
    """One step of AdamW, in mixed precision on CUDA."""

    def __init__(self, model: Any, plan: RouterTraining, device: str) -> None:
        head_rate = plan.learning_rate if plan.head_learning_rate is None else plan.head_learning_rate
        groups: dict[bool, list[Any]] = {True: [], False: []}
        for name, weight in model.named_parameters():
            groups["encoder_model." in name or "label_encoder." in name].append(weight)
        rates = [plan.learning_rate, head_rate]
        self._model = model
        self._optimizer = torch.optim.AdamW(
            [{"params": groups[True], "lr": rates[0]}, {"params": groups[False], "lr": rates[1]}]
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, lambda done: _rate_at(done, plan.steps))
        self._mixed = plan.fp16 and device.startswith("cuda")
        self._scaler = torch.amp.GradScaler(device.partition(":")[0], enabled=self._mixed)

    def __call__(self, inputs: dict[str, Any]) -> float:
        with torch.autocast("cuda", torch.float16) if self._mixed else nullcontext():
            loss = self._model(**inputs, max_num_classes=len(TASKS)).loss
        value: float = loss.item()
        if not math.isfinite(value):
            raise TrainingFailed(
                f"The router's training loss became {value}",
                "Train with a lower --learning-rate, and on a GPU with --no-fp16.",
            )
        self._optimizer.zero_grad()
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        scale = self._scaler.get_scale()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._scaler.get_scale() >= scale:  # else the step was left out, and the schedule must wait for it
            self._schedule.step()
        return value


def _rate_at(done: int, steps: int) -> float:
    """Share of the peak rate: a tenth of the steps rises to it, a half cosine falls to nothing."""
    rise = max(1, steps // 10)
    return (done + 1) / rise if done < rise else (1 + math.cos(math.pi * (done - rise) / max(1, steps - rise))) / 2


def _check_fall(losses: Sequence[float]) -> None:
    part = max(1, len(losses) // 4)
    first, last = sum(losses[:part]) / part, sum(losses[-part:]) / part
    if not last < first:
        raise TrainingFailed(
            f"The router's training loss did not fall ({first:.4f} at first, {last:.4f} at the end)",
            "Train for more --steps or with another --learning-rate (1e-5 suits a pretrained encoder).",
        )


def _encode(pipeline: Any, settings: RouterSettings, batch: Sequence[Pair]) -> dict[str, Any]:
    """Encodes a batch, the labels in the order in which the predictor lists them, too.

    Another order for each row, as GLiClass's own training has it, teaches a classifier labels that it never saw, which
    is of no use here, and takes several times as many steps.
    """
    inputs = pipeline.prepare_inputs([text for text, _ in batch], list(settings.labels.values()), same_labels=True)
    targets = [[float(one == task) for one in settings.labels] for _, task in batch]
    return {**inputs, "labels": torch.tensor(targets, device=inputs["input_ids"].device)}


def save_router(model: Any, tokenizer: Any, folder: Path, settings: RouterSettings) -> None:
    """Writes a router folder that `mevlip.routing.router.Router` loads."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / ROUTER_NAME).write_text(settings.model_dump_json(indent=1) + "\n", "utf-8")
    for path in folder.iterdir():  # safetensors keeps its file to its owner, but a container may run as anybody
        path.chmod(0o644)
