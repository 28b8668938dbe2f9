"""Choosing the device that a model runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mevlip.core.errors import EnvironmentProblem

if TYPE_CHECKING:
    import torch


def choose_device(choice: str) -> torch.device:
    """Turns `auto|cuda|cpu` into a device.

    Raises:
        EnvironmentProblem: CUDA was asked for and is not usable; there is no silent fall-back to the processor.
    """
    import torch

    if choice == "cuda" and not torch.cuda.is_available():
        raise EnvironmentProblem(
            "--device cuda was asked for, but torch finds no usable GPU",
            "Run the container with --gpus, check the driver with `mevlip doctor`, or choose --device cpu.",
        )
    if choice == "auto":
        choice = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device("cuda", 0) if choice == "cuda" else torch.device("cpu")
