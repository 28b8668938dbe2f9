"""The zip of predictions that a challenge's platform takes where no container is asked for."""

from __future__ import annotations

import zipfile
from pathlib import Path

from mevlip.core.errors import OutputError
from mevlip.core.files import atomic_file
from mevlip.flare.questions import PREDICTIONS_NAME
from mevlip_validation.check import check_file

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # zip knows no earlier day, and a fixed one makes equal files equal


def pack_predictions(predictions: Path, inputs: Path, target: Path) -> int:
    """Writes a zip that holds predictions.json and nothing else.

    Args:
        predictions: The file; any name.
        inputs: The folder that it answers.
        target: The zip.

    Returns:
        The zip's size in bytes.

    Raises:
        OutputError: The predictions break the schema or do not match the inputs; nothing is written.
        EnvironmentProblem: The zip cannot be written.
    """
    if faults := check_file(predictions, inputs):
        raise OutputError(
            f"{predictions} has {len(faults)} faults; first: {faults[0].field or '(row)'}: {faults[0].message}",
            "`mevlip check` lists them all.",
        )
    entry = zipfile.ZipInfo(PREDICTIONS_NAME, _EARLIEST)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with atomic_file(target, "Name another --out.") as draft, zipfile.ZipFile(draft, "w") as packed:
        packed.writestr(entry, predictions.read_bytes())
    return target.stat().st_size
