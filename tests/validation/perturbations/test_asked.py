from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.answers.boxes import Box, Boxes, InstanceBoxes
from mevlip.tasks import TaskType
from mevlip_validation.perturbations.asked import Asked, move_boxes
from mevlip_validation.perturbations.geometry import STILL, BoxMap, about_center
from mevlip_validation.perturbations.registry import Modality, find, perturbations

SIZE = (200, 150)
BOX = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), *[st.integers(0, 90)] * 2, *[st.integers(1, 60)] * 2)


@pytest.mark.parametrize(
    ("task", "modality", "is_round"),
    [
        (TaskType.DETECTION, Modality.ULTRASOUND, True),
        (TaskType.DETECTION, Modality.XRAY, False),
        (TaskType.INSTANCE_DETECTION, Modality.ULTRASOUND, False),
        (TaskType.CLASSIFICATION, Modality.ULTRASOUND, False),
    ],
)
def test_plain_boxes_in_ultrasound_are_around_something_round(
    task: TaskType, modality: Modality, is_round: bool
) -> None:
    assert Asked(task, modality).is_round is is_round


def test_without_a_modality_the_twelve_for_all_pictures_are_left() -> None:
    reached = [one for one in perturbations().values() if Asked(TaskType.CLASSIFICATION, None).is_reached_by(one)]
    assert len(reached) == 12


def test_what_moves_things_out_of_the_picture_is_not_for_counting() -> None:
    asked = Asked(TaskType.COUNTING, Modality.MICROSCOPY)
    assert not asked.is_reached_by(find("rotation")) and not asked.is_reached_by(find("translation"))
    assert asked.is_reached_by(find("scaling"))


def test_the_color_of_skin_is_evidence_where_jaundice_is_read_from_it() -> None:
    assert Asked(TaskType.REGRESSION, Modality.CLINICAL).is_apart(find("brightness"))
    assert not Asked(TaskType.REGRESSION, Modality.XRAY).is_apart(find("brightness"))
    assert not Asked(TaskType.REGRESSION, None).is_apart(find("brightness"))


@given(st.lists(BOX, min_size=1, max_size=5, unique=True))
def test_boxes_of_a_picture_that_did_not_move_stay(found: list[Box]) -> None:
    asked, still = Asked(TaskType.DETECTION, Modality.XRAY), BoxMap(STILL, SIZE)
    assert move_boxes(Boxes(tuple(found)), still, asked) == Boxes(tuple(found))
    instances = InstanceBoxes((("7", tuple(found)),))
    assert move_boxes(instances, still, asked) == instances


@given(st.lists(BOX, min_size=1, max_size=5), st.floats(0.3, 1), st.integers(-200, 200), st.integers(-200, 200))
def test_moved_boxes_lie_in_the_picture_and_have_an_area(found: list[Box], factor: float, x: int, y: int) -> None:
    to = about_center(SIZE, factor, 0, 0, factor)
    moved = move_boxes(
        Boxes(tuple(found)), BoxMap(to._replace(x0=to.x0 + x, y0=to.y0 + y), SIZE), Asked(TaskType.DETECTION, None)
    )
    for box in moved.boxes if isinstance(moved, Boxes) else ():
        assert 0 <= box.x_min < box.x_max <= SIZE[0] + 1 and 0 <= box.y_min < box.y_max <= SIZE[1] + 1


def test_instances_whose_boxes_have_all_left_are_gone() -> None:
    answer = InstanceBoxes((("1", (Box(0, 0, 9, 9),)), ("2", (Box(120, 20, 150, 60), Box(1, 1, 8, 8)))))
    moved = move_boxes(answer, BoxMap(STILL._replace(x0=-50), SIZE), Asked(TaskType.INSTANCE_DETECTION, None))
    assert moved == InstanceBoxes((("2", (Box(70, 20, 100, 60),)),))
    assert move_boxes(answer, BoxMap(STILL._replace(x0=500), SIZE), Asked(TaskType.INSTANCE_DETECTION, None)) is None
