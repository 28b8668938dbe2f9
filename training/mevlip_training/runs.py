"""Planning training runs: configs, overlays and data put together and compared, before anything is trained."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from math import ceil
from pathlib import Path
from typing import Any

from mevlip.checkpoints.adapter_config import WEIGHTS_NAME
from mevlip.checkpoints.routes import ROUTE_NAME, Route, read_route
from mevlip.core.errors import CheckpointError, InputError
from mevlip.core.files import file_sha256
from mevlip.inference.families import base_family
from mevlip.tasks import adapter_names
from mevlip_training.bases import base_folder
from mevlip_training.families import misfits
from mevlip_training.history import History, read_history, read_results
from mevlip_training.lengths import Lengths, RowMeter, find_meter, measure_file
from mevlip_training.recipes.overlays import overlay_path
from mevlip_training.recipes.recipe import TRAINED_PATCHES

logger = logging.getLogger(__name__)

Yaml = dict[str, Any]


@dataclass(frozen=True)
class AdapterRun:
    """One training run.

    Attributes:
        adapter: Name of the adapter.
        source: The YAML file it comes from.
        settings: That file's content with paths and overlay put in: what LLaMA-Factory is given.
        route: The route that was written with the data.
        rows: Training rows.
        start: The run whose adapter this one goes on from; None for fresh weights.
        lengths: Its rows in tokens; None where the base's tokenizer is not on this machine.
        validation: Rows that the training is watched on; the weights of the step that does best on them are kept.
    """

    adapter: str
    source: Path
    settings: Yaml
    route: Route
    rows: int
    start: str | None = None
    lengths: Lengths | None = None
    validation: int = 0

    @property
    def output(self) -> Path:
        """LLaMA-Factory's output folder."""
        return Path(self.settings["output_dir"])

    @property
    def steps(self) -> int:
        """Optimizer steps on one device, as transformers' Trainer counts them: an epoch's last, short step included."""
        return count_steps(self.settings, self.rows)

    @property
    def cutoff(self) -> int:
        """Tokens of a row at which LLaMA-Factory cuts it."""
        return cutoff_of(self.settings)

    @property
    def start_name(self) -> str:
        """What it starts from, for people: an adapter's name, a place of the user's own, or fresh weights."""
        return self.start or self.settings.get("adapter_name_or_path") or "fresh"

    @property
    def history(self) -> History | None:
        """What it did, however often it was started; None where it has not reached its end."""
        results = read_results(self.output)
        return read_history(self.output, results, bool(self.validation)) if results else None

    @property
    def finished(self) -> bool:
        """Whether an earlier run with the same settings has reached its end."""
        return is_finished(self.output)


def is_finished(output: Path) -> bool:
    """Whether the run of an output folder has reached its end."""
    return read_results(output) is not None and (output / WEIGHTS_NAME).is_file()


