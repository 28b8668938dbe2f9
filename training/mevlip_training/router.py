"""Training a GLiClass task classifier on questions and their tasks."""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mevlip.core.errors import EnvironmentProblem, InputError, TrainingFailed
from mevlip.core.progress import Progress
from mevlip.flare.questions import Question
from mevlip.routing.router import ROUTER_NAME, RouterSettings, input_pipeline
from mevlip.tasks import TASKS, TaskType

Pair = tuple[str, TaskType | None]
"""A question and its task; None marks an off-topic text, whose target is 0 for all seven labels."""

LABEL_TOKEN, TEXT_TOKEN = "<<LABEL>>", "<<SEP>>"

_TOKENIZER_REMEDY = (
    "Put its files into the encoder's folder; for a SentencePiece file (spm.model) also "
    "pip install sentencepiece protobuf."
)
_POOL = 8  # batches whose pairs are sorted by length together


@dataclass(frozen=True)
class RouterTraining:
    """How a router is trained.

    Attributes:
        epochs: Passes over the pairs.
        batch_size: Pairs per step.
        learning_rate: Peak rate of the encoder.
        head_learning_rate: Peak rate of the layers that start untrained; None takes `learning_rate`.
        focal_alpha: Weight of the right label against the wrong ones in the focal loss (Lin et al. 2017); -1 is none.
        focal_gamma: Exponent that plays down what is already learned.
        shuffle_labels: Whether each row lists the labels in an order of its own.
        fp16: Mixed precision on CUDA; the CPU always computes in single precision.
        seed: Seeds weights, order and dropout.
    """

    epochs: int = 3
    batch_size: int = 8
    learning_rate: float = 1e-5
    head_learning_rate: float | None = 3e-5
    focal_alpha: float = -1.0
    focal_gamma: float = 1.0
    shuffle_labels: bool = True
    fp16: bool = True
    seed: int = 0


DEFAULT = RouterTraining()
"""The paper's settings, but without class weights, and with GLiClass's own default rate (3e-5) for its new layers."""

PAPER = RouterTraining(head_learning_rate=None, focal_alpha=1.0)
"""The settings as the paper prints them.

An alpha of 1 gives every wrong label the weight 1 - alpha = 0, so the loss is least where all labels score 1.0: such a
run ends in `TrainingFailed`. It is kept to show just that.
"""

PRESETS = {"default": DEFAULT, "paper": PAPER}


@dataclass(frozen=True)
class QuestionPairs:
    """The distinct questions of a data set.

    Attributes:
        pairs: Each distinct question text with its task.
        records: Records read.
        unknown: Records left out because their TaskType names none of the seven, or they hold no question.
        conflicting: Texts declared with several tasks; the most frequent one was taken.
    """

    pairs: tuple[Pair, ...]
    records: int
    unknown: int
    conflicting: int


@dataclass(frozen=True)
class Split:
    """Pairs to train on, and pairs of wordings that training never sees."""

    training: tuple[Pair, ...]
    held_out: tuple[Pair, ...]


def default_settings() -> RouterSettings:
    """Settings with the task table's label words."""
    return RouterSettings(labels={task.type: task.router_label for task in TASKS.values()})


def distinct_pairs(questions: Iterable[Question]) -> QuestionPairs:
    """Collects each distinct question text once; raises InputError where no question declares a known task."""
    tasks: dict[str, Counter[TaskType]] = defaultdict(Counter)
    records = unknown = 0
    for question in questions:
        records += 1
        if question.declared is None or not question.text:
            unknown += 1
        else:
            tasks[question.text][question.declared] += 1
    if not tasks:
        raise InputError(
            f"None of {records} question records declares one of the seven task types",
            "Train on question files whose TaskType field is filled; `mevlip tasks` lists the spellings.",
        )
    pairs = tuple((text, counts.most_common(1)[0][0]) for text, counts in tasks.items())
    return QuestionPairs(pairs, records, unknown, sum(len(counts) > 1 for counts in tasks.values()))


def question_stem(text: str) -> str:
    """A question's wording without what varies in it: options, numbers, case, punctuation.

    Example:
        >>> question_stem("Question: Which tooth, 36 or 37? A: Left, B: Right")
        'which tooth 0 or 0'
    """
    stem = re.sub(r"^\s*question:\s*", "", text, flags=re.IGNORECASE)
    stem = re.split(r"(?:^|[\s(])A[:.)]\s|:|\[|\{", stem, maxsplit=1)[0] or stem
    stem = re.sub(r"\d+(?:\.\d+)?", "0", stem.lower())
    return " ".join(re.findall(r"\w+", stem))


