"""Checkpoints that were altered and then described anew, as one who can run the commands would do it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mevlip.checkpoints.checkpoint import Checkpoint, adapter_folder, open_checkpoint, read_manifest, write_manifest
from mevlip.checkpoints.fingerprints import adapter_fingerprint, base_files, base_fingerprint
from mevlip.checkpoints.probes import PROBE_NAME
from mevlip.checkpoints.routes import read_route, write_route
from mevlip.tasks import adapter_names

if TYPE_CHECKING:
    from mevlip.inference.model import VisionLanguageModel


def seal(folder: Path) -> None:
    """Writes the manifest anew, so that every file has the checksum that it lists."""
    base = read_manifest(folder)[0].base
    (folder / "manifest.json").unlink()  # it may be a link
    write_manifest(folder, name="copy", kind="demo", notice="", base=base)


def repack(folder: Path) -> Checkpoint:
    """Lets every route identify the files as they are now, without known answers: what loads them is on its own."""
    base = base_fingerprint(folder / "base", base_files(folder / "base"))
    for name in adapter_names():
        own = adapter_folder(folder, name)
        known = {"base_fingerprint": base, "adapter_fingerprint": adapter_fingerprint(own)}
        route = read_route(own).model_copy(update=known)
        (own / "route.json").unlink()
        write_route(own, route)
        (own / PROBE_NAME).unlink(missing_ok=True)
    seal(folder)
    return open_checkpoint(folder)


@contextmanager
def scaled(model: VisionLanguageModel, factor: float) -> Iterator[None]:
    """Computes as a library would that takes another alpha for the one in the file."""
    from peft.tuners.lora import LoraLayer

    layers = [layer for layer in model._model.modules() if isinstance(layer, LoraLayer)]
    before = [dict(layer.scaling) for layer in layers]
    for layer in layers:
        layer.scaling.update({name: value * factor for name, value in layer.scaling.items()})
    try:
        yield
    finally:
        for layer, scaling in zip(layers, before, strict=True):
            layer.scaling.update(scaling)
