"""`mevlip train router`: options become a training run, its figures become a table."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mevlip.cli.options import INPUT_FOLDER, quiet_option, seed_option, settings_options
from mevlip.settings import PredictorSettings

if TYPE_CHECKING:
    from mevlip_training.calibration import Calibration
    from mevlip_training.router import Pair, RouterTraining, Split

ENCODER = "microsoft/deberta-v3-small"
"""The paper's encoder."""
LEAST_ACCURACY = 0.5
"""Below this share of held-out wordings a router is not worth keeping; chance is 1/7."""

logger = logging.getLogger(__name__)


@click.command()
@click.argument("data", metavar="DATA_DIR", type=INPUT_FOLDER)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The router's folder; new or empty.")
@click.option("--encoder", default=ENCODER, show_default=True, help="A folder, or a model's name on the hub.")
@click.option("--allow-bin", is_flag=True, help="Read a pytorch_model.bin, as plain tensors, if that is all there is.")
@click.option(
    "--preset",
    type=click.Choice(["default", "paper"]),
    default="default",
    show_default=True,
    help="paper: focal alpha 1 as printed. It gives wrong labels no weight, learns nothing and says so.",
)
@click.option("--epochs", type=click.IntRange(1), help="Default: 3.")
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
    so that such questions go to the generalist.

    \b
    Example: mevlip train router data/FLARE --out checkpoints/me-vlip/router --encoder models/deberta-v3-small
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise click.UsageError(f"--out {out} is not empty; name a new folder.")
    _quieten(local=Path(options["encoder"]).is_dir())
    split = _read(data, options["held_out"], options["seed"])
    calibration = _train(split, out, options, quiet)
    if report is not None:
        _draw(calibration, report)
    click.echo(_table(calibration))
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
    from mevlip_training.router import distinct_pairs, split_by_wording

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
    from mevlip.core.errors import TrainingFailed
    from mevlip.inference.device import choose_device
    from mevlip_training.calibration import calibrate, router_logits, write_calibration
    from mevlip_training.off_topic import held_out_off_topic, off_topic_for
    from mevlip_training.router import (
        default_settings,
        new_router,
        open_encoder,
        save_router,
        train_router,
    )

    plan, settings, device = _plan(options), default_settings(), str(choose_device(options["device"]))
    encoder, tokenizer = open_encoder(options["encoder"], options["allow_bin"])
    model = new_router(encoder, tokenizer, plan)
    training: list[Pair] = [*split.training]
    training += [(text, None) for text in off_topic_for(len(training), plan.seed)]
    losses = train_router(model, tokenizer, training, settings, plan, device, quiet)
    logger.info("loss by epoch: %s", ", ".join(f"{loss:.4f}" for loss in losses))
    measured: list[Pair] = [*split.held_out, *((text, None) for text in held_out_off_topic())]
    logits = router_logits(model, tokenizer, settings, [text for text, _ in measured], device)
    calibration = calibrate(logits, [task for _, task in measured])
    if calibration.accuracy < LEAST_ACCURACY:
        raise TrainingFailed(
            f"The router is right on only {calibration.accuracy:.3f} of the held-out wordings, so it was not written",
            "With --focal-alpha 1 no label is ever pushed down: leave it at -1. Else train for more --epochs.",
        )
    out.mkdir(parents=True, exist_ok=True)
    save_router(model, tokenizer, out, calibration.apply(settings))
    write_calibration(calibration, out)
    return calibration


def _plan(options: dict[str, Any]) -> RouterTraining:
    from mevlip_training.router import PRESETS

    names = ("epochs", "batch_size", "learning_rate", "head_learning_rate", "focal_alpha")
    changes = {name: options[name] for name in names if options[name] is not None}
    return replace(PRESETS[options["preset"]], fp16=options["fp16"], seed=options["seed"], **changes)


def _draw(calibration: Calibration, folder: Path) -> None:
    from mevlip_training.calibration import plot_reliability

    if not plot_reliability(calibration, folder):
        logger.warning("the reliability plot was left out; it needs matplotlib: pip install 'me-vlip[report]'")


def _table(calibration: Calibration) -> str:
    from mevlip.core.tables import table
    from mevlip.tasks import TASKS

    tasks = [(TASKS[task].title, right, total) for task, (right, total) in calibration.by_task.items()]
    sweep = [
        (
            f"{row.threshold:.2f}" + (" *" if row.threshold == calibration.threshold else ""),
            *(f"{value:.3f}" for value in (row.coverage, row.accuracy, row.off_topic_below)),
        )
        for row in calibration.sweep
    ]
    return "\n\n".join(
        [
            table(("task", "right", "held-out questions"), tasks),
            table(("threshold", "kept", "accuracy of kept", "off-topic below"), sweep) + "\n* chosen",
        ]
    )
