"""Finding and reading the question files of a FLARE input folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mevlip.core.errors import InputError
from mevlip.tasks import TaskType, parse_task_type

PREDICTIONS_NAME = "predictions.json"
"""The program's own output; a file of this name is never read as questions."""

Record = dict[str, Any]

if TYPE_CHECKING:
    from PIL import Image

GivenImage: TypeAlias = "str | Path | bytes | Image.Image"
"""An image as a caller hands it over: a path, a file's bytes, or a Pillow image."""


@dataclass(frozen=True)
class Question:
    """One record of a question file, in its place.

    Attributes:
        position: Its index in the output, counted over all files.
        file: The question file, relative to the input folder, with forward slashes.
        index: Its index in that file.
        record: The JSON object as read; never changed.
        folder: The question file's folder, against which image names are resolved.
        given: The images themselves, of a question that was not read from a file.
    """

    position: int
    file: str
    index: int
    record: Record
    folder: Path
    given: tuple[GivenImage, ...] = ()

    @classmethod
    def given_as(cls, text: str, images: Sequence[GivenImage] = (), task: TaskType | None = None) -> Question:
        """A question from memory.

        Args:
            text: The question.
            images: Its images: paths, files' bytes or Pillow images.
            task: The kind of answer that it wants, where that is known.
        """
        names = [str(image) if isinstance(image, str | Path) else f"image {n}" for n, image in enumerate(images, 1)]
        record = {"TaskType": task.value if task else "", "ImageName": names, "Question": text}
        return cls(0, "", 0, record, Path(), tuple(images))

    @property
    def text(self) -> str:
        """The question with blanks collapsed; empty where the field is absent or no string.

        Lone surrogates, legal in JSON but in no tokenizer, become question marks.
        """
        value = self.record.get("Question")
        return " ".join(value.encode("utf-8", "replace").decode().split()) if isinstance(value, str) else ""

    @property
    def declared(self) -> TaskType | None:
        """The task type that the record states, where it states a known one."""
        return parse_task_type(self.record.get("TaskType"))

    @property
    def image_names(self) -> tuple[str, ...]:
        """The ImageName field as a tuple; entries that are no strings are left out."""
        value = self.record.get("ImageName")
        names = value if isinstance(value, list) else [value]
        return tuple(name for name in names if isinstance(name, str) and name.strip())

    @property
    def where(self) -> str:
        """The record's place, for messages."""
        return f"{self.file}[{self.index}]"


@dataclass(frozen=True)
class InputFolder:
    """All questions below a folder, and what was passed over on the way.

    Attributes:
        root: The input folder, resolved.
        questions: Every question, in output order: files by path, records as they stand.
        problems: One line for each file or entry that looked like questions but could not be used.
    """

    root: Path
    questions: tuple[Question, ...]
    problems: tuple[str, ...]


def read_input_folder(root: Path, output: Path | None = None) -> InputFolder:
    """Reads every question list below a folder.

    In each folder files named `*_questions_*.json` win; other json files are looked at only where there is none.
    Ground truth (`withGT`), hidden files, the program's own predictions and everything below `output` are never read.

    Args:
        root: The input folder.
        output: The output folder, in case it lies inside the input folder.

    Raises:
        InputError: The folder is missing, or no question was found in it.
    """
    if not root.is_dir():
        raise InputError(
            f"The input folder {root} does not exist", "Mount or name the folder that holds the questions."
        )
    root = root.resolve()
    excluded = output.resolve() if output else None
    questions: list[Question] = []
    problems: list[str] = []
    for folder, names in _json_files(root, excluded, problems):
        preferred = [name for name in names if "_questions_" in name.lower()]
        for name in preferred or names:
            path = folder / name
            relative = path.relative_to(root).as_posix()
            try:
                records = _read_records(path, root)
            except ValueError as error:
                if preferred:
                    problems.append(f"{relative}: {error}")
                continue
            for index, record in enumerate(records):
                if isinstance(record, dict):
                    questions.append(Question(len(questions), relative, index, record, folder))
                else:
                    problems.append(f"{relative}[{index}]: a {type(record).__name__} is no question record; left out")
    if not questions:
        detail = f" ({'; '.join(problems)})" if problems else ""
        raise InputError(
            f"No question file was found below {root}{detail}",
            "It should hold *_questions_*.json lists whose records have Question and ImageName.",
        )
    return InputFolder(root, tuple(questions), tuple(problems))


def _json_files(root: Path, excluded: Path | None, problems: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """Yields each folder with its candidate json names, in path order, without following links to folders."""

    def tell(error: OSError) -> None:
        problems.append(f"{Path(error.filename).relative_to(root).as_posix()}: cannot be read ({error.strerror})")

    for current, folders, names in os.walk(root, onerror=tell):
        folder = Path(current)
        # An output folder that is the input folder itself must not hide the questions.
        if excluded is not None and folder != root and folder.resolve() == excluded:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield folder, sorted(name for name in names if _may_hold_questions(name))


def _may_hold_questions(name: str) -> bool:
    lowered = name.lower()
    return (
        lowered.endswith(".json")
        and not lowered.startswith(".")
        and "withgt" not in lowered
        and lowered != PREDICTIONS_NAME
    )


def _read_records(path: Path, root: Path) -> list[Any]:
    """Reads a question list; raises ValueError with the reason where it is none."""
    if not path.resolve().is_relative_to(root):
        raise ValueError("the file is a link that leaves the input folder; copy it in (cp -L)")
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply to be a question list") from error
    except ValueError as error:
        raise ValueError(f"is not valid JSON ({error})") from error
    if not isinstance(content, list) or not any(_is_question(record) for record in content):
        raise ValueError("holds no list of records with Question and ImageName")
    return content


def _is_question(record: object) -> bool:
    return isinstance(record, dict) and isinstance(record.get("Question"), str) and "ImageName" in record
