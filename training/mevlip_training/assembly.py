"""Putting base model, adapters and router together into one checkpoint folder, and fetching such parts from a hub."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from mevlip.checkpoints.checkpoint import (
    CODE_SUFFIXES,
    MANIFEST_NAME,
    BaseModelRecord,
    Checkpoint,
    adapter_folder,
    open_checkpoint,
    read_checkpoint,
    stored_quantization,
    write_manifest,
)
from mevlip.checkpoints.fingerprints import (
    QUANTIZED_FROM_NAME,
    BaseFingerprint,
    QuantizedFrom,
    adapter_fingerprint,
    base_files,
    base_fingerprint,
    own_fingerprint,
)
from mevlip.checkpoints.probes import PROBE_NAME
from mevlip.checkpoints.routes import ROUTE_NAME, Quantization, Route, read_route, write_route
from mevlip.core.errors import CheckpointError, EnvironmentProblem
from mevlip.core.files import draft_folder, link_or_copy, writing
from mevlip.core.offline import go_offline
from mevlip.inference.families import base_family
from mevlip.routing.policy import adapter_of
from mevlip.tasks import GENERALIST, TASKS, adapter_names
from mevlip_training.bases import shape_misfit
from mevlip_training.recipes.recipe import Recipe

logger = logging.getLogger(__name__)

_UNSAFE = (*CODE_SUFFIXES, ".onnx", ".gguf")
_UNREAD = (*_UNSAFE, ".md")
_WEIGHTS = (".safetensors", ".safetensors.index.json")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def assemble(
    out: Path,
    *,
    base: Path,
    adapters: Path,
    router: Path,
    name: str,
    kind: Literal["demo", "medical"],
    notice: str,
    quantize: bool = False,
    probe: bool = True,
    recipe: Recipe | None = None,
) -> Checkpoint:
    """Copies the parts of a checkpoint into one folder, writes its manifest and checks that they belong together.

    Weights are hard-linked where the file system allows it. Files that could run code stay behind. A route that does
    not identify its weights or its base, such as one of version 2, is completed with the files given here.

    Args:
        out: The checkpoint folder; must not exist, or be empty.
        base: Folder of the base model.
        adapters: Folder with the packed adapters; the generalist is one of them and answers tasks without their own.
        router: Folder of the task classifier.
        name: The checkpoint's name.
        kind: What its answers are.
        notice: One line shown at every run; may be empty.
        quantize: Whether to store the base as its routes quantize it, instead of doing so at every start.
        probe: Whether to load the model and record each adapter's known answer.
        recipe: Says which adapters answer together, in place of the routes; nothing else is taken from it, because
            the rest is what adapters were trained with.

    Raises:
        CheckpointError: A part is missing, the parts do not fit together, or an adapter takes no effect. `out` is then
            left as it was.
        EnvironmentProblem: `out` cannot be written, or the model does not fit into the free memory.
    """
    go_offline()
    base_family(base)  # refuses a base in InternVL's original layout
    found = [one for one in adapter_names() if (adapters / one).is_dir()]
    missing = [str(part) for part in (adapters / GENERALIST, base, router) if not part.is_dir()]
    if missing:
        raise CheckpointError(f"{', '.join(missing)}: no such folder", "Train what is missing, or name its folder.")
    without = tuple(task for task in TASKS if adapter_of(task, found) == GENERALIST)
    if without:
        logger.warning("no adapter of its own for %s: the generalist answers", ", ".join(without))
    if out.exists() and any(out.iterdir()):
        raise CheckpointError(f"{out} is not empty", "Name a new folder, or remove that one first.")
    with writing(out), draft_folder(out, replace=False) as draft:
        route = read_route(adapters / GENERALIST)
        if quantize and stored_quantization(base) is None:
            _quantize(base, draft / "base", route.quantization)
        else:
            _copy(base, draft / "base", _UNREAD)
        _copy(router, draft / "router", _UNREAD)
        hashed = base_files(draft / "base")
        identity = base_fingerprint(draft / "base", hashed)
        for adapter in found:
            _copy(adapters / adapter, adapter_folder(draft, adapter), (*_UNSAFE, ROUTE_NAME, PROBE_NAME))
            own = recipe.of(adapter) if recipe else None
            together = {"compose": own.compose, "mix": own.mix} if own else {}
            completed = _complete(adapters / adapter, draft / "base", identity).model_copy(update=together)
            write_route(adapter_folder(draft, adapter), completed)
        described: dict[str, Any] = {
            "name": name,
            "kind": kind,
            "notice": notice,
            "base": BaseModelRecord(name=route.base_model, revision=route.base_revision),
            "generalist_for": without,
        }
        write_manifest(draft, **described, known={f"base/{file}": sha256 for file, sha256 in hashed.items()})
        made = read_checkpoint(draft)
        if probe:
            _record_probes(made)
            known = {file: record.sha256 for file, record in made.manifest.files.items()}
            write_manifest(draft, **described, known=known)
            read_checkpoint(draft)
    return read_checkpoint(out)


def _complete(adapter: Path, folder: Path, base: BaseFingerprint) -> Route:
    """An adapter's route with fingerprints; those that it has are kept, to be compared with the files.

    Raises:
        CheckpointError: The route does not identify its base, and the adapter's matrices do not fit this one.
    """
    route = read_route(adapter)
    missing = [what for what in ("base_fingerprint", "adapter_fingerprint") if getattr(route, what) is None]
    if missing:
        logger.info("%s: its route gets %s from the files given here", route.adapter, " and ".join(missing))
    known: dict[str, Any] = {"version": 3}
    if route.base_fingerprint is None:
        if misfit := shape_misfit(adapter, folder):
            raise CheckpointError(
                f"adapter {route.adapter!r} was not trained on this base: {misfit}",
                f"Assemble it with {route.base_model}@{route.base_revision}, which it names.",
            )
        logger.warning(
            "%s: training knew its base by name only, %s@%s; that this is the one given here is not verified",
            route.adapter,
            route.base_model,
            route.base_revision,
        )
        known |= {"base_fingerprint": base, "base_assumed": True}
    known["adapter_fingerprint"] = route.adapter_fingerprint or adapter_fingerprint(adapter)
    return route.model_copy(update=known)


def _record_probes(checkpoint: Checkpoint) -> None:
    """Loads a checkpoint, which proves its adapters, and writes the known answer of each.

    Raises:
        CheckpointError: An adapter takes no effect, or something does not fit together.
        EnvironmentProblem: The model does not fit into the free memory.
    """
    from mevlip.inference.device import choose_device
    from mevlip.inference.model import VisionLanguageModel

    try:
        model = VisionLanguageModel.load(checkpoint, choose_device("auto"))
    except EnvironmentProblem as error:
        raise EnvironmentProblem(
            f"{error.cause}, so no known answers can be recorded",
            "Assemble on a machine with enough memory, or with --no-probe: every run then warns that its adapters are "
            "only known to change the base's output.",
        ) from error
    for name, probe in model.record_probes(checkpoint.routes).items():
        (checkpoint.adapter(name) / PROBE_NAME).write_text(probe.model_dump_json() + "\n", "utf-8")


def _copy(source: Path, target: Path, left_out: tuple[str, ...]) -> None:
    """Copies the plain files of a folder, without hidden ones and those of some endings; a file that is there stays."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        unwanted = path.name.startswith(".") or path.name.endswith(left_out)
        if path.is_file() and not unwanted and not (target / path.name).exists():
            link_or_copy(path, target / path.name)


