"""Writing FLARE trees: images where their records name them, and one place for each data set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mevlip.core.errors import InputError
from mevlip.core.files import link_or_copy
from mevlip.flare.images import image_path
from mevlip.flare.store import ImageStore
from mevlip_training.data.records import Example


def refuse_namesakes(rows: Iterable[Example]) -> None:
    """Refuses data sets of one name in two places, which would become one.

    Raises:
        InputError: There are such.
    """
    folders: dict[PurePosixPath, Path] = {}
    for row in rows:
        if folders.setdefault(row.place, row.question.folder) != row.question.folder:
            raise InputError(
                f"{folders[row.place]} and {row.question.folder} would both become {row.place}",
                "Rename one, or name a folder that holds only one of them.",
            )


def place_images(root: Path, rows: Iterable[Example], store: ImageStore) -> None:
    """Links or copies the rows' images to where their records name them."""
    for row in rows:
        for name in row.question.image_names:
            target = root / row.place / image_path(name)
            if not target.exists():
                with store.file(row.question, name) as file:
                    link_or_copy(file, target)


def write_question_files(files: Mapping[Path, Sequence[Mapping[str, Any]]]) -> None:
    """Writes lists of records as the challenge does, their folders made where they are absent."""
    for path, records in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(records, indent=1) + "\n", "utf-8")
