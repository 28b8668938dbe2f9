"""The gallery's data: every question with its answer, and as many small pictures as a file can well hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mevlip.core.progress import Progress
from mevlip.flare.images import ImageError, find_image, load_image
from mevlip.tasks import TASKS
from mevlip_validation.scoring.analysis import Judged, Verdict
from mevlip_validation.scoring.rows import Row
from mevlip_validation.scoring.rules.macro import boxes_of

LONGEST_SIDE = 320
"""Pixels of a picture; boxes are drawn over it at the original's coordinates."""
MOST_BYTES = 24_000_000
"""Pictures beyond this are left out, those of the questions that came out best first."""
PER_QUESTION = 3
_QUALITY = 75


@dataclass(frozen=True)
class Picture:
    """A small picture of an image.

    Attributes:
        data: The picture as a data URI.
        width: Width of the original in pixels.
        height: Its height.
    """

    data: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """How many images have a picture.

    Attributes:
        shown: Images with one.
        images: All images of the questions.
        unreadable: Images that could not be read.
    """

    shown: int
    images: int
    unreadable: int


def gallery(judged: Sequence[Judged], root: Path, most_bytes: int = MOST_BYTES) -> tuple[Pictures, dict[str, Any]]:
    """Collects what the page shows of each question.

    Args:
        judged: The questions with their results.
        root: The folder that no image path leaves.
        most_bytes: Bound on the pictures, base64.

    Returns:
        How many pictures there are, and the page's data.
    """
    root = root.resolve()
    order = sorted(judged, key=lambda one: (one.verdict is Verdict.RIGHT, one.points))  # steady: ties keep their order
    numbers: dict[Path, int] = {}
    pictures: list[Picture] = []
    wanted = {path for one in judged for path in _paths(one.row, root)}
    spent = failed = 0
    with Progress("drawing", len(wanted), "images", quiet=len(wanted) < 500) as progress:
        for path in dict.fromkeys(path for one in order for path in _paths(one.row, root)):
            if spent >= most_bytes:
                break
            picture = _picture(path)
            progress.advance()
            if picture is None:
                failed += 1
                continue
            numbers[path] = len(pictures)
            pictures.append(picture)
            spent += len(picture.data)
    questions = [_question(one, [numbers[path] for path in _paths(one.row, root) if path in numbers]) for one in judged]
    content = {
        "pictures": [[one.data, one.width, one.height] for one in pictures],
        "questions": questions,
    }
    return Pictures(len(pictures), len(wanted), failed), content


def _question(one: Judged, pictures: list[int]) -> dict[str, Any]:
    row, how = one.row, one.row.explanation
    confidence = how.get("router_confidence")
    return {
        "place": row.place,
        "task": TASKS[row.task].title,
        "dataset": row.dataset,
        "modality": row.modality,
        "question": row.question,
        "truth": row.truth,
        "said": row.said,
        "verdict": one.verdict.value,
        "points": round(one.points, 3),
        "error": None if one.error is None else round(one.error, 3),
        "stage": one.stage,
        "adapter": how.get("adapter"),
        "router": None if confidence is None else round(confidence, 3),
        "probability": None if one.probability is None else round(one.probability, 3),
        "pictures": pictures,
        "true_boxes": [[name, *box] for name, box in boxes_of(row.meant_truth)],
        "said_boxes": [[name, *box] for name, box in boxes_of(row.meant)],
    }


def _paths(row: Row, root: Path) -> list[Path]:
    """The files of a row's first images; what leaves the folder or is not there has none."""
    found = []
    for name in row.images[:PER_QUESTION]:
        try:
            found.append(find_image(root, row.folder.resolve(), name))
        except ImageError:
            continue
    return found


def _picture(path: Path) -> Picture | None:
    try:
        image = load_image(path)
    except ImageError:
        return None
    width, height = image.size
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=_QUALITY, optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    return Picture(f"data:image/jpeg;base64,{data}", width, height)
