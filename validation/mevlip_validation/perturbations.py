"""Changes to a question's images that show what a score owes to them: blank images, or none at all."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from mevlip.flare.images import QuestionImages
from mevlip.flare.questions import Question
from mevlip.inference.engine import ImageLoader

Perturbation = Callable[[QuestionImages], QuestionImages]
"""Turns the images of one question into those that the model is shown."""

_GRAY = (128, 128, 128)


def blank(loaded: QuestionImages) -> QuestionImages:
    """Evenly gray images of the same sizes."""
    from PIL import Image

    images = tuple(Image.new("RGB", image.size, _GRAY) for image in loaded.images)
    return QuestionImages(images, loaded.problems, loaded.named)


def without_images(loaded: QuestionImages) -> QuestionImages:
    """No image, as if the record named none: the text alone is asked."""
    return QuestionImages((), (), named=0)


PERTURBATIONS: MappingProxyType[str, Perturbation] = MappingProxyType(
    {"blank images": blank, "question only": without_images}
)
"""Each perturbation by its name in tables."""


def perturbed(load: ImageLoader, perturbation: Perturbation) -> ImageLoader:
    """A loader whose images are perturbed."""

    def load_perturbed(question: Question, max_count: int) -> QuestionImages:
        return perturbation(load(question, max_count))

    return load_perturbed
