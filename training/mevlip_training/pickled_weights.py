"""Converting a `pytorch_model.bin` to safetensors, in a process that is bound to end.

Run as a program, `python -m mevlip_training.pickled_weights SOURCE TARGET`, it is that process. Such a file is a
pickle: torch's restricted unpickler makes tensors and plain containers of it and nothing else, and whatever a hostile
or damaged file does to the memory, the processor or torch's own reader ends with the process.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from mevlip.core.errors import EnvironmentProblem
from mevlip.core.limits import limit, limit_memory
from mevlip.core.text import visible

_CPU_SECONDS = 300
"""An encoder of half a gigabyte takes some seconds."""
_WALL_SECONDS = 1800
"""Catches a process that hangs without computing."""
_COPIES = 4
"""Times the file's size that a process may need on top of what it has: read, made contiguous, written."""
_SPARE = 1 << 30
"""Bytes on top of those."""
_REMEDY = "Fetch the file again, or name an encoder that is published as safetensors with --encoder."


def convert(source: Path, target: Path) -> None:
    """Writes the tensors of a `pytorch_model.bin` to a safetensors file.

    Raises:
        EnvironmentProblem: The file is damaged, holds anything but tensors by name, or needs more time or memory than
            one of its size may.
    """
    command = [sys.executable, "-P", "-m", "mevlip_training.pickled_weights", str(source), str(target)]
    try:
        done = subprocess.run(  # noqa: S603 - this program itself
            command, capture_output=True, text=True, errors="replace", timeout=_WALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentProblem(f"{source} is not converted after {_WALL_SECONDS} seconds", _REMEDY) from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        cause = said[-1] if said and done.returncode > 0 else f"its process ended with status {done.returncode}"
        raise EnvironmentProblem(f"{source} cannot be converted to safetensors ({visible(cause, 200)})", _REMEDY)


def _convert_here(source: Path, target: Path) -> None:
    import torch
    from safetensors.torch import save_file

    size = source.stat().st_size
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_CPU, _CPU_SECONDS)
    limit(resource.RLIMIT_FSIZE, _COPIES * size + _SPARE)
    limit_memory(_COPIES * size + _SPARE)
    tensors = torch.load(source, map_location="cpu", weights_only=True)
    named = isinstance(tensors, dict) and all(isinstance(name, str) for name in tensors)
    if not named or not all(isinstance(one, torch.Tensor) for one in tensors.values()):
        raise ValueError("it holds something else than tensors by name")
    # Tied weights share memory, which safetensors refuses.
    save_file({name: one.clone().contiguous() for name, one in tensors.items()}, target, metadata={"format": "pt"})


def _main(source: str, target: str) -> None:
    """The program: its last line on stderr says what went wrong."""
    try:
        _convert_here(Path(source), Path(target))
    except MemoryError:
        sys.exit("it needs more memory than a file of its size may")
    except Exception as error:  # noqa: BLE001 - whatever it is, the calling process reports it
        sys.exit(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
