"""Images that a caller hands over with a question, instead of a folder that holds them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mevlip.flare.images import ImageError, QuestionImages, load_image, spaced_indices, to_rgb
from mevlip.flare.questions import GivenImage, Question

if TYPE_CHECKING:
    from PIL import Image


def load_given_images(question: Question, max_count: int) -> QuestionImages:
    """Loads the images that a question carries, at most `max_count` of them, evenly spaced."""
    images: list[Image.Image] = []
    problems = [] if question.given else ["the question has no image"]
    for index in spaced_indices(len(question.given), max_count):
        try:
            images.append(load_given(question.given[index]))
        except ImageError as error:
            problems.append(f"{question.image_names[index]}: {error}")
    return QuestionImages(tuple(images), tuple(problems), len(question.given))


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
