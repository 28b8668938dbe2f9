"""Perturbing pictures as they are shown, and moving the boxes of their questions with them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from mevlip.answers.boxes import Boxes, InstanceBoxes
from mevlip.checkpoints.routes import ImageSettings
from mevlip.core.errors import describe
from mevlip.flare.images import QuestionImages
from mevlip.flare.questions import Question
from mevlip.flare.store import ImageStore
from mevlip_validation.perturbations.asked import move_boxes
from mevlip_validation.perturbations.geometry import STILL, BoxMap
from mevlip_validation.perturbations.perturbed import perturb
from mevlip_validation.perturbations.registry import Mode, Perturbation
from mevlip_validation.perturbations.severity import Calibrations
from mevlip_validation.robustness.cells import Severity
from mevlip_validation.robustness.sampling import Item


@dataclass(frozen=True)
class Made:
    """What was done to the first picture of a question, which its boxes are in.

    Attributes:
        severity: How strongly it was perturbed.
        boxes: Where it has the clean picture's boxes, in the original's pixels.
    """

    severity: Severity
    boxes: BoxMap


class PerturbedPictures:
    """Loads the pictures of questions and perturbs them as the model would get them, at the size of its route.

    Args:
        store: Where the pictures are.
        perturbation: The perturbation; None to show them as they are.
        level: Its level.
        seed: Its seed.
        mode: How severity is set; None for the perturbation's own way.
        calibrations: Parameters that were searched for.
        box_pictures: The pictures, as `Question.pictures` names them, that are asked about boxes.
    """

    def __init__(
        self,
        store: ImageStore,
        perturbation: Perturbation | None,
        level: int,
        seed: int,
        mode: Mode | None,
        calibrations: Calibrations,
        box_pictures: Collection[tuple[object, ...]],
    ) -> None:
        self._store = store
        self._perturbation = perturbation
        self._level = level
        self._seed = seed
        self._mode = mode
        self._calibrations = calibrations
        self._box_pictures = box_pictures
        self._made: dict[tuple[tuple[object, ...], ImageSettings], Made] = {}

    def __call__(self, question: Question, settings: ImageSettings) -> QuestionImages:
        """The pictures of a question; none where one cannot be perturbed."""
        loaded = self._store.load(question, settings)
        if self._perturbation is None or not loaded.images:
            return loaded
        try:
            done = [
                perturb(
                    image,
                    self._perturbation,
                    self._level,
                    self._seed,
                    mode=self._mode,
                    for_boxes=question.pictures in self._box_pictures,
                    calibrations=self._calibrations,
                )
                for image in loaded.images
            ]
        except Exception as error:  # noqa: BLE001 - whatever one picture does, the other questions are answered
            problem = f"a picture cannot be perturbed ({describe(error)})"
            return QuestionImages((), (*loaded.problems, problem), loaded.named, ())
        first = done[0]
        severity = Severity(first.parameter, first.ssim, first.reached)
        self._made[question.pictures, settings] = Made(severity, first.boxes.at(loaded.sizes[0]))
        return replace(loaded, images=tuple(one.picture for one in done))

    def of(self, question: Question, settings: ImageSettings) -> Made | None:
        """What was done for a question; None for clean pictures and where there are none."""
        return self._made.get((question.pictures, settings))


def move_truth(item: Item, boxes: BoxMap) -> Any:
    """A question's true Answer with its boxes where the perturbed picture has them.

    Returns:
        The Answer; None where too little is left of every box. A truth without boxes, or that cannot be read, stays.
    """
    if boxes.to == STILL:
        return item.row.truth
    match item.row.parsed_target:
        case (Boxes(boxes=found) | InstanceBoxes(instances=found)) as answer if found:
            moved = move_boxes(answer, boxes, item.asked)
            return moved.format() if moved else None
    return item.row.truth
