from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mevlip.core.errors import InputError
from mevlip_validation.perturbations.geometry import STILL, about_center, warp, warp_labels
from mevlip_validation.perturbations.masks import (
    IMAGES,
    MASKS,
    MaskError,
    pair_up,
    perturb_folder,
    place_of,
    read_labels,
    write_labels,
)
from mevlip_validation.perturbations.perturbed import perturb
from mevlip_validation.perturbations.registry import find
from tests.validation.perturbations.pictures import synthetic

SIZE = (96, 80)


def draw(path: Path, value: int = 255, mode: str = "L", size: tuple[int, int] = SIZE) -> Image.Image:
    """A round lesion on black."""
    picture = Image.new(mode, size)
    ImageDraw.Draw(picture).ellipse((30, 20, 64, 48), fill=value if mode != "RGB" else (value,) * 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return picture


def folders(root: Path, *stems: str) -> tuple[Path, Path]:
    for stem in stems:
        draw(root / "i" / f"{stem}.png", mode="RGB")
        draw(root / "m" / f"{stem}.png", 1)
    return root / "i", root / "m"


@pytest.mark.parametrize("name", ["rotation", "scaling", "translation"])
@pytest.mark.parametrize("level", [1, 3, 5])
def test_a_moved_mask_covers_what_is_bright_in_the_moved_picture(tmp_path: Path, name: str, level: int) -> None:
    images, masks = folders(tmp_path, "a")
    perturb_folder(pair_up(images, masks)[0], tmp_path / "out", [find(name)], seed=5, quiet=True)
    moved = read_labels(place_of(tmp_path / "out", name, level, MASKS) / "a.png") == 1
    with Image.open(place_of(tmp_path / "out", name, level, IMAGES) / "a.png") as picture:
        bright = np.asarray(picture.convert("L")) >= 128
    # Where they differ, both have an edge within a pixel.
    grown = np.zeros_like(bright)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            grown |= np.roll(bright, (down, right), (0, 1)) != bright
    assert ((moved == bright) | grown).all() and (moved & bright).sum() > 0.97 * bright.sum() > 0
    still = read_labels(place_of(tmp_path / "out", "clean", 0, MASKS) / "a.png") == 1
    assert (moved != still).sum() > 10


def test_masks_stay_where_only_values_change_and_the_pictures_are_those_of_perturb(tmp_path: Path) -> None:
    images, masks = folders(tmp_path, "a")
    noise = synthetic(*SIZE)
    noise.save(images / "a.png")
    perturb_folder(pair_up(images, masks)[0], tmp_path / "out", [find("jpeg")], seed=5, mode="table", quiet=True)
    for name, level in (("clean", 0), ("jpeg", 1), ("jpeg", 5)):
        mask = place_of(tmp_path / "out", name, level, MASKS) / "a.png"
        assert (read_labels(mask) == read_labels(masks / "a.png")).all()
        with Image.open(place_of(tmp_path / "out", name, level, IMAGES) / "a.png") as picture:
            expected = perturb(noise, "jpeg", level, 5, mode="table").picture if level else noise
            assert picture.tobytes() == expected.tobytes()


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=5), st.floats(-0.5, 0.5), st.floats(0.7, 1.3))
def test_moving_makes_no_new_labels(labels: list[int], angle: float, scale: float) -> None:
    mask = np.random.default_rng(0).choice(np.array(labels, dtype=np.int32), (20, 30))
    to = about_center(
        (30, 20), scale * np.cos(angle), scale * np.sin(angle), -scale * np.sin(angle), scale * np.cos(angle)
    )
    assert {*np.unique(warp_labels(mask, to))} <= {0, *labels}
    assert warp_labels(mask, STILL) is mask


@given(st.integers(-9, 9), st.integers(-9, 9))
def test_whole_pixels_move_as_the_picture_s_do(x: int, y: int) -> None:
    labels = np.random.default_rng(1).integers(0, 200, (20, 30)).astype(np.int32)
    to = STILL._replace(x0=x, y0=y)
    assert (warp_labels(labels, to) == warp(labels[..., None].astype(np.float32), to)[..., 0]).all()


