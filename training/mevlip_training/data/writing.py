"""Writing rows and their images in the form that LLaMA-Factory reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mevlip.checkpoints.routes import ImageSettings, Intensity
from mevlip.core.files import link_or_copy
from mevlip.core.progress import Progress
from mevlip.flare.frames.base import shown_frames
from mevlip.flare.frames.reading import open_frames
from mevlip.flare.images import image_path
from mevlip.flare.store import ImageStore
from mevlip.inference.families import find_family
from mevlip.inference.prompts import build_prompt
from mevlip_training.data.records import Example
from mevlip_training.data.rows import Choices, Row
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

    def write(self, name: str, rows: Iterable[Row], choices: Choices, store: ImageStore, progress: Progress) -> None:
        """Writes a data set.

        Args:
            name: Its name.
            rows: Its rows.
            choices: The prompt's wording, and which frames of an image file are shown.
            store: The store of the rows' images.
            progress: Advanced by each row.
        """
        with (self._folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(self._sharegpt(row, choices, store), ensure_ascii=False) + "\n")
                progress.advance()
        columns = {"messages": "conversations", "images": "images"}
        columns |= {"system": "system"} if choices.prompt.system else {}
        self.info[name] = {"file_name": f"{name}.jsonl", "formatting": "sharegpt", "columns": columns}

    def _sharegpt(self, row: Row, choices: Choices, store: ImageStore) -> dict[str, Any]:
        reserved = self._tokens.reserved if self._tokens else frozenset()
        images = list(row.pictures) or list(self._shown(row, choices.route_images, store))
        prompt = build_prompt(row.example.question.text, len(images), choices.prompt, reserved)
        gap = self._tokens.image_gap if self._tokens else find_family(DEFAULT).image_gap
        turns = [{"from": "human", "value": prompt.sharegpt(gap)}, {"from": "gpt", "value": row.target}]
        system = {"system": prompt.system} if prompt.system else {}
        return {"conversations": turns, **system, "images": images, "id": row.id, "task": row.example.task}

    def _shown(self, row: Row, settings: ImageSettings, store: ImageStore) -> Iterator[str]:
        """Paths of a row's pictures relative to the folder; they are there afterward."""
        for name in row.names:
            facts = store.facts(row.example.question, name)
            if facts.frames == 1:
                yield self._put(row.example, name, store)
            else:
                shown = shown_frames(facts.frames, settings, len(row.names))
                yield from self._put_frames(row.example, name, store, shown, settings.intensity)

    def _put(self, example: Example, name: str, store: ImageStore) -> str:
        """Path of an image relative to the folder; it is there afterward."""
        facts = store.facts(example.question, name)
        path = PurePosixPath("images", example.place, image_path(name))
        if not facts.plain and path.suffix.lower() != ".png":
            path = path.with_name(f"{path.name}.png")
        path = self._own(path, facts.sha256)
        target = self._folder / path
        if not target.exists():
            if facts.plain:
                with store.file(example.question, name) as file:
                    link_or_copy(file, target)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                store.image(example.question, name).save(target, "PNG")
        return path.as_posix()

    def _put_frames(
        self, example: Example, name: str, store: ImageStore, shown: Sequence[int], intensity: Intensity
    ) -> list[str]:
        """Paths of an image file's frames relative to the folder, as PNG, numbered from 1; they are there afterward."""
        image = PurePosixPath("images", example.place, image_path(name))
        ending = "" if intensity == "volume" else f"-by-{intensity}"
        sha256 = store.facts(example.question, name).sha256
        paths = [
            self._own(image.with_name(f"{image.name}-{index + 1:04}{ending}.png"), f"{sha256}/{index}/{intensity}")
            for index in shown
        ]
        missing = {index: path for index, path in zip(shown, paths, strict=True) if not (self._folder / path).exists()}
        if missing:
            (self._folder / paths[0]).parent.mkdir(parents=True, exist_ok=True)
            with open_frames(store.content(example.question, name), intensity) as frames:
                for picture, path in zip(frames.pictures([*missing]), missing.values(), strict=True):
                    picture.save(self._folder / path, "PNG")
        return [path.as_posix() for path in paths]

    def _own(self, path: PurePosixPath, content: str) -> PurePosixPath:
        """The path, or another one where something else has it: data sets of one name in two folders."""
        if self._taken.setdefault(path, content) != content:
            path = path.with_name(f"{content[:12]}-{path.name}")
            self._taken[path] = content
        return path
