"""Images that a caller hands over with a question, instead of a folder that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mevlip.core.text import visible
from mevlip.flare.frames.base import Frames
from mevlip.flare.frames.pages import Picture
from mevlip.flare.frames.reading import open_frames
from mevlip.flare.images import QuestionImages, load_in_turn
from mevlip.flare.pixels import to_rgb
from mevlip.flare.questions import GivenImage, Question

if TYPE_CHECKING:
    from mevlip.checkpoints.routes import ImageSettings, Intensity


def load_given_images(question: Question, settings: ImageSettings) -> QuestionImages:
    """Loads the images that a question carries, as many as its route shows, evenly spaced."""
    if not question.given:
        return QuestionImages((), ("the question has no image",), 0, ())
    names = question.image_names
    return load_in_turn(
        len(question.given),
        lambda index: open_given(question.given[index], settings.intensity),
        lambda index: visible(names[index], 200),
        settings,
    )


@contextmanager
def open_given(image: GivenImage, intensity: Intensity) -> Iterator[Frames]:
    """Opens a path, a file's bytes or a Pillow image, of which the page that is open is shown.

    Raises:
        ImageError: It cannot be decoded.
    """
    if isinstance(image, str | Path | bytes):
        with open_frames(Path(image) if isinstance(image, str) else image, intensity) as frames:
            yield frames
    else:
        yield Picture(to_rgb(image))
