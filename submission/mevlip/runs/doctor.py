"""Examining a machine and a checkpoint before a long run."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from mevlip.core import memory
from mevlip.core.errors import MevlipError
from mevlip.core.offline import go_offline
from mevlip.predictor import Predictor
from mevlip.settings import PredictorSettings

_INSTALL = "Install the package again with the versions in constraints/predict.txt."
_GIGABYTE = 1e9


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes:
        subject: What was looked at.
        status: `ok`, `note` where it limits what can be run, `FAIL` where a run would fail.
        detail: What was found.
        remedy: What to do about a failure.
    """

    subject: str
    status: Literal["ok", "note", "FAIL"]
    detail: str
    remedy: str = ""


def examine(settings: PredictorSettings) -> Iterator[Finding]:
    """Yields findings one by one, the cheap ones first."""
    go_offline()
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    packages = list(_packages())
    yield from packages
    if any(finding.status == "FAIL" for finding in packages):
        return
    yield _four_bit()
    yield _gpu()
    yield _memory()
    yield from _checkpoint(settings)


def _packages() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    try:
        required = metadata.requires("me-vlip") or []
    except metadata.PackageNotFoundError:
        yield Finding("packages", "note", "me-vlip runs from an unpacked folder; package versions are not checked")
        return
    found = []
    for requirement in map(Requirement, required):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Finding(requirement.name, "FAIL", "is not installed", _INSTALL)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield Finding(requirement.name, "FAIL", f"{version} is not {requirement.specifier}", _INSTALL)
        found.append(f"{requirement.name} {version}")
    yield Finding("packages", "ok", ", ".join(found))


def _four_bit() -> Finding:
    """Quantizes a small matrix and looks at the error: the native library is there and works."""
    try:
        import torch
        from bitsandbytes import functional

        weights = torch.linspace(-1, 1, 64 * 64).reshape(64, 64)
        places = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
        for place in places:
            packed, state = functional.quantize_4bit(weights.to(place), quant_type="nf4")
            error = (functional.dequantize_4bit(packed, state).cpu() - weights).abs().max().item()
            if error > 0.2:  # half the widest gap between NF4's levels is 0.15
                return Finding("bitsandbytes", "FAIL", f"NF4 on {place} is off by {error:.2f}", _INSTALL)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return Finding("bitsandbytes", "FAIL", f"the 4-bit kernels do not run ({error})", _INSTALL)
    return Finding("bitsandbytes", "ok", f"NF4 works on {' and '.join(places)}")


def _gpu() -> Finding:
    import torch

    from mevlip.inference.device import driver_version

    driver = driver_version()
    if not torch.cuda.is_available():
        built = torch.version.cuda or "none"
        return Finding("gpu", "note", f"none usable (driver {driver}, torch built for CUDA {built}); runs on the CPU")
    free, total = torch.cuda.mem_get_info()
    major, minor = torch.cuda.get_device_capability()
    detail = (
        f"{torch.cuda.get_device_name()}, capability {major}.{minor}, driver {driver}, CUDA {torch.version.cuda}, "
        f"{free / _GIGABYTE:.1f} of {total / _GIGABYTE:.1f} GB free"
    )
    return Finding("gpu", "ok", detail)


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = f"{memory.available() / _GIGABYTE:.1f} of {total / _GIGABYTE:.1f} GB free"
    return Finding("memory", "ok", f"{free}, {os.cpu_count()} CPUs")


def _volumes(predictor: Predictor) -> Finding:
    """Compares the tokens of as many frames as routes show of a volume or a film with the model's window."""
    model, routes = predictor.model, predictor.checkpoint.routes
    needed = {
        name: route.images.frames * model.image_tokens(route.images) + max(route.max_new_tokens.values())
        for name, route in routes.items()
    }
    largest = max(needed, key=lambda name: needed[name])
    detail = f"{routes[largest].images.frames} frames take up to {needed[largest]} tokens of {model.window}"
    if needed[largest] <= model.window:
        return Finding("volumes", "ok", detail)
    return Finding("volumes", "note", f"{detail}: set images.frames of adapter {largest!r} lower before you train it")


def _checkpoint(settings: PredictorSettings) -> Iterator[Finding]:
    """Verifies and loads a checkpoint, which proves every adapter and grammar, and asks about a gray square."""
    from PIL import Image

    start = time.perf_counter()
    try:
        predictor = Predictor.find(settings)
        answer = predictor.ask("Is the square gray? A: No, B: Yes", [Image.new("RGB", (64, 64), (128, 128, 128))])
    except MevlipError as error:
        yield Finding("checkpoint", "FAIL", error.cause, error.remedy)
        return
    seconds = time.perf_counter() - start
    manifest, folder = predictor.checkpoint.manifest, predictor.checkpoint.folder
    detail = f"{folder}: {len(manifest.files)} files, {manifest.size / _GIGABYTE:.3f} GB, checksums match"
    if predictor.loads.unchanged_files:
        detail += f" ({predictor.loads.unchanged_files} files not hashed: unchanged since they were)"
    yield Finding("checkpoint", "ok", detail)
    yield _volumes(predictor)
    if answer.failed:
        yield Finding("dry run", "FAIL", answer.reason, f"Report it with the output of {Path(sys.argv[0]).name}.")
        return
    adapters = f"{len(predictor.checkpoint.routes)} adapters"
    if manifest.generalist_for:
        adapters += f" (the generalist answers {', '.join(manifest.generalist_for)})"
    yield Finding(
        "dry run", "ok", f"{adapters} and every task's grammar proven; one question answered in {seconds:.1f} s"
    )
