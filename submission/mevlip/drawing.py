"""Drawing an answer's boxes on its image."""

from __future__ import annotations

from pathlib import Path

from mevlip.answers import QuestionSpec
from mevlip.answers.boxes import Box, Boxes, InstanceBoxes
from mevlip.core.errors import EnvironmentProblem
from mevlip.flare.images import load_image
from mevlip.inference.engine import Answer
from mevlip.tasks import TASKS

_COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")


def draw_boxes(answer: Answer, question: str, image: Path, target: Path) -> int:
    """Writes an image with the boxes of an answer on it, each identity in a color of its own.

    Args:
        answer: The answer; one of another kind than boxes leaves the image as it is.
        question: The question that it answers.
        image: The question's first image, whose pixels the boxes are in.
        target: The file to write; its suffix decides the format.

    Returns:
        The number of boxes.

    Raises:
        ImageError: The image cannot be decoded.
        EnvironmentProblem: The file cannot be written.
    """
    from PIL import ImageDraw

    picture = load_image(image)
    boxes = _boxes(answer, QuestionSpec(question, picture.size))
    pen = ImageDraw.Draw(picture)
    width = max(2, round(max(picture.size) / 300))
    names = list(dict.fromkeys(name for name, _ in boxes))
    for name, box in boxes:
        color = _COLORS[names.index(name) % len(_COLORS)]
        pen.rectangle(tuple(box), outline=color, width=width)
        if name:
            pen.text((box.x_min + width + 1, box.y_min + width), name, fill=color, font_size=max(10, 4 * width))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.save(target)
    except (OSError, ValueError) as error:  # Pillow's ValueError: a suffix that names no format
        raise EnvironmentProblem(f"{target} cannot be written ({error})", "Name a .png or .jpg file.") from error
    return len(boxes)


def _boxes(answer: Answer, spec: QuestionSpec) -> list[tuple[str, Box]]:
    typed = TASKS[answer.task].answer.parse(answer.text, spec)
    if isinstance(typed, Boxes):
        return [("", box) for box in typed.boxes]
    if isinstance(typed, InstanceBoxes):
        return [(name, box) for name, boxes in typed.instances for box in boxes]
    return []
