"""The output folder of a run: one run at a time writes there, and nothing else is overwritten."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mevlip.core.errors import EnvironmentProblem
from mevlip.core.files import real_path, writing
from mevlip.core.locks import locked
from mevlip.flare.questions import PREDICTIONS_NAME

OWN_PREFIX = ".mevlip-"
"""How the names of a run's own files in the output folder begin; predictions.json is the result."""

_REMEDY = "Make it writable for the user that runs the program, or free space on the disk."


@contextmanager
def output_folder(folder: Path) -> Iterator[None]:
    """Makes the folder and holds it for one run; drafts that a killed run left there are removed.

    Raises:
        EnvironmentProblem: It cannot be made or written, or another run is writing there.
    """
    with ExitStack() as held:
        with writing(f"The output folder {folder}", _REMEDY):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(folder, "Wait until it has ended, or name another output folder."))
            for draft in (*folder.glob(f".{PREDICTIONS_NAME}.*.tmp"), *folder.glob(f"{OWN_PREFIX}*.tmp")):
                draft.unlink(missing_ok=True)
        yield


def check_destination(path: Path, option: str, input_root: Path, output: Path) -> None:
    """Refuses a file that a run could not write at its end, or that it would destroy, before anything is answered.

    A new file may lie anywhere but in the input folder; an existing one is replaced only where it begins as this
    program's files of its kind do.

    Args:
        path: The file that is to be written.
        option: The option that names it.
        input_root: The input folder.
        output: The output folder.

    Raises:
        EnvironmentProblem: It cannot be written, or is something else's.
    """
    remedy = f"Name another file for {option}."
    real, source, target = map(real_path, (path, input_root, output))
    if real.parent == target and (real.name == PREDICTIONS_NAME or real.name.startswith(OWN_PREFIX)):
        raise EnvironmentProblem(f"{path} is the run's own file", remedy)
    if real.is_relative_to(source) and not (target != source and real.is_relative_to(target)):
        raise EnvironmentProblem(f"{path} lies in the input folder", remedy)
    with writing(path, remedy):
        if real.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if real.is_file() and not _is_own(real):
            raise EnvironmentProblem(f"{path} exists and was not written by {option}", remedy)
        real.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(real if real.exists() else real.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _is_own(path: Path) -> bool:
    """Whether a file is empty, or begins as explanations and run reports do."""
    with path.open("rb") as file:
        start = file.read(64).decode("utf-8", "replace")
    return not start or start.startswith(('{"question": ', '{\n "version": '))