def _quantize(base: Path, target: Path, quantization: Quantization) -> None:
    """Writes a base model in four bits, the files of the original that are not weights, and what identifies both.

    The model is quantized where it would run, on the GPU if there is one, by the code that does it at every start.

    Raises:
        CheckpointError: The routes want it unquantized, or it cannot be loaded.
    """
    if quantization.kind == "none":
        raise CheckpointError("The adapters' routes want an unquantized base", "Assemble without --quantize.")
    from mevlip.inference.device import choose_device
    from mevlip.inference.loading import load_base

    model = load_base(base, quantization, choose_device("auto"))
    target.mkdir(parents=True)
    with TemporaryDirectory(dir=target.parent) as scratch:
        model.save_pretrained(scratch, max_shard_size="2GB")
        for path in Path(scratch).iterdir():
            if path.name == "config.json" or path.name.endswith(_WEIGHTS):
                path.rename(target / path.name)
    _copy(base, target, (*_UNREAD, *_WEIGHTS))
    source, stored = base_fingerprint(base, base_files(base)), own_fingerprint(target, base_files(target))
    record = QuantizedFrom(source=source, stored=stored)
    (target / QUANTIZED_FROM_NAME).write_text(record.model_dump_json(indent=1) + "\n", "utf-8")


def fetch(repository: str, revision: str, out: Path) -> Checkpoint | None:
    """Downloads a repository of a model hub at one commit: safetensors, JSON and text files only.

    Args:
        repository: Such as `OpenGVLab/InternVL3-8B-hf`.
        revision: A full commit; a branch could hold something else tomorrow.
        out: Where to put the files.

    Returns:
        The checkpoint, verified; None where the files are a part of one, such as a base model.

    Raises:
        EnvironmentProblem: The revision is not a commit, the hub cannot be reached, or it has no such repository.
        CheckpointError: The checkpoint's files differ from its manifest.
    """
    if not _COMMIT.fullmatch(revision):
        raise EnvironmentProblem(
            f"{revision!r} is not a full commit", "Give all 40 characters, as the hub shows them under the file list."
        )
    from huggingface_hub import snapshot_download

    patterns = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "adapters/*/README.md"]
    try:
        snapshot_download(repository, revision=revision, local_dir=out, allow_patterns=patterns)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise EnvironmentProblem(
            f"{repository}@{revision[:8]} could not be fetched ({reason})",
            "Check the name, the network and, for a gated repository, `hf auth login`; finished files are kept.",
        ) from error
    shutil.rmtree(out / ".cache", ignore_errors=True)  # the downloader's own notes
    if not (out / MANIFEST_NAME).is_file():
        return None
    return open_checkpoint(out)
