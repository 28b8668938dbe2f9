"""Checking a predictions file against the folder it answers."""

from __future__ import annotations

import json
from pathlib import Path

from mevlip.flare.predictions import Fault, find_faults
from mevlip.flare.questions import read_input_folder


def check_file(predictions: Path, input_folder: Path) -> list[Fault]:
    """Lists every fault of a predictions file.

    Args:
        predictions: The file.
        input_folder: The folder whose questions it should answer.

    Raises:
        InputError: The input folder holds no questions.
    """
    folder = read_input_folder(input_folder)
    try:
        content = json.loads(predictions.read_bytes())
    except (ValueError, RecursionError) as error:
        return [Fault(None, "", type(error).__name__, f"the file is valid JSON ({error})")]
    return find_faults(content, folder.questions)
