"""What a perturbed picture means for the answer to a question: whether it stays true, and where its boxes go."""

from __future__ import annotations

from dataclasses import dataclass

from mevlip.answers.boxes import Box, Boxes, InstanceBoxes
from mevlip.answers.numbers import Count
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.perturbations.geometry import BoxMap
from mevlip_validation.perturbations.registry import Modality, Perturbation


@dataclass(frozen=True)
class Asked:
    """What is asked about what kind of picture.

    Attributes:
        task: The question's task.
        modality: The picture's; None where nothing says it.
    """

    task: TaskType
    modality: Modality | None

    @property
    def for_boxes(self) -> bool:
        """Whether the answer moves with the picture."""
        return issubclass(TASKS[self.task].answer, Boxes | InstanceBoxes)

    @property
    def is_round(self) -> bool:
        """Whether boxes are around something round.

        Boxes of one kind of thing in ultrasound are: the challenge asks for lesions of the breast and for a fetal head
        and symphysis. Others, such as chromosomes and teeth, may reach into the corners.
        """
        return self.modality is Modality.ULTRASOUND and issubclass(TASKS[self.task].answer, Boxes)

    def is_reached_by(self, one: Perturbation) -> bool:
        """Whether a perturbation is for such pictures and leaves the answer what it is, boxes' places aside."""
        if issubclass(TASKS[self.task].answer, Count) and not one.keeps_counts:
            return False
        return one.is_base if self.modality is None else self.modality in one.modalities

    def is_apart(self, one: Perturbation) -> str:
        """Why results of a perturbation are reported apart; empty where they are not."""
        return one.apart.get(self.modality, "") if self.modality else ""


def move_boxes(answer: Boxes | InstanceBoxes, boxes: BoxMap, asked: Asked) -> Boxes | InstanceBoxes | None:
    """An answer's boxes where the perturbed picture has them, in whole pixels, at least one wide and high.

    Returns:
        The answer without the boxes that have left the picture; None where none is left.
    """
    if isinstance(answer, Boxes):
        moved = _moved(answer.boxes, boxes, asked.is_round)
        return Boxes(moved) if moved else None
    each = ((name, _moved(some, boxes, asked.is_round)) for name, some in answer.instances)
    left = tuple((name, some) for name, some in each if some)
    return InstanceBoxes(left) if left else None


def _moved(plain: tuple[Box, ...], boxes: BoxMap, ellipse: bool) -> tuple[Box, ...]:
    found = []
    for box in plain:
        corners = boxes.move(box, ellipse=ellipse)
        if corners is not None:
            left, top, right, bottom = map(round, corners)
            found.append(Box(left, top, max(right, left + 1), max(bottom, top + 1)))
    return tuple(dict.fromkeys(found))
