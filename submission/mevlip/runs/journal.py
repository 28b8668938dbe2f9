"""An append-only record of finished answers, so that an interrupted run loses nothing.

One line for each entry: a checksum, a blank, a JSON list that begins with the entry's kind.

- `["run", identity]`, the first line: what the answers depend on besides the question
- `["answer", key, answer]`: a finished answer
- `["asking", [key, ...]]`: the questions that the model is asked next; where no other entry follows, the program died
  on them without a chance to say why, as when the kernel ends it for its memory
- `["deaths", {key: number}]`: how often that happened in earlier runs
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter

from mevlip.core.files import writing
from mevlip.core.text import answer_fault
from mevlip.flare.pixels import ImageError
from mevlip.flare.questions import Question
from mevlip.flare.store import ImageStore
from mevlip.inference.engine import Answer
from mevlip.runs.output import OWN_PREFIX

logger = logging.getLogger(__name__)

_PREFIX, _SUFFIX = f"{OWN_PREFIX}journal-", ".jsonl"
_LONGEST_LINE = 1 << 24  # bytes; an answer of the longest token budget takes a thousandth of it
_ANSWER = TypeAdapter(Answer)
_DEATHS = TypeAdapter(dict[str, int])


def journals(folder: Path) -> list[Path]:
    """The journals in an output folder, one for each kind of run that was not finished."""
    return sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}"))


class Journal:
    """The journal of one run; a run with other settings has a file of its own in the same folder.

    Args:
        folder: The output folder.
        identity: What the answers depend on besides the question: checkpoint, settings, program version.

    Attributes:
        done: Answers of an earlier run of the same kind, by question key.
        deaths: How often the program died while it asked a question, by question key.

    Raises:
        EnvironmentProblem: The folder cannot be written.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._folder = folder
        self._salt = _digest(json.dumps(identity, sort_keys=True))
        self._path = folder / f"{_PREFIX}{self._salt[:8]}{_SUFFIX}"
        with _writing(folder):
            for other in journals(folder):
                if other != self._path:
                    _report_other(_read(other), other, identity)
            earlier = _read(self._path)
            if earlier.damaged:
                logger.warning(
                    "%s: %d damaged lines are passed over; their questions are answered again",
                    self._path.name,
                    earlier.damaged,
                )
            same = earlier.identity == identity
            self.done = earlier.done if same else {}
            self.deaths = {key: number for key, number in earlier.deaths.items() if same and key not in self.done}
            self._empty = not self.done and not self.deaths
            entries: list[list[Any]] = [["run", identity]]
            entries += (["answer", key, asdict(answer)] for key, answer in self.done.items())
            if self.deaths:
                entries.append(["deaths", self.deaths])
            draft = self._path.with_suffix(".tmp")
            draft.write_bytes(b"".join(map(self._line, entries)))
            draft.replace(self._path)
            self._file: IO[bytes] = self._path.open("ab", buffering=0)
            self._size = self._path.stat().st_size

    def asking(self, keys: Iterable[str]) -> None:
        """Records which questions the model is asked next, in case the program does not survive it."""
        # The kernel keeps what was written when it ends the process; only a power cut could take it away.
        self._write([["asking", [*keys]]])

    def append(self, answers: Iterable[tuple[str, Answer]]) -> None:
        """Records finished answers; returns when they are on the disk.

        Questions that failed are left out: a resumed run tries them again.
        """
        finished = [["answer", key, asdict(one)] for key, one in answers if not one.failed]
        self._empty = self._empty and not finished
        # The mark that they are being asked goes: whatever ends the program from here on, it is not these questions.
        self._write(finished)
        with _writing(self._folder):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file and keeps it for the next run, if there is anything in it."""
        if self._file.closed:
            return
        try:
            os.ftruncate(self._file.fileno(), self._size)  # an orderly end is nobody's death
        finally:
            self._file.close()
            if self._empty:
                self._path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Removes the folder's journals, once the predictions are written."""
        self._file.close()
        for path in journals(self._folder):
            path.unlink(missing_ok=True)

    def _write(self, entries: Sequence[Sequence[Any]]) -> None:
        """Appends lines in place of a last `asking` mark; on a full disk the file is as it was before."""
        with _writing(self._folder):
            os.ftruncate(self._file.fileno(), self._size)
            content = b"".join(map(self._line, entries))
            try:
                view = memoryview(content)
                while view:
                    view = view[self._file.write(view) :]
            except OSError:
                os.ftruncate(self._file.fileno(), self._size)
                raise
            if entries and entries[0][0] != "asking":
                self._size += len(content)

    def _line(self, entry: Sequence[Any]) -> bytes:
        text = json.dumps(entry, sort_keys=True)
        return f"{_checksum(self._salt, text)} {text}\n".encode()


