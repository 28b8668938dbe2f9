"""What a question asks for: its options, its separator, its image's frame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

BoxSpace = Literal["norm1000", "pixel"]
"""What box numbers mean in a model's text: thousandths of width and height, or pixels of the original."""

_MARKER = re.compile(r"(?<![\w])([A-Z])\s?[:.)]\s*(?=\S)")


@dataclass(frozen=True)
class Form:
    """The form an answer must take.

    Attributes:
        question: The question's text.
        image_size: Width and height of the first image, in pixels of the original file; None where there is no image.
        box_space: What box numbers in the model's text mean.
    """

    question: str
    image_size: tuple[int, int] | None = None
    box_space: BoxSpace = "pixel"

    @cached_property
    def _line(self) -> str:
        """The question on one line, so that nothing taken from it breaks one."""
        return " ".join(self.question.split())

    @cached_property
    def options(self) -> dict[str, str]:
        """Lettered options in the question (`A: x`, `A) x`, `A. x`), letter to text; empty where there are none."""
        marks: list[re.Match[str]] = []
        for mark in _MARKER.finditer(self._line):
            if mark[1] == chr(ord("A") + len(marks)):
                marks.append(mark)
        if len(marks) < 2:
            return {}
        ends = [*(mark.start() for mark in marks[1:]), len(self._line)]
        texts = [self._line[mark.end() : end].strip(" ,;") for mark, end in zip(marks, ends, strict=True)]
        return {mark[1]: text for mark, text in zip(marks, texts, strict=True)}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Unlettered labels: the list after the question's last colon, split at semicolons, else at commas."""
        if self.options:
            return tuple(self.options.values())
        _, colon, listed = self._line.rpartition(":")
        parts = listed.strip().rstrip(".?").split(";" if ";" in listed else ",")
        labels = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
        return labels if colon and len(labels) > 1 else ()

    @cached_property
    def separator(self) -> str:
        """What stands between several labels: `; ` where the question lists or asks for semicolons, else `, `."""
        return "; " if ";" in self._line or "semicolon" in self._line.lower() else ", "
