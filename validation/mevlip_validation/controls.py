"""Inputs that show what a score owes to the pictures: the same questions with blank images, or without any."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mevlip.core.errors import EnvironmentProblem
from mevlip.flare.images import ImageError, find_image, load_image
from mevlip.flare.questions import Question, read_input_folder

Control = Literal["blank", "question-only"]
_GRAY = (128, 128, 128)
_NO_SIZE = (448, 448)  # of an image that cannot be read


def write_control(source: Path, target: Path, control: Control) -> None:
    """Writes the questions of an input folder anew, for any predictor to answer.

    Args:
        source: The input folder.
        target: The folder to write; what lies there under the same names is replaced.
        control: `blank` puts an evenly gray image of the same size in the place of each; `question-only` takes the
            image names away, so score its answers by position.

    Raises:
        InputError: The source holds no questions.
        EnvironmentProblem: The target cannot be written.
    """
    folder = read_input_folder(source)
    by_file: dict[str, list[Question]] = {}
    for question in folder.questions:
        by_file.setdefault(question.file, []).append(question)
    try:
        for file, questions in by_file.items():
            place = target / file
            place.parent.mkdir(parents=True, exist_ok=True)
            records = [_record(question, control) for question in questions]
            place.write_text(json.dumps(records, indent=1) + "\n", "utf-8")
            if control == "blank":
                _write_blanks(folder.root, place.parent, questions)
    except OSError as error:
        raise EnvironmentProblem(f"{target} cannot be written ({error.strerror})", "Name another folder.") from error


def _record(question: Question, control: Control) -> dict[str, Any]:
    return {**question.record, "Answer": ""} | ({"ImageName": []} if control == "question-only" else {})


def _write_blanks(root: Path, folder: Path, questions: Sequence[Question]) -> None:
    """Writes gray images under the names of the questions' own; a name that leaves the tree is passed over."""
    from PIL import Image

    for question in questions:
        for name in question.image_names:
            try:
                path = find_image(root, question.folder, name)
                size = load_image(path).size
            except ImageError:
                continue
            blank = folder / path.relative_to(question.folder.resolve())
            blank.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size, _GRAY).save(blank, format="PNG")
