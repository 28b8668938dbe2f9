from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mevlip_validation.box_matching import iou, match_by_overlap
from mevlip_validation.perturbations.geometry import STILL, Affine, BoxMap, Corners, about_center
from mevlip_validation.perturbations.perturbed import perturb

SIZE = (320, 240)
BOX: Corners = (120, 70, 200, 110)
MOVEMENTS = ("rotation", "scaling", "translation")


def seen(picture: Image.Image) -> Corners:
    """The box around what is bright."""
    rows, columns = np.nonzero(np.asarray(picture.convert("L")) >= 128)
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)


@pytest.mark.parametrize("name", MOVEMENTS)
@pytest.mark.parametrize("level", [1, 3, 5])
@pytest.mark.parametrize("ellipse", [False, True], ids=["rectangle", "ellipse"])
def test_boxes_move_with_the_pixels(name: str, level: int, ellipse: bool) -> None:
    clean = Image.new("RGB", SIZE)
    pen = ImageDraw.Draw(clean)
    (pen.ellipse if ellipse else pen.rectangle)((BOX[0], BOX[1], BOX[2] - 1, BOX[3] - 1), fill="white")
    done = perturb(clean, name, level, seed=3)
    moved = done.boxes.move(BOX, ellipse=ellipse)
    assert moved is not None
    assert iou(moved, seen(done.picture)) > 0.95
    assert match_by_overlap([("", moved)], [("", seen(done.picture))], 0.9) == 1
    if level == 5:
        assert match_by_overlap([("", BOX)], [("", seen(done.picture))], 0.9) == 0, "a box left where it was is wrong"


def test_the_hull_of_a_rotated_lesion_is_too_large() -> None:
    boxes = perturb(Image.new("RGB", SIZE), "rotation", 5).boxes
    tight, hull = boxes.move(BOX, ellipse=True), boxes.move(BOX)
    assert tight and hull and iou(tight, hull) < 0.75


def test_other_perturbations_leave_boxes_where_they_are() -> None:
    assert perturb(Image.new("RGB", SIZE, "gray"), "jpeg", 3, mode="table").boxes.move(BOX) == BOX
    assert perturb(Image.new("RGB", SIZE), "rotation", 0).boxes.move(BOX) == BOX


def test_rotations_stay_within_ten_degrees_where_boxes_are_asked_for() -> None:
    picture = Image.effect_noise(SIZE, 50).convert("RGB")
    for mode in ("ssim", "table"):
        parameters = [perturb(picture, "rotation", n, mode=mode, for_boxes=True).parameter for n in range(1, 6)]
        assert all(one is not None and one <= 10 for one in parameters)
    assert parameters == [2, 4, 6, 8, 10]


def test_what_comes_in_is_black_and_not_mirrored() -> None:
    moved = perturb(Image.new("RGB", SIZE, "white"), "rotation", 5).picture
    assert moved.getpixel((0, 0)) == (0, 0, 0) and moved.getpixel((160, 120)) == (255, 255, 255)


@pytest.mark.parametrize(("left", "stays"), [(0.24, False), (0.26, True)])
def test_a_box_is_clipped_and_dropped_below_a_quarter(left: float, stays: bool) -> None:
    moved = BoxMap(Affine(1, 0, 100 - 100 * left, 0, 1, 0), (100, 100)).move((0, 10, 100, 20))
    assert moved == ((100 - 100 * left, 10, 100, 20) if stays else None)
    assert BoxMap(Affine(1, 0, 500, 0, 1, 0), (100, 100)).move((0, 10, 100, 20)) is None


numbers = st.floats(-3, 3).filter(lambda one: abs(one) > 0.05)
maps = st.builds(Affine, numbers, numbers, st.floats(-50, 50), numbers, numbers, st.floats(-50, 50))


@given(maps, st.floats(0, 100), st.floats(0, 100), st.booleans())
def test_every_moved_box_lies_inside_the_picture(to: Affine, x: float, y: float, ellipse: bool) -> None:
    moved = BoxMap(to, (100, 80)).move((x, y, x + 30, y + 20), ellipse=ellipse)
    if moved is not None:
        assert 0 <= moved[0] < moved[2] <= 100 and 0 <= moved[1] < moved[3] <= 80


@given(st.floats(-0.4, 0.4), st.floats(0.5, 4), st.booleans())
def test_boxes_of_the_original_move_as_those_of_its_fitted_copy(angle: float, factor: float, ellipse: bool) -> None:
    to = about_center((100, 80), np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle))
    fitted = BoxMap(to, (100, 80))
    small = fitted.move((20, 20, 60, 50), ellipse=ellipse)
    large = fitted.at((round(100 * factor), round(80 * factor)))
    x, y = large.size[0] / 100, large.size[1] / 80
    moved = large.move((20 * x, 20 * y, 60 * x, 50 * y), ellipse=ellipse)
    assert small and moved and moved == pytest.approx((small[0] * x, small[1] * y, small[2] * x, small[3] * y))


@given(maps.filter(lambda to: abs(to.xx * to.yy - to.xy * to.yx) > 0.05))
def test_a_map_and_its_inverse_lead_back(to: Affine) -> None:
    back = to.inverted()
    x, y = to.xx * 3 + to.xy * 5 + to.x0, to.yx * 3 + to.yy * 5 + to.y0
    assert (back.xx * x + back.xy * y + back.x0, back.yx * x + back.yy * y + back.y0) == pytest.approx((3, 5), abs=1e-4)
    assert STILL.inverted() == STILL
