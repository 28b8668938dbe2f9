"""What may be wrong with an input folder before a run: warnings with causes. Nothing is ever left out for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mevlip.answers import QuestionSpec
from mevlip.checkpoints.checkpoint import file_sha256
from mevlip.core.progress import Progress
from mevlip.flare.images import ImageError, find_image, load_image
from mevlip.flare.questions import InputFolder, Question, read_input_folder
from mevlip.tasks import TaskType

if TYPE_CHECKING:
    from PIL import Image

SMALLEST_SIDE = 32
"""Pixels: the vision tower cuts 14-pixel patches, so a smaller side is blown up from two of them or fewer."""
WIDEST = 5.0
"""Longer side to shorter: beyond it tiles or resizing distort what is seen."""
FAINTEST = 2.0
"""Standard deviation in gray levels of 255 below which there is nothing to see."""
_COLORED, _COLORED_SHARE = 24, 0.02  # levels between channels that no compression makes, in how many of the pixels
_GRAY_MODALITIES = ("xray", "mammography", "ultrasound")
_CLOSED = (TaskType.CLASSIFICATION, TaskType.MULTI_LABEL)


class Kind(StrEnum):
    """What was noticed."""

    UNREADABLE = "unreadable image"
    CONSTANT = "image of one color"
    BLANK = "blank image"
    TINY = "tiny image"
    EXTREME = "extreme aspect ratio"
    COLOR = "color where gray is expected"
    SAME_IMAGE = "same image under two names"
    NO_IMAGE = "no image named"
    NO_TEXT = "no question text"
    NO_OPTIONS = "no options to choose from"
    REPEATED = "repeated question"


@dataclass(frozen=True)
class Notice:
    """One thing noticed about one record.

    Attributes:
        kind: What.
        where: File and record number.
        image: The image's name; empty where it is about the record.
        cause: The cause in words.
    """

    kind: Kind
    where: str
    image: str
    cause: str


def check_inputs(root: Path, quiet: bool = False) -> tuple[InputFolder, list[Notice]]:
    """Looks at every question and every image of an input folder.

    Args:
        root: The input folder.
        quiet: Whether to show no progress.

    Returns:
        The folder, and what was noticed in its order; an image that several records name is told of once.

    Raises:
        InputError: There is no question.
    """
    folder = read_input_folder(root)
    seen: set[Path] = set()
    digests: dict[str, tuple[Path, str]] = {}
    asked: dict[tuple[tuple[str, ...], str, Path], str] = {}
    found: list[Notice] = []
    with Progress("looking", len(folder.questions), "questions", quiet) as progress:
        for question in folder.questions:
            found += _record(question, asked)
            for name in question.image_names:
                found += [
                    Notice(kind, question.where, name, cause)
                    for kind, cause in _image(folder.root, question, name, seen, digests)
                ]
            progress.advance()
    return folder, found


def _record(question: Question, asked: dict[tuple[tuple[str, ...], str, Path], str]) -> Iterator[Notice]:
    spec = QuestionSpec(question.text)
    if not question.text:
        yield Notice(
            Kind.NO_TEXT, question.where, "", "the Question field is empty or absent; the answer will be a fallback"
        )
    elif question.declared in _CLOSED and not spec.labels:
        yield Notice(Kind.NO_OPTIONS, question.where, "", "its text lists no options, so any words may be answered")
    if not question.image_names:
        yield Notice(Kind.NO_IMAGE, question.where, "", "the ImageName field is empty; the text alone will be answered")
    key = question.image_names, question.text, question.folder
    if key in asked:
        yield Notice(Kind.REPEATED, question.where, "", f"asks what {asked[key]} asks")
    asked.setdefault(key, question.where)


def _image(
    root: Path, question: Question, name: str, seen: set[Path], digests: dict[str, tuple[Path, str]]
) -> Iterator[tuple[Kind, str]]:
    try:
        path = find_image(root, question.folder, name)
        if path in seen:
            return
        seen.add(path)
        image = load_image(path)
    except ImageError as error:
        yield Kind.UNREADABLE, str(error)
        return
    yield from _pixels(image, str(question.record.get("Modality", "")), question.folder)
    first, where = digests.setdefault(file_sha256(path), (path, question.where))
    if first != path:
        yield Kind.SAME_IMAGE, f"byte for byte {first.name} of {where}"


def _pixels(image: Image.Image, modality: str, folder: Path) -> Iterator[tuple[Kind, str]]:
    width, height = image.size
    if min(width, height) < SMALLEST_SIDE:
        yield Kind.TINY, f"{width} x {height} pixels; less than {SMALLEST_SIDE} on one side"
    if max(width, height) > WIDEST * min(width, height):
        yield Kind.EXTREME, f"{width} x {height} pixels; more than {WIDEST:g} to 1"
    values = np.asarray(image, dtype=np.int16)
    if (values == values[0, 0]).all():
        yield Kind.CONSTANT, f"every pixel is {tuple(map(int, values[0, 0]))}"
    elif (spread := float(values.mean(axis=2).std())) < FAINTEST:
        yield Kind.BLANK, f"gray levels vary by {spread:.2f} of 255"
    if _expects_gray(modality, folder):
        colored = float((np.ptp(values, axis=2) > _COLORED).mean())
        if colored > _COLORED_SHARE:
            yield Kind.COLOR, f"{100 * colored:.0f} % of the pixels of an image of {modality or folder.parent.name}"


def _expects_gray(modality: str, folder: Path) -> bool:
    names = ("".join(filter(str.isalpha, name.lower())) for name in (modality, folder.parent.name))
    return any(name.startswith(_GRAY_MODALITIES) for name in names)


def summary(warnings: Sequence[Notice]) -> list[tuple[str, int, str, str]]:
    """Rows of kind, number, first place and its cause, in the order of the kinds."""
    by_kind: dict[Kind, list[Notice]] = defaultdict(list)
    for one in warnings:
        by_kind[one.kind].append(one)
    return [
        (kind.value, len(mine), " ".join(filter(None, (mine[0].where, mine[0].image))), mine[0].cause)
        for kind in Kind
        if (mine := by_kind[kind])
    ]