@dataclass
class _Content:
    """What a journal file holds.

    Attributes:
        identity: What its answers depend on; None if the file does not exist or its
            first line is damaged.
        done: Finished answers by question key.
        deaths: How often the program died on a question, the last run included.
        damaged: Lines that could not be used.
    """

    identity: Mapping[str, Any] | None = None
    done: dict[str, Answer] = field(default_factory=dict)
    deaths: dict[str, int] = field(default_factory=dict)
    damaged: int = 0


def question_key(question: Question, images: ImageStore) -> str:
    """A digest of a record and of the state of its image files, so that an edited image is answered anew."""
    parts = [json.dumps(question.record, sort_keys=True), str(question.position)]
    for name in question.image_names:
        try:
            parts.append(f"{name}:{images.state(question, name)}")
        except ImageError:
            parts.append(f"{name}:unreadable")
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _read(path: Path) -> _Content:
    content = _Content()
    if not path.is_file():
        return content
    salt = ""
    asking: list[str] = []
    with path.open("rb") as file:
        for line in iter(lambda: file.readline(_LONGEST_LINE), b""):
            try:
                kind, *values = _entry(line, salt)
                asking = []
                if kind == "run":
                    [content.identity] = values
                    salt = _digest(json.dumps(content.identity, sort_keys=True))
                elif kind == "answer":
                    key, answer = values
                    finished = _ANSWER.validate_python(answer)
                    if answer_fault(finished.text):
                        raise ValueError("could not be written")
                    content.done[key] = finished
                elif kind == "deaths":
                    content.deaths |= _DEATHS.validate_python(values[0])
                elif kind == "asking":
                    asking = [str(key) for key in values[0]]
            except (ValueError, RecursionError):  # pydantic's errors are ValueErrors, too
                content.damaged += 1
    for key in asking:
        if key not in content.done:
            content.deaths[key] = content.deaths.get(key, 0) + 1
    return content


def _entry(line: bytes, salt: str) -> list[Any]:
    """The entry of a line.

    Raises:
        ValueError: The line is torn, or is not what was written.
    """
    found, _, text = line.decode().rstrip("\n").partition(" ")
    if not line.endswith(b"\n"):
        raise ValueError("torn")
    entry = json.loads(text)
    if not salt:  # the first line holds its own
        match entry:
            case ["run", dict(identity)]:
                salt = _digest(json.dumps(identity, sort_keys=True))
            case _:
                raise ValueError("no header")
    if found != _checksum(salt, text):
        raise ValueError("altered")
    return list(entry)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(salt: str, text: str) -> str:
    return _digest(salt + text)[:16]


def _report_other(content: _Content, path: Path, identity: Mapping[str, Any]) -> None:
    """Says why the answers of another journal are not used."""
    theirs = content.identity or {}
    names = [name for name in {**theirs, **identity} if theirs.get(name) != identity.get(name)]
    logger.warning(
        "%s holds %d answers of an unfinished run with another %s; they are not used now. "
        "The same command as then would use them; when this run is finished, the file is removed",
        path.name,
        len(content.done),
        ", ".join(names) or "checksum",
    )


def _writing(folder: Path) -> AbstractContextManager[None]:
    return writing(
        f"The output folder {folder}", "Make it writable for the user that runs the program, or free space on the disk."
    )
