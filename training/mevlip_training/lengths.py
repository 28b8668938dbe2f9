"""Lengths of training rows in tokens, those of images included, as LLaMA-Factory will count them.

LLaMA-Factory cuts a row that is longer than `cutoff_len`: the end of a long answer is lost without a word, and a row
that is cut within its images stops the training at the step that reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mevlip.checkpoints.routes import ImageSettings, PromptSettings, Route
from mevlip.flare.pixels import fit_pixel_budget
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.families import base_type, families
from mevlip.inference.prompts import Prompt
from mevlip_training.written import read_rows

HEADER = ("adapter", "rows", "longest row", "cutoff_len", "beyond")
_NAMED = 3
_AFTER_ANSWER = 2
"""The end token, and the line break after it that the chat formats of all families have."""


@dataclass(frozen=True)
class Measurable:
    """A row to be measured.

    Attributes:
        id: Its id.
        prompt: What it asks.
        target: What is to be said.
        sizes: Gives width and height in pixels of each image, where they are needed.
    """

    id: str
    prompt: Prompt
    target: str
    sizes: Callable[[], Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class Lengths:
    """What was measured.

    Attributes:
        rows: Number of rows.
        longest: Tokens of the longest row.
        beyond: Id and tokens of each row that is longer than the cut-off, the longest first.
    """

    rows: int
    longest: int
    beyond: tuple[tuple[str, int], ...]

    def describe(self) -> str:
        """The first rows beyond the cut-off."""
        named = ", ".join(f"{row} ({tokens} tokens)" for row, tokens in self.beyond[:_NAMED])
        return named + (f" and {len(self.beyond) - _NAMED} more" if len(self.beyond) > _NAMED else "")


class RowMeter:
    """Counts tokens with a base's own tokenizer, chat template and image processor; `find_meter` makes one.

    Attributes:
        image_gap: What the rows have after each image.
    """

    def __init__(self, encoder: PromptEncoder) -> None:
        self._encoder = encoder
        self._size = cache(self._seen)
        self._largest = cache(lambda images: encoder.family.largest(encoder.processor, images))
        self.image_gap = encoder.family.image_gap

    def most(self, row: Measurable, images: ImageSettings) -> int:
        """Tokens of a row whose images are as large as they may be."""
        return self._count(
            row, [self._encoder.family.largest(self._encoder.processor, images)] * row.prompt.image_count
        )

    def exact(self, row: Measurable, images: ImageSettings) -> int:
        """Tokens of a row."""
        return self._count(row, [self._size(size, images) for size in row.sizes()])

    def prompt(self, prompt: Prompt, images: ImageSettings) -> int:
        """Tokens of a prompt whose images are as large as they may be."""
        return self._encoder.count_tokens(prompt, [self._largest(images)] * prompt.image_count)

    def _count(self, row: Measurable, sizes: Sequence[Any]) -> int:
        answer = len(self._encoder.tokenizer(row.target, add_special_tokens=False)["input_ids"])
        return self._encoder.count_tokens(row.prompt, sizes) + answer + _AFTER_ANSWER

    def _seen(self, size: tuple[int, int], images: ImageSettings) -> Any:
        """Which size the model sees of an image: that of a blank one."""
        from PIL import Image

        blank = fit_pixel_budget(Image.new("L", size), images.min_pixels, images.max_pixels).convert("RGB")
        return self._encoder.picture(blank, images).size


def find_meter(base: Path | None) -> RowMeter | None:
    """A meter of a base's folder; None where that is not one with tokenizer and image processor of a known family."""
    kind = base_type(base)
    if base is None or kind not in families():
        return None
    try:
        return RowMeter(PromptEncoder(kind, base))
    except (OSError, ValueError, KeyError, AttributeError):  # a file of the tokenizer or the image processor is missing
        return None


def measure(rows: Iterable[Measurable], meter: RowMeter, images: ImageSettings, cutoff: int) -> Lengths:
    """Measures rows.

    The pixels that an image has are looked up only where they can matter: for rows that might be beyond the cut-off,
    and for those that might be the longest.

    Args:
        rows: The rows.
        meter: Of their base.
        images: The route's image settings.
        cutoff: `cutoff_len`.
    """
    bounds = sorted(((meter.most(row, images), row) for row in rows), key=lambda one: one[0], reverse=True)
    longest, beyond = 0, []
    for bound, row in bounds:
        if bound <= min(longest, cutoff):
            break
        tokens = meter.exact(row, images)
        longest = max(longest, tokens)
        if tokens > cutoff:
            beyond.append((row.id, tokens))
    return Lengths(len(bounds), longest, tuple(sorted(beyond, key=lambda one: -one[1])))


def written_rows(file: Path, prompt: PromptSettings, image_gap: str) -> Iterator[Measurable]:
    """The rows of a prepared data set, its images beside it.

    Raises:
        InputError: A line is none that `mevlip data prepare` writes.
    """
    for row in read_rows(file, prompt, image_gap):
        yield Measurable(row.id, row.prompt, row.target, _sizes_of(row.images))


def _sizes_of(paths: Sequence[Path]) -> Callable[[], list[tuple[int, int]]]:
    def read() -> list[tuple[int, int]]:
        from PIL import Image

        sizes = []
        for path in paths:
            with Image.open(path) as image:
                sizes.append(image.size)
        return sizes

    return read


def measure_file(file: Path, route: Route, meter: RowMeter, cutoff: int) -> Lengths:
    """Measures a prepared data set."""
    return measure(written_rows(file, route.prompt, meter.image_gap), meter, route.images, cutoff)
