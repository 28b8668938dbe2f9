"""`mevlip train router`: options become a training run, its figures become a table."""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mevlip.cli.options import INPUT_FOLDER, quiet_option, seed_option, settings_options
from mevlip.settings import PredictorSettings

if TYPE_CHECKING:
    from mevlip_training.calibration import Calibration
    from mevlip_training.router import RouterTraining
    from mevlip_training.router_data import Pair, Split

ENCODER = "microsoft/deberta-v3-small"
LABEL_ENCODER = "BAAI/bge-small-en-v1.5"
"""The paper's two encoders."""

logger = logging.getLogger(__name__)


@click.command()
@click.argument("data", metavar="DATA_DIR", type=INPUT_FOLDER)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The router's folder; new or empty.")
@click.option("--encoder", default=ENCODER, show_default=True, help="A folder, or a model's name on the hub.")
@click.option("--allow-bin", is_flag=True, help="Convert a pytorch_model.bin if that is all there is.")
@click.option(
    "--preset",
    type=click.Choice(["default", "bi-encoder", "paper"]),
    default="default",
    show_default=True,
    help="default: a uni-encoder reads labels and question together. bi-encoder: a label encoder of its own reads the "
    "labels. paper: focal alpha 1 as printed; it gives wrong labels no weight, learns nothing and says so.",
)
@click.option("--label-encoder", help=f"Of the bi-encoder. Default: {LABEL_ENCODER}.")
@click.option("--steps", type=click.IntRange(1), help="Batches; every task comes up equally often. Default: 1500.")
@click.option("--batch-size", type=click.IntRange(1), help="Default: 8.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Default: 1e-5.")
@click.option("--head-learning-rate", type=click.FloatRange(0, min_open=True), help="Of the new layers. Default: 3e-5.")
@click.option("--focal-alpha", type=click.FloatRange(-1, 1), help="Class weight, -1 for none. Default: -1.")
@click.option("--fp16/--no-fp16", default=True, help="Mixed precision on a GPU; the CPU never uses it.")
@click.option("--held-out", type=click.FloatRange(0.01, 0.5), default=0.2, show_default=True, help="Share of wordings.")
@settings_options(PredictorSettings, ["device"])
@seed_option(0)
@click.option("--report", type=click.Path(path_type=Path), help="Folder for the reliability plot (PNG and SVG).")
@quiet_option
def router(data: Path, out: Path, report: Path | None, quiet: bool, **options: Any) -> None:
    """Train and calibrate the task classifier.

    It is trained on the questions below DATA_DIR and calibrated on wordings that it never saw.

    Each distinct question counts once; only its text and its TaskType are read. One text in six is off-topic,
    so that such questions go to the generalist. A router that misses more than a quarter of a task's held-out
    questions is not written.

    \b
    Example: mevlip train router data/FLARE --out checkpoints/me-vlip/router --encoder models/deberta-v3-small
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise click.UsageError(f"--out {out} is not empty; name a new folder.")
    if options["preset"] != "bi-encoder" and options["label_encoder"]:
        raise click.UsageError("--label-encoder goes with --preset bi-encoder.")
    options["label_encoder"] = options["label_encoder"] or LABEL_ENCODER
    encoders = [options["encoder"], *([options["label_encoder"]] if options["preset"] == "bi-encoder" else [])]
    _quieten(local=all(Path(name).is_dir() for name in encoders))
    split = _read(data, options["held_out"], options["seed"])
    calibration = _train(split, out, options, quiet)
    if report is not None:
        _draw(calibration, report)
    click.echo(_table(calibration, split))
    click.echo(f"wrote {out}: {calibration.summary}", err=True)


def _quieten(local: bool) -> None:
    """Keeps the libraries from talking, and from asking the hub to convert somebody's pickle on our behalf."""
    from mevlip.core.offline import go_offline

    offline = {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    go_offline()
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    if not local:  # a name may come from the hub, unless the user said otherwise
        for name, value in offline.items():
            if value is None:
                del os.environ[name]


def _read(data: Path, share: float, seed: int) -> Split:
    from mevlip.core.errors import InputError
    from mevlip.flare.questions import read_input_folder
    from mevlip.tasks import TASKS
    from mevlip_training.router_data import distinct_pairs, split_by_wording

    found = distinct_pairs(read_input_folder(data).questions)
    split = split_by_wording(found.pairs, share, seed)
    logger.info("%d records, %d distinct questions", found.records, len(found.pairs))
    logger.info("to train on: %d; of held-out wordings: %d", len(split.training), len(split.held_out))
    if found.unknown:
        logger.warning("%d records were left out: no known TaskType, or no question", found.unknown)
    if found.conflicting:
        logger.warning("%d questions are declared with several tasks; the most frequent was taken", found.conflicting)
    if not split.held_out:
        raise InputError(
            f"No task in {data} has two wordings, so none can be held out",
            "Add question files that word the same task in several ways.",
        )
    trained, measured = ({task for _, task in pairs} for pairs in (split.training, split.held_out))
    for task in TASKS.values():
        if task.type not in trained:
            logger.warning("%s: no question in the data; the router cannot learn it", task.title)
        elif task.type not in measured:
            logger.warning("%s: one wording only; it is trained on and not measured", task.title)
    return split


def _train(split: Split, out: Path, options: dict[str, Any], quiet: bool) -> Calibration:
    from mevlip.inference.device import choose_device
    from mevlip.tasks import TASKS
    from mevlip_training.acceptance import check_recall
    from mevlip_training.calibration import calibrate, router_logits, write_calibration
    from mevlip_training.off_topic import OFF_TOPIC_SHARE, held_out_off_topic, training_off_topic
    from mevlip_training.router import default_settings, save_router, train_router

    plan, settings, device = _plan(options), default_settings(), str(choose_device(options["device"]))
    model, tokenizer = _untrained(plan, options)
    off_topic = training_off_topic(round(OFF_TOPIC_SHARE * plan.steps * plan.batch_size), plan.seed)
    training: list[Pair] = [*split.training, *((text, None) for text in off_topic)]
    losses = train_router(model, tokenizer, training, settings, plan, device, quiet)
    tenth = -(-len(losses) // 10)
    parts = [losses[start : start + tenth] for start in range(0, len(losses), tenth)]
    logger.info("loss by tenth of the steps: %s", ", ".join(f"{sum(part) / len(part):.4f}" for part in parts))
    measured: list[Pair] = [*split.held_out, *((text, None) for text in held_out_off_topic())]
    trained = {task: text for text, task in split.training}  # one of each task, also of those without a held-out one
    logits = router_logits(model, tokenizer, settings, [*(text for text, _ in measured), *trained.values()], device)
    calibration = calibrate(logits[: len(measured)], [task for _, task in measured])
    check_recall(calibration, {list(TASKS)[best] for best in logits.argmax(axis=1)}, len(trained), plan)
    out.mkdir(parents=True, exist_ok=True)
    save_router(model, tokenizer, out, calibration.apply(settings))
    write_calibration(calibration, out)
    return calibration


def _untrained(plan: RouterTraining, options: dict[str, Any]) -> tuple[Any, Any]:
    """The model and its tokenizer, a bi-encoder's two tokenizers."""
    from mevlip_training.encoders import open_encoder
    from mevlip_training.router import new_bi_encoder, new_router, two_tokenizers

    encoder, tokenizer = open_encoder(options["encoder"], options["allow_bin"])
    if plan.architecture == "uni-encoder":
        return new_router(encoder, tokenizer, plan), tokenizer
    label_encoder, label_tokenizer = open_encoder(options["label_encoder"], options["allow_bin"])
    return new_bi_encoder(encoder, label_encoder, plan), two_tokenizers(tokenizer, label_tokenizer)


def _plan(options: dict[str, Any]) -> RouterTraining:
    from mevlip_training.router import PRESETS

    names = ("steps", "batch_size", "learning_rate", "head_learning_rate", "focal_alpha")
    changes = {name: options[name] for name in names if options[name] is not None}
    return replace(PRESETS[options["preset"]], fp16=options["fp16"], seed=options["seed"], **changes)


def _draw(calibration: Calibration, folder: Path) -> None:
    from mevlip_training.calibration import plot_reliability

    if not plot_reliability(calibration, folder):
        logger.warning("the reliability plot was left out; it needs matplotlib: pip install 'me-vlip[report]'")


def _table(calibration: Calibration, split: Split) -> str:
    from mevlip.core.tables import table
    from mevlip.tasks import TASKS
    from mevlip_training.router_data import question_stem
    from mevlip_validation.calibration import wilson_interval

    wordings = Counter(task for _, task in {(question_stem(text), task) for text, task in split.held_out})
    tasks = [
        (
            TASKS[task].title,
            wordings[task],
            total,
            f"{right / total:.3f}",
            "{:.3f}-{:.3f}".format(*wilson_interval(right, total)),
        )
        for task, (right, total) in calibration.by_task.items()
    ]
    sweep = [
        (
            f"{row.threshold:.2f}" + (" *" if row.threshold == calibration.threshold else ""),
            *(f"{value:.3f}" for value in (row.coverage, row.accuracy, row.off_topic_below)),
        )
        for row in calibration.sweep
    ]
    return "\n\n".join(
        [
            table(("task", "held-out wordings", "questions", "recall", "95 % interval"), tasks),
            table(("threshold", "kept", "accuracy of kept", "off-topic below"), sweep) + "\n* chosen",
        ]
    )
