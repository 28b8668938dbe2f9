"""Checking a predictions file against the folder it answers."""

from __future__ import annotations

import json
from pathlib import Path

from mevlip.flare.issues import Issue, IssueCode
from mevlip.flare.predictions import find_issues
from mevlip.flare.questions import read_input_folder


def check_file(predictions: Path, input_folder: Path) -> list[Issue]:
    """Lists everything wrong with a predictions file.

    Args:
        predictions: The file.
        input_folder: The folder whose questions it should answer.

    Raises:
        InputError: The input folder has no questions.
    """
    folder = read_input_folder(input_folder)
    try:
        content = json.loads(predictions.read_bytes())
    except (ValueError, RecursionError) as error:
        rule = f"the file is valid JSON ({error})"
        return [Issue("error", IssueCode.INVALID_JSON, predictions.name, None, rule, value=type(error).__name__)]
    return find_issues(content, folder.questions, predictions.name)