def split_by_wording(pairs: Sequence[Pair], share: float = 0.2, seed: int = 0) -> Split:
    """Holds out whole wordings, so that a router is measured on questions phrased as none it was trained on.

    Args:
        pairs: Distinct questions and their tasks.
        share: Share of each task's wordings to hold out; at least one is, where a task has two or more.
        seed: Chooses which.
    """
    wordings: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        wordings[question_stem(pair[0])].append(pair)
    by_task: dict[TaskType | None, list[str]] = defaultdict(list)
    for stem, members in wordings.items():
        by_task[members[0][1]].append(stem)
    rng = random.Random(seed)  # noqa: S311 - a choice, not secrets
    kept_back: set[str] = set()
    for task in (*TASKS, None):
        stems = sorted(by_task[task])
        rng.shuffle(stems)
        if len(stems) > 1:
            kept_back.update(stems[: max(1, round(share * len(stems)))])
    chosen = {text for stem in kept_back for text, _ in wordings[stem]}
    return Split(
        tuple(pair for pair in pairs if pair[0] not in chosen), tuple(pair for pair in pairs if pair[0] in chosen)
    )


def open_encoder(name: str, allow_bin: bool = False) -> tuple[Any, Any]:
    """Opens a pretrained text encoder and its tokenizer, in single precision.

    Args:
        name: A local folder, or a model's name on the hub or in this machine's hub cache.
        allow_bin: Whether a `pytorch_model.bin` may be read, by torch's restricted unpickler, where there are no
            safetensors. microsoft/deberta-v3-small is published that way, and its weights are half precision.

    Raises:
        EnvironmentProblem: The model or its tokenizer cannot be opened.
    """
    from transformers import AutoModel, AutoTokenizer

    local = Path(name).is_dir()
    try:
        encoder = AutoModel.from_pretrained(
            name,
            use_safetensors=None if allow_bin else True,
            weights_only=True,
            local_files_only=local,
            trust_remote_code=False,
            dtype=torch.float32,
        )
    except Exception as error:  # the hub, the disk and three libraries have errors of their own
        remedy = "Name a folder that holds config.json, the weights and the tokenizer with --encoder."
        if not allow_bin and (not local or any(Path(name).glob("pytorch_model*.bin"))):
            remedy += " Where the model has only a pytorch_model.bin, --allow-bin reads it as plain tensors."
        raise EnvironmentProblem(f"The encoder {name} cannot be opened ({_first_line(error)})", remedy) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=local, trust_remote_code=False)
    except Exception as error:
        raise EnvironmentProblem(
            f"The tokenizer of {name} cannot be opened ({_first_line(error)})",
            _TOKENIZER_REMEDY,
        ) from error
    if len(tokenizer) < encoder.config.vocab_size // 2:  # where the files are missing, the library makes an empty one
        raise EnvironmentProblem(f"The tokenizer of {name} knows only {len(tokenizer)} words", _TOKENIZER_REMEDY)
    if local:
        encoder.config._name_or_path = ""  # a path would name this machine
    return encoder, tokenizer


def new_router(encoder: Any, tokenizer: Any, plan: RouterTraining) -> Any:
    """Puts an untrained GLiClass uni-encoder round an encoder.

    All labels and the question share one sequence; a label's score is the dot product of its mark's state with the
    question's. GLiClass's own way to load an encoder would also take pickles, hence this one.

    Args:
        encoder: A text encoder; its embeddings are enlarged for the two marks where they need to be.
        tokenizer: Its tokenizer, which gets the two marks.
        plan: Gives the loss and the seed.
    """
    from gliclass import GLiClassModel, GLiClassModelConfig

    torch.manual_seed(plan.seed)
    tokenizer.add_tokens([LABEL_TOKEN, TEXT_TOKEN], special_tokens=True)
    if len(tokenizer) > encoder.config.vocab_size:
        encoder.resize_token_embeddings(len(tokenizer))
    config = GLiClassModelConfig(
        encoder_config=encoder.config,
        encoder_model=encoder.config.model_type,  # only a name for the record
        architecture_type="uni-encoder",
        prompt_first=True,
        scorer_type="simple",
        # 'avg' ignores the attention mask, so a question's score would depend on its batch.
        pooling_strategy="first",
        class_token_index=tokenizer.convert_tokens_to_ids(LABEL_TOKEN),
        text_token_index=tokenizer.convert_tokens_to_ids(TEXT_TOKEN),
        vocab_size=encoder.config.vocab_size,
        problem_type="multi_label_classification",
        focal_loss_alpha=plan.focal_alpha,
        focal_loss_gamma=plan.focal_gamma,
        # The library's 0.03 leaves the two projections' product so small that a new model learns nothing for long.
        initializer_range=0.125 if encoder.config.hidden_size <= 256 else 0.03,
        max_num_classes=len(TASKS),
    )
    model = GLiClassModel(config)
    model.model.encoder_model = encoder
    return model


