"""What needs a CUDA GPU: `make gpu-test`."""

from __future__ import annotations

import pytest
import torch

from mevlip.core.errors import ExitCode


@pytest.fixture(scope="session", autouse=True)
def gpu() -> torch.device:
    """The GPU; without one the whole run ends with status 3."""
    if not torch.cuda.is_available():
        pytest.exit("nothing was tested: torch finds no usable CUDA GPU", returncode=ExitCode.ENVIRONMENT)
    torch.backends.cudnn.allow_tf32 = False  # torch's default: float32 convolutions are not float32
    return torch.device("cuda", 0)
