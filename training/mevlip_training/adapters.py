"""Training the eight adapters with LLaMA-Factory's own command, and packing what comes out of it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from mevlip.checkpoints.adapter_config import CONFIG_NAME, WEIGHTS_NAME
from mevlip.checkpoints.fingerprints import BaseFingerprint, adapter_fingerprint, base_files, base_fingerprint
from mevlip.checkpoints.routes import ROUTE_NAME, Route, read_route, write_route
from mevlip.core.errors import CheckpointError, InputError
from mevlip.core.files import file_sha256
from mevlip.core.progress import Progress
from mevlip.tasks import adapter_names
from mevlip_training.card import CARD_NAME, model_card
from mevlip_training.families import base_family, misfits
from mevlip_training.llamafactory import run_training
from mevlip_training.recipes.overlays import overlay_path
from mevlip_training.recipes.recipe import TRAINED_PATCHES

logger = logging.getLogger(__name__)

RESULTS_NAME = "train_results.json"
"""LLaMA-Factory writes it when a run has reached its end."""
RESOLVED_NAME = "config.yaml"

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
    """

    adapter: str
    source: Path
    settings: Yaml
    route: Route
    rows: int
    start: str | None = None

    @property
    def output(self) -> Path:
        """LLaMA-Factory's output folder."""
        return Path(self.settings["output_dir"])

    @property
    def steps(self) -> int:
        """Optimizer steps on one device, as transformers' Trainer counts them: an epoch's last, short step included."""
        return count_steps(self.settings, self.rows)

    @property
    def start_name(self) -> str:
        """What it starts from, for people: an adapter's name, a place of the user's own, or fresh weights."""
        return self.start or self.settings.get("adapter_name_or_path") or "fresh"

    @property
    def results(self) -> dict[str, Any]:
        """What LLaMA-Factory wrote at the end of a finished run."""
        content: dict[str, Any] = json.loads((self.output / RESULTS_NAME).read_bytes())
        return content

    @property
    def finished(self) -> bool:
        """Whether an earlier run with the same settings has reached its end."""
        return is_finished(self.output)


def is_finished(output: Path) -> bool:
    """Whether the run of an output folder has reached its end."""
    return (output / RESULTS_NAME).is_file() and (output / WEIGHTS_NAME).is_file()


