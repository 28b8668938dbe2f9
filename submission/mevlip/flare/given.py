"""Images that a caller hands over with a question, instead of a folder that holds them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mevlip.core.text import visible
from mevlip.flare.images import QuestionImages, load_image, load_in_turn, to_rgb
from mevlip.flare.questions import GivenImage, Question

if TYPE_CHECKING:
    from PIL import Image

    from mevlip.checkpoints.routes import ImageSettings


def load_given_images(question: Question, settings: ImageSettings) -> QuestionImages:
    """Loads the images that a question carries, as many as its route shows, evenly spaced."""
    if not question.given:
        return QuestionImages((), ("the question has no image",), 0, ())
    names = question.image_names
    return load_in_turn(
        len(question.given),
        lambda index: load_given(question.given[index]),
        lambda index: visible(names[index], 200),
        settings,
    )


def load_given(image: GivenImage) -> Image.Image:
    """Turns a path, a file's bytes or a Pillow image into upright 8-bit RGB.

    Raises:
        ImageError: It cannot be decoded.
    """
    if isinstance(image, str | Path):
        return load_image(Path(image))
    if isinstance(image, bytes):
        return load_image(image)
    return to_rgb(image)
