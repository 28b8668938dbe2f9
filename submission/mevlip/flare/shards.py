"""Dividing a folder's questions into shards that are answered apart: all questions of one picture lie in one shard."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mevlip.core.files import real_path
from mevlip.flare.pixels import ImageError

if TYPE_CHECKING:
    from mevlip.flare.questions import Question
    from mevlip.flare.store import ImageStore

_FORM = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", re.ASCII)


@dataclass(frozen=True)
class Shard:
    """One of several parts of a folder's questions.

    Attributes:
        number: Which part, from 1.
        total: How many parts there are.
    """

    number: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a shard such as `2/8`.

        Raises:
            ValueError: It is not two numbers I/N with I from 1 to N.
        """
        found = _FORM.fullmatch(text)
        if not found or int(found[1]) > int(found[2]):
            raise ValueError("a shard is I/N with I from 1 to N, such as 2/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"

    def select(self, questions: Sequence[Question], root: Path, store: ImageStore) -> tuple[Question, ...]:
        """The questions of this shard, in their order.

        Args:
            questions: All questions of the folder.
            root: The folder, resolved.
            store: Its images.
        """
        pictures = [question_pictures(question, root, store) for question in questions]
        numbers = shard_numbers(pictures, [question.text for question in questions], self.total)
        return tuple(one for one, number in zip(questions, numbers, strict=True) if number == self.number)


def shard_numbers(pictures: Sequence[Iterable[str]], texts: Sequence[str], total: int) -> list[int]:
    """The shard of each question.

    Questions that share a picture belong together, and so do those that are linked by others. A group's shard depends
    on the names of its own pictures alone, so that it stays the same when files are reordered or other questions come.

    Args:
        pictures: The names of each question's pictures.
        texts: The text of each question; it takes the place of a name where a question has no picture.
        total: How many shards there are.

    Returns:
        A number from 1 to `total` for each question.
    """
    names = [frozenset(shown) or frozenset([f"\0{text}"]) for shown, text in zip(pictures, texts, strict=True)]
    # Union-find: every name points towards the smallest one of its group.
    smallest = {name: name for shown in names for name in shown}

    def find(name: str) -> str:
        while smallest[name] != name:
            smallest[name] = name = smallest[smallest[name]]
        return name

    for shown in names:
        roots = {find(name) for name in shown}
        smallest |= dict.fromkeys(roots, min(roots))
    return [_number(find(next(iter(shown))), total) for shown in names]


def _number(name: str, total: int) -> int:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) % total + 1


def question_pictures(question: Question, root: Path, store: ImageStore) -> list[str]:
    """Names a question's pictures by their places below the input folder; one that is missing by its own name."""
    return [_picture(question, name, root, store) for name in question.image_names]


def _picture(question: Question, name: str, root: Path, store: ImageStore) -> str:
    try:
        return os.path.relpath(real_path(Path(store.place(question, name))), root)
    except ImageError:
        # A text only; nothing is looked up by it.
        return posixpath.normpath(posixpath.join(os.path.relpath(question.folder, root), name.strip()))