def count_steps(settings: Mapping[str, Any], rows: int) -> int:
    """Optimizer steps of a run on one device, as `AdapterRun.steps` has them."""
    batches = -(-rows // int(settings["per_device_train_batch_size"]))
    per_epoch = -(-batches // int(settings["gradient_accumulation_steps"]))
    return int(settings.get("max_steps", 0)) or int(per_epoch * float(settings["num_train_epochs"]))


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
        InputError: A file is missing, or config and route disagree.
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
    name, revision = str(settings["model_name_or_path"]), str(settings.get("model_revision", "main"))
    family = base_family(Path(name) if Path(name).is_dir() else _find_cached(name, revision))
    if family is not None:
        with rows_file.open("rb") as lines:
            differences = list(misfits(family, settings, lines))
        if differences:
            raise InputError(
                f"{source} and {rows_file} are not for {name}: {'; '.join(differences)}",
                "Name configs with this base's template by --config-dir (llamafactory_configs has some), and prepare "
                "the data with `mevlip data prepare --tokenizer` and this base's folder.",
            )
    if differences := disagreements(settings, route):
        raise InputError(
            f"{source} and {data / 'routes' / adapter / ROUTE_NAME} disagree: {'; '.join(differences)}",
            "The predictor would not see what the model was trained on. Change the YAML, or prepare the data anew.",
        )
    with rows_file.open("rb") as lines:
        return AdapterRun(adapter, source, settings, route, sum(1 for _ in lines), start)


def in_order(runs: Iterable[AdapterRun]) -> list[AdapterRun]:
    """Sorts runs so that each comes after the one that it starts from; otherwise they keep their order.

    Raises:
        InputError: A run starts from one that is neither among them nor finished, or they go in a circle.
    """
    by_name = {run.adapter: run for run in runs}
    for run in by_name.values():
        if run.start and run.start not in by_name:
            _start_of(run)
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


def train(run: AdapterRun, quiet: bool = False) -> None:
    """Runs one training to its end, from the last saved step where there is one; a finished run is left as it is.

    Raises:
        InputError: The output folder holds a run with other settings or another start, or the start is not trained.
        EnvironmentProblem: LLaMA-Factory is absent or failed.
    """
    import yaml

    config = run.output / RESOLVED_NAME
    start = _start_of(run)
    header = f"# {run.source.name} with paths and overlay put in{start}\n"
    earlier = config.is_file() and config.read_text("utf-8")
    if earlier and (read_yaml(config) != run.settings or (start and not earlier.startswith(header))):
        raise InputError(
            f"{run.output} holds a run with other settings or from another start",
            "Name another --out, or remove that folder first.",
        )
    if run.finished:
        logger.info("%s: finished earlier, in %s", run.adapter, run.output)
        return
    run.output.mkdir(parents=True, exist_ok=True)
    config.write_text(header + yaml.safe_dump(run.settings), "utf-8")
    with Progress(f"training {run.adapter}", run.steps, "steps", quiet) as progress:
        done = 0

        def on_progress(step: int, _total: int) -> None:
            nonlocal done
            progress.advance(max(step - done, 0))
            done = max(step, done)

        run_training(config, run.output, on_progress)


def _start_of(run: AdapterRun) -> str:
    """Which weights a run starts from, so that a run from weights trained anew since is not taken for the same."""
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


def identify_base(name: str, revision: str) -> BaseFingerprint | None:
    """Hashes the base model that runs are trained on.

    Args:
        name: Its folder, or its name on the hub; then the hub's cache on this machine is looked into.
        revision: Its revision on the hub.

    Returns:
        None where the cache does not hold its files.

    Raises:
        CheckpointError: The folder does not hold a base model, or cannot be read.
    """
    folder = Path(name)
    is_local = folder.is_dir()
    if not is_local:
        cached = _find_cached(name, revision)
        if cached is None:
            return None
        folder = cached
    try:
        return base_fingerprint(folder, base_files(folder))
    except OSError as error:
        raise CheckpointError(
            f"{error.filename} cannot be read ({error.strerror})", "Name the base's folder."
        ) from error
    except CheckpointError:
        if is_local:
            raise
        return None  # a cache may hold a part of it


def _find_cached(name: str, revision: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def pack(run: AdapterRun, folder: Path, base: BaseFingerprint | None) -> None:
    """Writes an adapter folder of a checkpoint: weights, adapter_config.json, route.json, model card.

    Weights are stored in bfloat16, in which the predictor computes. A path of this machine does not go along. The
    route says which weights, which settings and which base it was written for.

    Args:
        run: The finished run.
        folder: The adapter's folder.
        base: The base that it was trained on; None where its files are not known.

    Raises:
        CheckpointError: The weights are unusable.
    """
    from safetensors.torch import load_file, save_file

    weights = load_file(run.output / WEIGHTS_NAME)
    _check_learned(run.adapter, weights)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.bfloat16() for key, value in weights.items()}, folder / WEIGHTS_NAME, {"format": "pt"})
    config = json.loads((run.output / CONFIG_NAME).read_bytes())
    config |= {"base_model_name_or_path": run.route.base_model, "revision": run.route.base_revision}
    if isinstance(config["target_modules"], list):  # a set in peft, so its order is accidental
        config["target_modules"].sort()
    (folder / CONFIG_NAME).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", "utf-8")
    known = {"version": 3, "base_fingerprint": base, "adapter_fingerprint": adapter_fingerprint(folder)}
    route = run.route.model_copy(update=known)
    write_route(folder, route)
    (folder / CARD_NAME).write_text(model_card(run.adapter, route, run.settings, run.results), "utf-8")


def _check_learned(adapter: str, weights: dict[str, Any]) -> None:
    for key, value in weights.items():
        if not value.isfinite().all():
            raise CheckpointError(
                f"adapter {adapter!r}: {key} is not finite", "Train again with a lower learning rate."
            )
        if "lora_B" in key and not value.any():
            raise CheckpointError(f"adapter {adapter!r}: {key} is all zero", "Train for at least a few steps.")


def train_adapters(
    runs: Sequence[AdapterRun], adapters: Path, quiet: bool = False
) -> list[tuple[str, int, int, float, str]]:
    """Trains and packs several adapters, one after another.

    Args:
        runs: The planned runs.
        adapters: Parent of the packed adapter folders.
        quiet: Whether to show no progress.

    Returns:
        Rows of adapter, rows, steps, mean training loss, hours:minutes:seconds.
    """
    table = []
    bases: dict[tuple[str, str], BaseFingerprint | None] = {}  # hashing 16 GB takes a minute; runs mostly share a base
    for run in runs:
        named = (str(run.settings["model_name_or_path"]), str(run.settings.get("model_revision", "main")))
        bases[named] = bases.get(named) or identify_base(*named)
        train(run, quiet)
        bases[named] = base = bases[named] or identify_base(*named)  # the run may have fetched it
        if base is None:
            logger.warning(
                "%s: the files of its base, %s, were not found on this machine, so its route does not identify them; "
                "`mevlip checkpoint assemble` will record the base that it is given",
                run.adapter,
                named[0],
            )
        target = adapters / run.adapter
        shutil.rmtree(target, ignore_errors=True)
        pack(run, target, base)
        minutes, seconds = divmod(round(run.results["train_runtime"]), 60)
        clock = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        table.append((run.adapter, run.rows, run.steps, round(run.results["train_loss"], 4), clock))
    return table
