"""An append-only record of finished answers, so that an interrupted run loses nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from pydantic import TypeAdapter

from mevlip.core.files import writing
from mevlip.flare.images import ImageError
from mevlip.flare.questions import Question
from mevlip.flare.store import ImageStore
from mevlip.inference.engine import Answer

JOURNAL_NAME = ".mevlip-journal.jsonl"

_LINE = TypeAdapter(tuple[str, Answer])


def _writing(folder: Path) -> AbstractContextManager[None]:
    return writing(
        f"The output folder {folder}", "Make it writable for the user that runs the program, or free space on the disk."
    )


def _line(key: str, answer: Answer) -> str:
    return json.dumps([key, asdict(answer)]) + "\n"


class Journal:
    """The journal of one output folder.

    Args:
        folder: The output folder; made where it is absent.
        run: What the answers depend on besides the question: checkpoint, settings and program version.

    Attributes:
        done: Answers of an earlier run of the same kind, by question key.

    Raises:
        EnvironmentProblem: The folder cannot be written.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self._path = folder / JOURNAL_NAME
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.done = _read(self._path, run)
            draft = self._path.with_suffix(".tmp")
            draft.write_text(f"{json.dumps(run)}\n" + "".join(_line(*pair) for pair in self.done.items()), "utf-8")
            draft.replace(self._path)
            self._file: IO[str] = self._path.open("a", encoding="utf-8")
        self._empty = not self.done

    def append(self, answers: Iterable[tuple[str, Answer]]) -> None:
        """Records finished answers; returns when they are on the disk.

        Questions that failed are left out: a resumed run tries them again.
        """
        lines = [_line(key, one) for key, one in answers if not one.failed]
        self._empty = self._empty and not lines
        with _writing(self._path.parent):
            self._file.writelines(lines)
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file and keeps it for the next run, if there is anything in it."""
        self._file.close()
        if self._empty:
            self._path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Removes the file, once the predictions are written."""
        self._empty = True
        self.close()


def question_key(question: Question, images: ImageStore) -> str:
    """A digest of a record and of the state of its image files, so that an edited image is answered anew."""
    parts = [json.dumps(question.record, sort_keys=True), str(question.position)]
    for name in question.image_names:
        try:
            parts.append(f"{name}:{images.state(question, name)}")
        except ImageError:
            parts.append(f"{name}:unreadable")
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _read(path: Path, run: str) -> dict[str, Answer]:
    """Answers of an earlier journal of the same run, by question key; a line cut off by a crash ends them."""
    if not path.is_file():
        return {}
    header, *lines = path.read_text("utf-8", errors="replace").split("\n")
    done: dict[str, Answer] = {}
    if header == json.dumps(run):
        for line in lines:
            try:
                key, answer = _LINE.validate_python(json.loads(line))
            except ValueError:  # what json and pydantic raise alike
                break
            done[key] = answer
    return done
