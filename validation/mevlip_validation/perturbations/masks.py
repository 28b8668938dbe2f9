"""Folders of pictures with their masks: reading and pairing them, and writing them perturbed.

A mask is a file of whole numbers: 0 for what is in none of the classes, else the class's number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mevlip.core.errors import InputError, MevlipError, describe
from mevlip.core.files import atomic_file, open_regular
from mevlip.core.progress import Progress
from mevlip.core.text import visible
from mevlip.flare.images import load_image
from mevlip.flare.pixels import MAX_BYTES, MAX_PIXELS, ImageError
from mevlip_validation.defaults import CLEAN, LEVELS
from mevlip_validation.perturbations.geometry import warp_labels
from mevlip_validation.perturbations.perturbed import check_size, perturb
from mevlip_validation.perturbations.registry import Mode, Perturbation
from mevlip_validation.perturbations.severity import Calibrations

Labels = NDArray[np.int32]
"""A mask, (height, width)."""
IMAGES, MASKS = "images", "masks"

_FORMATS = ("PNG", "TIFF", "BMP", "GIF")  # JPEG would blur labels into others
_MODES = ("1", "L", "P", "I;16", "I")
_HIGHEST = 65535
_HIGHEST_IN_8_BITS = 255


class MaskError(ValueError):
    """A mask that cannot be used; its text is the cause."""


@dataclass(frozen=True)
class Pair:
    """A picture and its mask.

    Attributes:
        stem: The name that both have, without its ending.
        image: The picture's file.
        mask: The mask's file.
    """

    stem: str
    image: Path
    mask: Path


def read_labels(path: Path) -> Labels:
    """Reads a mask; of a palette, the numbers of its colors.

    Raises:
        MaskError: It cannot be read, or holds something else than numbers from 0 to 65535.
    """
    try:
        with open_regular(path, MAX_BYTES) as file, Image.open(file, formats=_FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise MaskError(f"has more than the allowed {MAX_PIXELS} pixels")
            if opened.mode not in _MODES:
                raise MaskError(f"holds {opened.mode} colors, not labels; save it as PNG of one channel, 8 or 16 bits")
            labels = np.asarray(opened).astype(np.int64)
    except MaskError:
        raise
    except Exception as error:
        raise MaskError(f"is not a readable mask, which is a {', '.join(_FORMATS)} file ({describe(error)})") from error
    if labels.min() < 0 or labels.max() > _HIGHEST:
        raise MaskError(f"holds labels from {labels.min()} to {labels.max()}; they are 0 to {_HIGHEST}")
    return labels.astype(np.int32)


def write_labels(path: Path, labels: Labels) -> None:
    """Writes a mask as PNG, of 8 bits where they suffice, else of 16.

    Raises:
        EnvironmentProblem: It cannot be written.
    """
    kind = np.uint8 if labels.max() <= _HIGHEST_IN_8_BITS else np.uint16
    with atomic_file(path) as draft:
        Image.fromarray(labels.astype(kind)).save(draft, "PNG")


def files_by_stem(folder: Path, problems: list[str]) -> dict[str, Path]:
    """The files of a folder by their names without ending; two of one name are a problem, and left out."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and not path.name.startswith("."):
            found[path.stem].append(path)
    problems += [
        _line(paths[0], f"{paths[1].name} has the same name without its ending; both are left out")
        for paths in found.values()
        if len(paths) > 1
    ]
    return {stem: paths[0] for stem, paths in found.items() if len(paths) == 1}


