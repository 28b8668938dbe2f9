"""Reading back the rows that `mevlip data prepare` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mevlip.checkpoints.routes import PromptSettings
from mevlip.core.errors import InputError
from mevlip.inference.prompts import Prompt

REMEDY = "Write the training data again with `mevlip data prepare`."


@dataclass(frozen=True)
class WrittenRow:
    """A row of a prepared data set.

    Attributes:
        id: Its id.
        task: Its task's name; empty where an earlier version wrote it.
        prompt: What it asks.
        target: What is to be said.
        images: Its image files.
    """

    id: str
    task: str
    prompt: Prompt
    target: str
    images: tuple[Path, ...]


def read_rows(file: Path, prompt: PromptSettings, image_gap: str) -> Iterator[WrittenRow]:
    """The rows of a prepared data set, its images beside it.

    Raises:
        InputError: A line is none that `mevlip data prepare` writes.
    """
    folder = file.parent
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                (asked, said), names = (turn["value"] for turn in row["conversations"]), row["images"]
                before = Prompt("", "", len(names), prompt.image_mark, prompt.preset).sharegpt(image_gap)
                text = asked.removeprefix(before)
                shown = Prompt(text, row.get("system", ""), len(names), prompt.image_mark, prompt.preset)
                images = tuple(folder / name for name in names)
                yield WrittenRow(row["id"], row.get("task", ""), shown, said, images)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise InputError(
                    f"{file}: line {number} is no row of training data ({type(error).__name__})", REMEDY
                ) from error
