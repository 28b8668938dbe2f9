"""Checking a predictions file against the folder it answers, and how evaluators will read it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mevlip.core.errors import OutputError
from mevlip.core.files import LARGEST_LIST, read_bounded
from mevlip.flare.issues import Issue, IssueCode
from mevlip.flare.predictions import find_issues, parse_strictly
from mevlip.flare.questions import read_input_folder
from mevlip_validation.conventions import Convention, conventions, read_file, told_task
from mevlip_validation.matching import read_records


def check_file(predictions: Path, input_folder: Path) -> list[Issue]:
    """Lists everything wrong with a predictions file.

    Args:
        predictions: The file.
        input_folder: The folder whose questions it should answer.

    Raises:
        InputError: The input folder has no questions.
        OutputError: The file cannot be read.
    """
    folder = read_input_folder(input_folder)
    try:
        content = parse_strictly(read_bounded(predictions, LARGEST_LIST))
    except OSError as error:
        raise OutputError(f"{predictions} cannot be read ({error.strerror})", "Name a predictions.json.") from error
    except (ValueError, RecursionError) as error:
        rule = f"the file is valid JSON ({error})"
        return [Issue("error", IssueCode.INVALID_JSON, predictions.name, None, rule, value=type(error).__name__)]
    return find_issues(content, folder.questions, predictions.name)


def file_conventions(predictions: Path, input_folder: Path) -> tuple[list[Convention], int]:
    """How evaluators read the answers of a valid predictions file.

    Args:
        predictions: The file.
        input_folder: The folder whose questions it answers.

    Returns:
        The evaluators' readings, and how many questions were left out because they do not say their TaskType.
    """
    folder = read_input_folder(input_folder)
    told = tuple(question for question in folder.questions if question.declared)
    formatted = read_file(
        read_records(predictions),
        replace(folder, questions=told),
        lambda asked: [task for one in asked if (task := told_task(one))],
    )
    return conventions(formatted.readings), len(folder.questions) - len(told)
