"""Writing rows and their images in the form that LLaMA-Factory reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from mevlip.checkpoints.routes import PromptSettings
from mevlip.core.files import link_or_copy
from mevlip.core.progress import Progress
from mevlip.flare.images import image_path
from mevlip.flare.store import ImageStore
from mevlip.inference.families import find_family
from mevlip.inference.prompts import build_prompt
from mevlip_training.data.records import Example
from mevlip_training.data.rows import Row
from mevlip_training.data.tokens import Tokens
from mevlip_training.families import DEFAULT


class RowWriter:
    """Writes data sets into one folder, images beside them in a form that a bare `Image.open` reads as prediction does.

    Args:
        folder: The folder.
        tokens: Of the base; None for the default family.

    Attributes:
        info: LLaMA-Factory's list of what was written, by name.
    """

    def __init__(self, folder: Path, tokens: Tokens | None) -> None:
        self._folder, self._tokens = folder, tokens
        self._taken: dict[PurePosixPath, str] = {}
        self.info: dict[str, dict[str, Any]] = {}

    def write(
        self, name: str, rows: Iterable[Row], settings: PromptSettings, store: ImageStore, progress: Progress
    ) -> None:
        """Writes a data set.

        Args:
            name: Its name.
            rows: Its rows.
            settings: The prompt's wording.
            store: The store of the rows' images.
            progress: Advanced by each row.
        """
        with (self._folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(self._sharegpt(row, settings, store), ensure_ascii=False) + "\n")
                progress.advance()
        columns = {"messages": "conversations", "images": "images"} | ({"system": "system"} if settings.system else {})
        self.info[name] = {"file_name": f"{name}.jsonl", "formatting": "sharegpt", "columns": columns}

    def _sharegpt(self, row: Row, settings: PromptSettings, store: ImageStore) -> dict[str, Any]:
        reserved = self._tokens.reserved if self._tokens else frozenset()
        prompt = build_prompt(row.example.question.text, len(row.names), settings, reserved)
        gap = self._tokens.image_gap if self._tokens else find_family(DEFAULT).image_gap
        turns = [{"from": "human", "value": prompt.sharegpt(gap)}, {"from": "gpt", "value": row.target}]
        system = {"system": prompt.system} if prompt.system else {}
        images = list(row.pictures) or [self._put(row.example, name, store) for name in row.names]
        return {"conversations": turns, **system, "images": images, "id": row.id}

    def _put(self, example: Example, name: str, store: ImageStore) -> str:
        """Path of an image relative to the folder; it is there afterward."""
        facts = store.facts(example.question, name)
        path = PurePosixPath("images", example.place, image_path(name))
        if not facts.plain and path.suffix.lower() != ".png":
            path = path.with_name(f"{path.name}.png")
        if self._taken.setdefault(path, facts.sha256) != facts.sha256:  # data sets of one name in two folders
            path = path.with_name(f"{facts.sha256[:12]}-{path.name}")
            self._taken[path] = facts.sha256
        target = self._folder / path
        if not target.exists():
            if facts.plain:
                with store.file(example.question, name) as file:
                    link_or_copy(file, target)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                store.image(example.question, name).save(target, "PNG")
        return path.as_posix()
