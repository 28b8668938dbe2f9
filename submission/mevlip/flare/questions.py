"""Finding and reading the question files of a FLARE input folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mevlip.core.errors import InputError
from mevlip.core.files import real_path
from mevlip.flare.records import first_of, name_below, read_records
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
        """The question with blanks collapsed; empty where the field is absent or not a string.

        Lone surrogates, legal in JSON but in no tokenizer, become question marks.
        """
        value = self.record.get("Question")
        return " ".join(value.encode("utf-8", "replace").decode().split()) if isinstance(value, str) else ""

    @property
    def pictures(self) -> tuple[object, ...]:
        """What its images are known by before they are read; equal for questions that name the same images."""
        if self.given:
            return tuple(str(one) if isinstance(one, str | Path) else id(one) for one in self.given)
        return tuple((self.folder, name) for name in self.image_names)

    @property
    def declared(self) -> TaskType | None:
        """The task type that the record states, where it states a known one."""
        return parse_task_type(self.record.get("TaskType"))

    @property
    def by_hand(self) -> bool:
        """Whether it was given from memory, so that its task is the caller's own word."""
        return not self.file

    @property
    def image_names(self) -> tuple[str, ...]:
        """The ImageName field as a tuple; entries that are not strings are left out."""
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
    root = input_root(root)
    questions: list[Question] = []
    problems: list[str] = []
    for folder, names in json_files(root, real_path(output) if output else None, problems):
        names = [name for name in names if not is_ground_truth(name)]
        for name in preferred_names(names):
            questions += read_questions(folder / name, root, len(questions), problems, named=is_question_file(name))
    if not questions:
        raise no_questions(root, problems)
    return InputFolder(root, tuple(questions), tuple(problems))


def input_root(root: Path) -> Path:
    """The input folder, resolved.

    Raises:
        InputError: It is not a folder.
    """
    if not root.is_dir():
        raise InputError(
            f"The input folder {root} does not exist", "Mount or name the folder that holds the questions."
        )
    return root.resolve()


def no_questions(root: Path, problems: Sequence[str]) -> InputError:
    """The error where a folder has no question file."""
    shown = first_of(problems, "... and {} more")
    detail = f" ({'; '.join(shown)})" if problems else ""
    return InputError(
        f"No question file was found below {root}{detail}",
        "It should hold *_questions_*.json lists whose records have Question and ImageName.",
    )


def json_files(root: Path, excluded: Path | None, problems: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """Yields each folder with the names of its json files, in path order, without following links to folders.

    Hidden files and folders and the program's own predictions are passed over.

    Args:
        root: The input folder, resolved.
        excluded: A folder to pass over, resolved.
        problems: Where a line is added for each folder that cannot be read.
    """

    def report(error: OSError) -> None:
        problems.append(f"{name_below(Path(error.filename), root)}: cannot be read ({error.strerror})")

    for current, folders, names in os.walk(root, onerror=report):
        folder = Path(current)
        # An output folder that is the input folder itself must not hide the questions.
        if excluded is not None and folder != root and folder.resolve() == excluded:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield folder, sorted(name for name in names if _is_candidate(name))


def _is_candidate(name: str) -> bool:
    lowered = name.lower()
    return lowered.endswith(".json") and not lowered.startswith(".") and lowered != PREDICTIONS_NAME


def is_ground_truth(name: str) -> bool:
    """Whether a file's name says that it holds the answers of a question file."""
    return "withgt" in name.lower()


def preferred_names(names: Sequence[str]) -> Sequence[str]:
    """The names of one folder's files that are read: those of question files, else all of them."""
    return [name for name in names if is_question_file(name)] or names


def is_question_file(name: str) -> bool:
    """Whether a file's name says that it holds questions."""
    return "_questions_" in name.lower()


def read_questions(path: Path, root: Path, position: int, problems: list[str], *, named: bool) -> list[Question]:
    """Reads the questions of one file.

    Args:
        path: The file.
        root: The input folder, resolved; a file outside it is not read.
        position: The first question's place in the output.
        problems: Where a line is added for each entry that is not a record, and for a file that is not a question list.
        named: Whether the file is known to be meant as questions; another one is passed over in silence.
    """
    file = name_below(path, root)
    try:
        records = read_records(path, root, problems)
    except ValueError as error:
        if named:
            problems.append(f"{file}: {error}")
        return []
    questions: list[Question] = []
    others: list[str] = []
    for index, record in enumerate(records):
        if isinstance(record, dict):
            questions.append(Question(position + len(questions), file, index, record, path.parent))
        else:
            others.append(f"{file}[{index}]: a {type(record).__name__} is not a question record; left out")
    problems += first_of(others, f"{file}: ... and {{}} more entries that are not records")
    return questions