def pair_up(images: Path, masks: Path) -> tuple[list[Pair], list[str]]:
    """Pairs the pictures of a folder with the masks of another one, by their names without ending.

    Returns:
        The pairs by name, and a line for each file that has no partner.

    Raises:
        InputError: There is no pair.
    """
    problems: list[str] = []
    pictures, labels = files_by_stem(images, problems), files_by_stem(masks, problems)
    for here, there, what in ((pictures, labels, f"no mask in {masks}"), (labels, pictures, f"no picture in {images}")):
        problems += [_line(path, f"has {what}; left out") for stem, path in here.items() if stem not in there]
    pairs = [Pair(stem, path, labels[stem]) for stem, path in pictures.items() if stem in labels]
    if not pairs:
        raise InputError(
            f"No picture in {images} has a mask in {masks}", "Give each mask its picture's name, whatever its ending."
        )
    return pairs, problems


def place_of(root: Path, perturbation: str, level: int, kind: str) -> Path:
    """The folder of pictures or masks of one perturbation and level."""
    return root / perturbation / str(level) / kind


def perturb_folder(
    pairs: Sequence[Pair],
    out: Path,
    perturbations: Sequence[Perturbation],
    seed: int = 0,
    mode: Mode | None = None,
    calibrations: Calibrations | None = None,
    quiet: bool = False,
) -> tuple[list[str], list[str]]:
    """Writes pictures and masks, clean and at each level: OUT/<perturbation>/<level>/{images,masks}/<name>.png.

    Masks move as their pictures do, and stay where only values change.

    Args:
        pairs: The pictures and their masks.
        out: The folder.
        perturbations: Which perturbations.
        seed: See `perturb`.
        mode: See `perturb`.
        calibrations: See `perturb`.
        quiet: Whether to show no progress.

    Returns:
        The names of the pairs that were written, and a line for each that cannot be used.

    Raises:
        EnvironmentProblem: A file cannot be written.
        InputError: No pair can be used.
    """
    written: list[str] = []
    problems: list[str] = []
    kept = calibrations or Calibrations()
    with Progress("perturbing", len(pairs), "pictures", quiet) as progress:
        for pair in pairs:
            try:
                picture, labels = read_pair(pair)
            except (ImageError, MaskError, InputError) as error:
                problems.append(error.cause if isinstance(error, MevlipError) else str(error))
            else:
                _write(out, CLEAN, 0, pair.stem, picture, labels)
                for one in perturbations:
                    for level in LEVELS:
                        done = perturb(picture, one, level, seed, mode=mode, calibrations=kept)
                        moved = warp_labels(labels, done.boxes.to)
                        _write(out, one.name, level, pair.stem, done.picture, moved)
                written.append(pair.stem)
            progress.advance()
    if not written:
        raise InputError(f"No picture could be used ({problems[0]})", "Name folders of pictures and masks of one size.")
    return written, problems


def read_pair(pair: Pair) -> tuple[Image.Image, Labels]:
    """Reads a picture, 8-bit RGB, and its mask.

    Raises:
        ImageError: The picture cannot be read.
        InputError: The picture is too small.
        MaskError: The mask cannot be read, or is of another size.
    """
    try:
        picture = load_image(pair.image)
    except ImageError as error:
        raise ImageError(_line(pair.image, str(error))) from error
    check_size(picture, str(pair.image))
    try:
        labels = read_labels(pair.mask)
        check_shape(labels, picture.size)
    except MaskError as error:
        raise MaskError(_line(pair.mask, str(error))) from error
    return picture, labels


def check_shape(labels: Labels, size: tuple[int, int]) -> None:
    """Refuses a mask of another width and height.

    Raises:
        MaskError: It has one.
    """
    height, width = labels.shape
    if (width, height) != size:
        raise MaskError(f"is {width} x {height} pixels, where {size[0]} x {size[1]} are wanted")


def _write(out: Path, name: str, level: int, stem: str, picture: Image.Image, labels: Labels) -> None:
    with atomic_file(place_of(out, name, level, IMAGES) / f"{stem}.png") as draft:
        picture.save(draft, "PNG")
    write_labels(place_of(out, name, level, MASKS) / f"{stem}.png", labels)


def _line(path: Path, cause: str) -> str:
    return visible(f"{path}: {cause}")