@pytest.mark.parametrize("highest", [1, 255, 256, 65535])
def test_masks_of_8_and_16_bits_are_read_as_they_were_written(tmp_path: Path, highest: int) -> None:
    labels = np.linspace(0, highest, 600).astype(np.int32).reshape(20, 30)
    write_labels(tmp_path / "a.png", labels)
    assert (read_labels(tmp_path / "a.png") == labels).all()
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.mode.startswith("L" if highest < 256 else "I")


def test_a_palette_and_one_bit_are_labels_and_colors_are_not(tmp_path: Path) -> None:
    numbers = np.arange(12, dtype=np.uint8).reshape(3, 4)
    palette = Image.fromarray(numbers).convert("P")
    palette.putpalette([255, 0, 0] * 256)
    palette.putdata(numbers.ravel().tolist())
    palette.save(tmp_path / "p.png")
    assert (read_labels(tmp_path / "p.png") == numbers).all()
    Image.fromarray(numbers > 5).save(tmp_path / "b.png")
    assert (read_labels(tmp_path / "b.png") == (numbers > 5)).all()
    draw(tmp_path / "c.png", mode="RGB")
    with pytest.raises(MaskError, match="holds RGB colors, not labels; save it as PNG"):
        read_labels(tmp_path / "c.png")
    draw(tmp_path / "d.jpg")
    with pytest.raises(MaskError, match="is not a readable mask, which is a PNG, TIFF, BMP, GIF file"):
        read_labels(tmp_path / "d.jpg")
    Image.fromarray(np.array([[-1, 70000]], dtype=np.int32)).save(tmp_path / "e.tiff")
    with pytest.raises(MaskError, match="labels from -1 to 70000"):
        read_labels(tmp_path / "e.tiff")


def test_what_has_no_partner_or_cannot_be_used_is_named_and_costs_the_others_nothing(tmp_path: Path) -> None:
    images, masks = folders(tmp_path, "good", "small", "broken", "colors", "twice", "lone")
    draw(masks / "small.png", 1, size=(40, 30))
    (images / "broken.png").write_text("no picture")
    draw(masks / "colors.png", mode="RGB")
    draw(masks / "twice.tiff", 1)
    (masks / "lone.png").unlink()
    draw(masks / "more.png", 1)
    pairs, problems = pair_up(images, masks)
    assert [pair.stem for pair in pairs] == ["broken", "colors", "good", "small"]
    assert sorted(line.removeprefix(str(tmp_path)) for line in problems) == [
        f"/i/lone.png: has no mask in {masks}; left out",
        f"/i/twice.png: has no mask in {masks}; left out",
        f"/m/more.png: has no picture in {images}; left out",
        "/m/twice.png: twice.tiff has the same name without its ending; both are left out",
    ]
    written, unusable = perturb_folder(pairs, tmp_path / "out", [find("translation")], quiet=True)
    assert written == ["good"]
    assert [line.removeprefix(str(tmp_path)) for line in unusable] == [
        "/i/broken.png: the file is not a readable image",
        "/m/colors.png: holds RGB colors, not labels; save it as PNG of one channel, 8 or 16 bits",
        "/m/small.png: is 40 x 30 pixels, where 96 x 80 are wanted",
    ]
    assert len(list((tmp_path / "out").rglob("*.png"))) == 2 * 6


def test_folders_without_a_usable_pair_are_refused(tmp_path: Path) -> None:
    images, masks = folders(tmp_path, "a")
    with pytest.raises(InputError, match="No picture in .* has a mask in .*Give each mask its picture's name"):
        pair_up(images, tmp_path / "nowhere")
    (masks / "a.png").write_text("no mask")
    with pytest.raises(InputError, match="No picture could be used"):
        perturb_folder(pair_up(images, masks)[0], tmp_path / "out", [find("jpeg")], quiet=True)
    synthetic(96, 8).save(images / "a.png")
    with pytest.raises(InputError, match="96 x 8 pixels"):
        perturb_folder(pair_up(images, masks)[0], tmp_path / "out", [find("jpeg")], quiet=True)
