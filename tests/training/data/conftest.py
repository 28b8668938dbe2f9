"""A small FLARE tree that tests fill as they need it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import record

OTHERS = (".npy", ".nii", ".dcm", ".mp4")
"""Files that a test has to write itself."""
COLORS = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (40, 200, 200), (200, 40, 200))


def paint(path: Path, color: Any = 0, size: tuple[int, int] = (40, 30)) -> Path:
    """Writes a picture of one color; the same color gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    value = COLORS[color % len(COLORS)] if isinstance(color, int) else color
    Image.new("RGB", size, value).save(path)
    return path


def weave(path: Path, number: int) -> None:
    """Writes a gray picture that no check finds fault with; the same number gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    gray = np.random.default_rng(number).integers(0, 256, (32, 40), dtype=np.uint8)
    Image.fromarray(gray).convert("RGB").save(path)


def copy_smaller(path: Path, target: Path) -> None:
    """Writes a picture at half the size and as a JPEG file, another file of the same picture."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(path) as image:
        image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS).save(target, "JPEG", quality=85)


def scene(path: Path, number: int) -> None:
    """Writes a smooth picture, as photographs are; other numbers look different."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(number).integers(0, 256, (20, 20), dtype=np.uint8)
    Image.fromarray(coarse).resize((200, 200), Image.Resampling.BICUBIC).convert("RGB").save(path)


@pytest.fixture
def flare(tmp_path: Path) -> Callable[..., Path]:
    """Writes `<split>/<place>/<dataset>_questions_<suffix>.json`, and a picture for each that is named.

    A picture's texture is drawn from the digits of its stem, so that equal numbers are equal files.
    """

    def write(
        *records: dict[str, Any], split: str = "training", place: str = "Xray/dental", suffix: str = "train"
    ) -> Path:
        folder = tmp_path / "flare" / split / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{folder.name}_questions_{suffix}.json").write_text(json.dumps(records), "utf-8")
        for entry in records:
            names = entry["ImageName"] if isinstance(entry["ImageName"], list) else [entry["ImageName"]]
            for name in filter(None, names):
                digits = "".join(filter(str.isdigit, Path(name).stem))
                if Path(name).suffix not in OTHERS:
                    weave(folder / name, int(digits or 0))
        return tmp_path / "flare"

    return write


def row(answer: Any = "A", image: Any = "imagesTr/1.png", **fields: Any) -> dict[str, Any]:
    """A training record."""
    return record(**{"image": image, "TaskType": "Classification", "Split": "train", "Answer": answer, **fields})


def boxes(answer: Any, image: Any = "imagesTr/1.png", **fields: Any) -> dict[str, Any]:
    """A detection record."""
    return row(
        answer, image, **{"question": "Box [x_min, y_min, x_max, y_max] of it?", "TaskType": "detection", **fields}
    )


def measure(answer: Any, image: Any = "imagesTr/1.png", **fields: Any) -> dict[str, Any]:
    """A regression record."""
    return row(answer, image, **{"question": "How wide is the angle?", "TaskType": "regression", **fields})