def train_router(
    model: Any,
    tokenizer: Any,
    pairs: Sequence[Pair],
    settings: RouterSettings,
    plan: RouterTraining,
    device: str = "cpu",
    quiet: bool = True,
) -> list[float]:
    """Trains a GLiClass uni-encoder in place.

    The loop is plain because the library's trainer passes over every error in a step. On a CPU the same seed gives the
    same weights.

    Args:
        model: A GLiClassModel; its own focal loss is used, with the alpha and gamma of its config.
        tokenizer: Its tokenizer, which knows the two marks.
        pairs: Questions and their tasks.
        settings: The settings that the predictor will use, such as the label words.
        plan: Hyper-parameters.
        device: Where to train: `cpu` or `cuda`.
        quiet: Whether to show no progress.

    Returns:
        The mean loss of each epoch.

    Raises:
        TrainingFailed: The loss was not a number, or did not fall.
    """
    torch.manual_seed(plan.seed)
    rng = random.Random(plan.seed)  # noqa: S311 - shuffling, not secrets
    steps_per_epoch = -(-len(pairs) // plan.batch_size)
    steps = plan.epochs * steps_per_epoch
    model.to(device).train()
    step = _Step(model, plan, device, steps)
    pipeline = input_pipeline(model, tokenizer, settings, device)
    model.train()  # the pipeline switched it to evaluation
    losses: list[float] = []
    with Progress("training the router", steps, "steps", quiet) as progress:
        for _ in range(plan.epochs):
            for batch in _batches(pairs, plan.batch_size, rng):
                losses.append(step(_encode(pipeline, settings, batch, rng if plan.shuffle_labels else None)))
                progress.advance()
    model.eval()
    _check_fall(losses)
    epochs = (losses[start : start + steps_per_epoch] for start in range(0, steps, steps_per_epoch))
    return [sum(epoch) / len(epoch) for epoch in epochs]


class _Step:
    """One step of AdamW, in mixed precision on CUDA."""

    def __init__(self, model: Any, plan: RouterTraining, device: str, steps: int) -> None:
        head_rate = plan.learning_rate if plan.head_learning_rate is None else plan.head_learning_rate
        groups: dict[bool, list[Any]] = {True: [], False: []}
        for name, weight in model.named_parameters():
            groups["encoder_model" in name].append(weight)
        rates = [plan.learning_rate, head_rate]
        self._model = model
        self._optimizer = torch.optim.AdamW(
            [{"params": groups[True], "lr": rates[0]}, {"params": groups[False], "lr": rates[1]}]
        )
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, lambda done: _rate_at(done, steps))
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
            "Train for more --epochs or with another --learning-rate (1e-5 suits a pretrained encoder).",
        )


def _batches(pairs: Sequence[Pair], size: int, rng: random.Random) -> Iterator[list[Pair]]:
    """Shuffles, then batches neighbors of like length, which halves the time: attention costs length squared."""
    order = list(pairs)
    rng.shuffle(order)
    for start in range(0, len(order), size * _POOL):
        pool = sorted(order[start : start + size * _POOL], key=lambda pair: len(pair[0]))
        batches = [pool[first : first + size] for first in range(0, len(pool), size)]
        rng.shuffle(batches)
        yield from batches


def _encode(
    pipeline: Any, settings: RouterSettings, batch: Sequence[Pair], rng: random.Random | None
) -> dict[str, Any]:
    """Encodes a batch; with a generator, the labels of each row stand in an order of its own."""
    orders = []
    for _ in batch:
        order = list(settings.labels)
        if rng is not None:
            rng.shuffle(order)
        orders.append(order)
    labels = [[settings.labels[task] for task in order] for order in orders]
    inputs = pipeline.prepare_inputs([question for question, _ in batch], labels)
    targets = [[float(one == task) for one in order] for order, (_, task) in zip(orders, batch, strict=True)]
    return {**inputs, "labels": torch.tensor(targets, device=inputs["input_ids"].device)}


def save_router(model: Any, tokenizer: Any, folder: Path, settings: RouterSettings) -> None:
    """Writes a router folder that `mevlip.routing.router.Router` loads."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / ROUTER_NAME).write_text(settings.model_dump_json(indent=1) + "\n", "utf-8")
    for path in folder.iterdir():  # safetensors keeps its file to its owner, but a container may run as anybody
        path.chmod(0o644)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
