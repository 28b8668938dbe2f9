"""Writes the zip of predictions for challenge platforms that take predictions instead of a container."""

from __future__ import annotations

import zipfile
from pathlib import Path

from mevlip.core.errors import OutputError
from mevlip.core.files import atomic_file
from mevlip.flare.questions import PREDICTIONS_NAME
from mevlip_validation.check import check_file

_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first date zip can store; a fixed date makes the zip reproducible


def write_predictions_zip(predictions: Path, inputs: Path, target: Path) -> int:
    """Writes a zip that contains only predictions.json.

    Args:
        predictions: The predictions; the file may have any name.
        inputs: The input folder that the predictions answer.
        target: The zip to write.

    Returns:
        Size of the zip in bytes.

    Raises:
        OutputError: The predictions violate the schema or do not match the inputs; nothing is written.
        EnvironmentProblem: The zip cannot be written.
    """
    if issues := check_file(predictions, inputs):
        raise OutputError(
            f"{predictions} is invalid (issues: {len(issues)}), "
            f"first: {issues[0].field or '(row)'}: {issues[0].message}",
            "Run `mevlip predictions check` to list all issues.",
        )
    entry = zipfile.ZipInfo(PREDICTIONS_NAME, _EARLIEST)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    with atomic_file(target, "Name another --out.") as draft, zipfile.ZipFile(draft, "w") as packed:
        packed.writestr(entry, predictions.read_bytes())
    return target.stat().st_size
