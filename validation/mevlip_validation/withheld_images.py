"""Changes to a question's images that show what a score owes to them: blank images, or none at all."""

from __future__ import annotations

from dataclasses import replace

from mevlip.flare.images import Perturbation, QuestionImages

_GRAY = (128, 128, 128)


def _blank(loaded: QuestionImages) -> QuestionImages:
    """Evenly gray images of the same sizes."""
    from PIL import Image

    images = tuple(Image.new("RGB", image.size, _GRAY) for image in loaded.images)
    return replace(loaded, images=images)


def _without_images(_: QuestionImages) -> QuestionImages:
    """No image, as if the record named none: the text alone is asked."""
    return QuestionImages((), (), 0, ())


BLANK_IMAGES = Perturbation("blank images", _blank)
QUESTION_ONLY = Perturbation("question only", _without_images)
