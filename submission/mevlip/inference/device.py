"""The device that a model runs on, and how much of its memory is the program's."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

from mevlip.core import memory
from mevlip.core.errors import EnvironmentProblem, ModelFailure
from mevlip.inference.memory import least_bytes

logger = logging.getLogger(__name__)

GPU_MEMORY = 9_000_000_000
"""Bytes of a GPU that are taken at most, where nobody says otherwise: the figure that the paper gives."""
SMALL_MEMORY = 8_000_000_000
"""Below this the input embedding of InternVL3-8B stays in main memory: 1.09 GB, of which a prompt needs a few rows."""
_CONTEXT = 900_000_000
"""Bytes of a GPU that its driver and libraries take, beside what torch allocates: 0.76 to 0.86 GB were seen on an H100
with driver 580 and CUDA 13.0."""


def choose_device(choice: str, nodes: Path = Path("/dev")) -> torch.device:
    """Turns `auto|cuda|cpu` into a device.

    With `auto` the CPU takes the place of a GPU that cannot be used only outside a container: there the log says so. A
    container that was given a GPU was meant to use it, and would be far too slow without.

    Args:
        choice: What was asked for.
        nodes: Where the system's devices are.

    Raises:
        EnvironmentProblem: CUDA was asked for, or the container was given a GPU, and it is not usable.
    """
    if choice == "cpu" or torch.cuda.is_available():
        return torch.device("cpu") if choice == "cpu" else torch.device("cuda", 0)
    if choice == "cuda":
        raise EnvironmentProblem(
            f"--device cuda was asked for, but torch finds no usable GPU ({_why_not()})",
            "Run the container with --gpus, check the driver with `mevlip doctor`, or choose --device cpu.",
        )
    if seen := sorted(nodes.glob("nvidia[0-9]*")):
        cause = f"A GPU is there ({seen[0]}, driver {driver_version()}), but torch cannot use it ({_why_not()})"
        if os.environ.get("NVIDIA_VISIBLE_DEVICES", "void") not in ("", "none", "void"):
            raise EnvironmentProblem(
                cause,
                "Update the driver, build the image for an older CUDA (docs/submitting.md), or do without the GPU: "
                "MEVLIP_DEVICE=cpu.",
            )
        logger.warning("%s; the CPU is used", cause)
    return torch.device("cpu")


def driver_version() -> str:
    """The version of NVIDIA's driver, or why it is not known."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return "not found"
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - fixed words
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else "not answering"


def _why_not() -> str:
    """Why torch cannot use a GPU."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0]
    return f"torch {torch.__version__}, built for CUDA {torch.version.cuda}, sees {torch.cuda.device_count()} GPUs"


def limit_memory(model: Any, device: torch.device, most: int | None, *, movable: bool = True) -> int:
    """Keeps the program within its memory, and says what of it is left for answering.

    On a GPU the allocator itself refuses more. In main memory the budget of tokens is made from what is left, and what
    a batch needs is compared with what is free.

    Args:
        model: The loaded transformers model.
        device: Where it is.
        most: Bytes; None for `GPU_MEMORY` of a GPU, or for what is free without one.
        movable: Whether embeddings may stand in main memory where a GPU's is small; transformers' `generate` wants them
            on the device.

    Returns:
        Bytes that are left beside the weights.

    Raises:
        EnvironmentProblem: No question could be answered with that.
    """
    if device.type == "cuda":
        most = GPU_MEMORY if most is None else most
        total = torch.cuda.mem_get_info(device)[1]
        torch.cuda.set_per_process_memory_fraction(min(1.0, max(most - _CONTEXT, 1) / total), device)
        if movable and most < SMALL_MEMORY and not getattr(model.config, "tie_word_embeddings", False):
            model.get_input_embeddings().to("cpu")
            torch.cuda.empty_cache()
        left = min(most, total) - _CONTEXT - torch.cuda.memory_allocated(device)
    elif most is None:
        left = memory.available()
    else:
        left = most - memory.held()
    config, item = model.config.get_text_config(), model.dtype.itemsize
    least = least_bytes(config, item)
    if left < least:
        raise EnvironmentProblem(
            f"--max-memory leaves {max(left, 0) / 1e9:.2f} GB beside the weights; answering takes {least / 1e9:.2f} GB",
            f"Allow {(least - left) / 1e9:.1f} GB more, or end other programs.",
        )
    return left


def release_memory(device: torch.device) -> None:
    """Returns cached GPU memory, after a batch that broke.

    Raises:
        ModelFailure: The GPU no longer answers; after a device-side assert, for example, nothing works any more.
    """
    if device.type != "cuda":
        return
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError as error:
        raise ModelFailure(
            f"The GPU stopped working ({str(error).splitlines()[0]})",
            "Finished answers are kept: run the same command again, on another GPU if it comes back.",
        ) from error
