"""The synthetic data sets and their question wordings, read from datasets.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mevlip.tasks import TaskType

HELD_OUT = 5
"""This many wordings at the end of each data set are never trained on."""

OptionStyle = Literal["A:", "A)", "A.", "text", "none"]

_PHRASES = {
    "{box}": "[x_min, y_min, x_max, y_max]",
    "{json}": '{"1": [[x_min, y_min, x_max, y_max]], "2": [[x_min, y_min, x_max, y_max]], ...}',
    "{several}": "Choose every entry that applies and put a semicolon between entries:",
}


@dataclass(frozen=True)
class DemoDataset:
    """One synthetic data set.

    Attributes:
        category: Its modality folder.
        name: Its own folder.
        modality: The Modality field.
        task: Its task type.
        task_spelling: The TaskType field; spellings differ between data sets, as in the wild.
        wordings: Question stems, the last `HELD_OUT` kept for validation; `{target}` stands for the thing asked about.
        options: What may be answered, where the question lists it.
        plain: What is to be seen for each option, in plain words.
        style: How the options are marked.
        separator: What stands between options, and between chosen labels.
        targets: Fillers of `{target}`.
    """

    category: str
    name: str
    modality: str
    task: TaskType
    task_spelling: str
    wordings: tuple[str, ...]
    options: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    style: OptionStyle = "none"
    separator: str = ", "
    targets: tuple[str, ...] = ("",)

    def question(self, wording: str, target: str = "") -> str:
        """The full question: a wording, its target, and the options."""
        return ask(wording.replace("{target}", target), self.options, self.style, self.separator)


def ask(stem: str, options: tuple[str, ...], style: OptionStyle, separator: str) -> str:
    """Joins a stem and its options in a style."""
    if style == "none":
        return stem
    if style == "text":
        return f"{stem} {separator.join(options)}."
    marked = (f"{chr(ord('A') + index)}{style[1]} {option}" for index, option in enumerate(options))
    return f"{stem} {separator.join(marked)}"


def _read(entry: dict[str, Any]) -> DemoDataset:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    wordings = []
    for wording in fields["wordings"]:
        for mark, phrase in _PHRASES.items():
            wording = wording.replace(mark, phrase)
        wordings.append(wording)
    return DemoDataset(**{**fields, "task": TaskType(fields["task"]), "wordings": tuple(wordings)})


DATASETS: tuple[DemoDataset, ...] = tuple(
    _read(entry) for entry in tomllib.loads(Path(__file__).with_name("datasets.toml").read_text("utf-8"))["dataset"]
)
