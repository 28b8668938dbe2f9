"""Lets `llamafactory-cli` start where torch has no CUDA: put this file's folder on PYTHONPATH, nothing else is needed.

Python imports a module of this name at its start. LLaMA-Factory asks for torchvision and torchaudio, whose published
wheels are CUDA builds that fail to import beside a CPU-only torch, and a failing torchvision takes transformers down
with it. Where they import (any machine with a CUDA torch) nothing is changed.
"""

import importlib
import importlib.machinery
import sys
import types
from typing import Any

import torch


def _mend_torchvision() -> None:
    """Declares the two operators whose absence stops the import; torchvision's image transforms are pure torch."""
    try:
        importlib.import_module("torchvision")
    except (RuntimeError, OSError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)  # an operator lives as long as its library object
        importlib.import_module("torchvision")


def _mend_torchaudio() -> None:
    """LLaMA-Factory imports torchaudio at once but uses it for audio alone."""
    try:
        importlib.import_module("torchaudio")
    except (RuntimeError, OSError):
        stand_in = types.ModuleType("torchaudio")
        stand_in.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)  # transformers asks for it
        sys.modules["torchaudio"] = stand_in


def _keep_four_bit_trainable() -> None:
    """Turns off bitsandbytes' in-place repacking on CPUs with AVX512-BF16: after it gradients are wrong."""
    modules: Any = importlib.import_module("bitsandbytes.nn.modules")
    modules.has_avx512bf16 = lambda: False


_KEPT: list[Any] = []

if not torch.cuda.is_available():
    _mend_torchvision()
    _mend_torchaudio()
    _keep_four_bit_trainable()