def count_steps(settings: Mapping[str, Any], rows: int) -> int:
    """Optimizer steps of a run on one device, as `AdapterRun.steps` has them."""
    batches = -(-rows // int(settings["per_device_train_batch_size"]))
    per_epoch = -(-batches // int(settings["gradient_accumulation_steps"]))
    return int(settings.get("max_steps", 0)) or int(per_epoch * float(settings["num_train_epochs"]))


def interval_of(settings: Mapping[str, Any], key: str, default: int, steps: int) -> int:
    """Steps from one saving or logging to the next, as `key` has them: a number below 1 is a share of all steps."""
    given = float(settings.get(key, default))
    return max(ceil(given * steps), 1) if given < 1 else int(given)


def cutoff_of(settings: Mapping[str, Any]) -> int:
    """Tokens of a row at which LLaMA-Factory cuts it: 2,048 where a config does not say."""
    return int(settings.get("cutoff_len", 2048))


def rank_of(settings: Mapping[str, Any]) -> int:
    """LoRA's rank: LLaMA-Factory's 8 where a config does not say."""
    return int(settings.get("lora_rank", 8))


def validation_name(adapter: str) -> str:
    """Name of the data set that an adapter's training is watched on, in a prepared folder."""
    return f"{adapter}_validation"


def watching(adapter: str, settings: Mapping[str, Any], rows: int) -> Yaml:
    """Settings by which LLaMA-Factory evaluates the validation rows as it trains, and keeps the best step's weights.

    There are ten evaluations or more, each where a step is saved: the Trainer can only go back to one that is. Between
    two of them are at most the config's `save_steps`, and a whole number of `logging_steps`.

    Args:
        adapter: Name of the adapter.
        settings: Its other settings. Where they evaluate in a way of their own, or say `eval_strategy: "no"`, nothing
            is added.
        rows: Its training rows.
    """
    if settings.keys() & {"eval_strategy", "eval_dataset", "val_size"}:
        return {}
    steps = count_steps(settings, rows)
    logged = interval_of(settings, "logging_steps", 500, steps)
    most = min(steps // 10, interval_of(settings, "save_steps", 500, steps))
    interval = max(most // logged, 1) * logged
    return {
        "eval_dataset": validation_name(adapter),
        "eval_strategy": "steps",
        "eval_steps": interval,
        "save_strategy": "steps",
        "save_steps": interval,
        "per_device_eval_batch_size": settings["per_device_train_batch_size"],
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
    }


def with_rows(data: Path) -> list[str]:
    """The adapters that a prepared folder has rows for; the others are named in the log.

    Raises:
        InputError: It has none.
    """
    found = [name for name in adapter_names() if (file := data / f"{name}.jsonl").is_file() and file.stat().st_size]
    if not found:
        raise InputError(f"{data} has no training data", "Write it with `mevlip data prepare`.")
    if left_out := [name for name in adapter_names() if name not in found]:
        logger.warning("%s has no rows for %s: not trained", data, ", ".join(left_out))
    return found


def plan_run(adapter: str, config_dir: Path, data: Path, runs: Path, overlay: Yaml, base: str | None) -> AdapterRun:
    """Reads one adapter's config and checks that it agrees with its data.

    Args:
        adapter: Name of the adapter, and of its YAML file.
        config_dir: Folder of the YAML files.
        data: Folder that `mevlip data prepare` wrote.
        runs: Parent of the output folders.
        overlay: Settings that replace the file's own, and those of the recipe that the data were prepared by.
        base: Folder or name of the base model, in place of the file's.

    Raises:
        InputError: A file is missing, config and route disagree, or a row is longer than the cut-off.
    """
    source = config_dir / f"{adapter}.yaml"
    recipe = read_yaml(path) if (path := overlay_path(data, adapter)).is_file() else {}
    paths = {"dataset_dir": str(data.resolve()), "output_dir": str((runs / adapter).resolve())}
    settings = {**read_yaml(source), **recipe, **paths, **({"model_name_or_path": base} if base else {}), **overlay}
    start = settings.get("adapter_name_or_path")
    start = start if start in adapter_names() else None  # anything else is a path of the user's own
    if start:
        settings["adapter_name_or_path"] = str((runs / start).resolve())
    rows_file = data / f"{settings['dataset']}.jsonl"
    if not rows_file.is_file():
        raise InputError(
            f"{rows_file} does not exist, so there is nothing to train {adapter!r} on",
            "Write the training data with `mevlip data prepare`, or leave the task out.",
        )
    try:
        route = read_route(data / "routes" / adapter)
    except CheckpointError as error:
        raise InputError(error.cause, "Write the training data again with `mevlip data prepare`.") from error
    folder = base_folder(settings)
    family = base_family(folder)
    if family is not None:
        with rows_file.open("rb") as lines:
            differences = list(misfits(family, settings, lines))
        if differences:
            raise InputError(
                f"{source} and {rows_file} are not for {settings['model_name_or_path']}: {'; '.join(differences)}",
                "Name configs with this base's template by --config-dir (llamafactory_configs has some), and prepare "
                "the data with `mevlip data prepare --tokenizer` and this base's folder.",
            )
    if differences := disagreements(settings, route):
        raise InputError(
            f"{source} and {data / 'routes' / adapter / ROUTE_NAME} disagree: {'; '.join(differences)}",
            "The predictor would not see what the model was trained on. Change the YAML, or prepare the data anew.",
        )
    rows, watched_file = _count_lines(rows_file), data / f"{validation_name(adapter)}.jsonl"
    watched = _count_lines(watched_file) if watched_file.is_file() else 0
    evaluated = watching(adapter, settings, rows) if watched else {}
    settings |= evaluated
    meter = find_meter(folder)
    lengths = _measured(rows_file, route, meter, settings) if meter else None
    if meter and evaluated:
        _measured(watched_file, route, meter, settings)
    return AdapterRun(adapter, source, settings, route, rows, start, lengths, watched if evaluated else 0)


def _count_lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def _measured(file: Path, route: Route, meter: RowMeter, settings: Yaml) -> Lengths:
    """Rows in tokens.

    Raises:
        InputError: One is longer than the cut-off.
    """
    cutoff = cutoff_of(settings)
    lengths = measure_file(file, route, meter, cutoff)
    if lengths.beyond:
        raise InputError(
            f"{file} has {len(lengths.beyond)} of {lengths.rows} rows that are longer than cutoff_len, "
            f"{cutoff}: {lengths.describe()}",
            f"LLaMA-Factory would cut them, which stops the training where it cuts an image. Set cutoff_len to "
            f"{lengths.longest} in an --overlay or in the recipe, or prepare rows with fewer images, tiles or pixels.",
        )
    return lengths


def in_order(runs: Iterable[AdapterRun]) -> list[AdapterRun]:
    """Sorts runs so that each comes after the one that it starts from; otherwise they keep their order.

    Raises:
        InputError: A run starts from one that is neither among them nor finished, or they go in a circle.
    """
    by_name = {run.adapter: run for run in runs}
    for run in by_name.values():
        if run.start and run.start not in by_name:
            start_of(run)
    try:
        order = TopologicalSorter({name: [run.start] if run.start else [] for name, run in by_name.items()})
        return [by_name[name] for name in order.static_order() if name in by_name]
    except CycleError as error:
        raise InputError(
            f"Runs start from each other in a circle: {', '.join(error.args[1])}",
            "Remove adapter_name_or_path from one of their overlays.",
        ) from error


def disagreements(settings: Yaml, route: Route) -> list[str]:
    """What LLaMA-Factory would do otherwise than the predictor; empty where both sides are equal."""
    pairs = {
        # Elsewhere transformers takes torchvision's image processor, whose pixels differ by a gray level.
        "use_fast_tokenizer": (settings.get("use_fast_tokenizer", True), False),
        "default_system": (settings.get("default_system"), route.prompt.system),
        "crop_to_patches": (settings.get("crop_to_patches", False), route.images.crop_to_patches),
        "image_max_pixels": (settings.get("image_max_pixels", 768 * 768), route.images.max_pixels),
        "image_min_pixels": (settings.get("image_min_pixels", 32 * 32), route.images.min_pixels),
        "quantization_type": (
            settings.get("quantization_type", "nf4") if settings.get("quantization_bit") == 4 else "none",
            route.quantization.kind,
        ),
        "double_quantization": (settings.get("double_quantization", True), route.quantization.double),
    }
    if route.images.crop_to_patches:
        pairs["max_patches"] = (TRAINED_PATCHES, route.images.max_patches)
    if not Path(settings["model_name_or_path"]).is_dir():  # a folder has no revision that could be compared
        pairs["model_name_or_path"] = (settings["model_name_or_path"], route.base_model)
        pairs["model_revision"] = (settings.get("model_revision", "main"), route.base_revision)
    return [f"{key} is {ours!r} here and {theirs!r} there" for key, (ours, theirs) in pairs.items() if ours != theirs]


def read_yaml(path: Path) -> Yaml:
    """Reads a YAML mapping.

    Raises:
        InputError: The file is missing or is not a mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read ({error})", "Name a folder with LLaMA-Factory YAML files.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} has no settings", "Name a LLaMA-Factory YAML file.")
    return content


def origin_of(run: AdapterRun) -> str:
    """What a run is made of, in a line, so that one of other rows, or from other weights, is not taken for the same."""
    data = Path(run.settings["dataset_dir"])
    names = [run.settings["dataset"], *([run.settings["eval_dataset"]] if run.validation else [])]
    rows = ", ".join(f"{name}.jsonl with sha256 {file_sha256(data / f'{name}.jsonl')}" for name in names)
    return f"{run.source.name} with paths and overlay put in; {rows}{start_of(run)}"


def start_of(run: AdapterRun) -> str:
    """Which weights a run starts from, where they are not fresh ones.

    Raises:
        InputError: It starts from another run, which is not finished.
    """
    if not (named := run.settings.get("adapter_name_or_path")):
        return ""
    place = Path(named)
    if run.start and not is_finished(place):
        raise InputError(
            f"{run.adapter!r} starts from {run.start!r}, whose run in {place} is not finished",
            f"Train both: --task {run.start} --task {run.adapter}. Or name the folder of an adapter that is packed "
            "already, as adapter_name_or_path in an --overlay.",
        )
    weights = place / WEIGHTS_NAME
    return f"; it starts from weights with sha256 {file_sha256(weights)}" if weights.is_file() else ""
