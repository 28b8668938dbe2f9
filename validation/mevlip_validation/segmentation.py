"""How much worse masks are on perturbed pictures: IoU and Dice of any program's masks, against those on clean ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mevlip.core.errors import InputError
from mevlip.core.tables import table, write_csv
from mevlip.core.text import visible
from mevlip_validation.bootstrap import Bootstrap
from mevlip_validation.defaults import CLEAN, LEVELS, RESAMPLES, SEED
from mevlip_validation.intervals import Estimate, difference, estimate
from mevlip_validation.output import NONE, number, plain_estimate, show, write_json
from mevlip_validation.perturbations.masks import (
    MASKS,
    Labels,
    MaskError,
    check_shape,
    files_by_stem,
    place_of,
    read_labels,
)
from mevlip_validation.statistics import Aggregate

ALL = "all"
"""Level of the mean over all levels."""
HEADER = (
    "rank", "perturbation", "images", "IoU", "IoU drop", "Dice", "Dice drop",
    *(f"L{level}" for level in LEVELS),
)  # fmt: skip
"""Scores are means over the levels; L1 to L5 are drops of IoU."""
_ESTIMATES = ("iou", "dice", "iou_drop", "dice_drop")

Condition = tuple[str, int]
"""A perturbation's name and a level."""


class Overlap(NamedTuple):
    """How well a mask agrees with the true one, each 0 to 1."""

    iou: float
    dice: float


@dataclass(frozen=True)
class Drop:
    """Masks under one perturbation against those on the clean pictures.

    Attributes:
        perturbation: Its name.
        level: The level, or `ALL`; 0 for the clean pictures themselves.
        images: Number of images that have a mask here and on the clean picture.
        iou: Mean IoU.
        dice: Mean Dice coefficient.
        iou_drop: By how much the mean IoU is lower than on the same images' clean pictures.
        dice_drop: Likewise.
    """

    perturbation: str
    level: int | str
    images: int
    iou: Estimate
    dice: Estimate
    iou_drop: Estimate
    dice_drop: Estimate


def overlap(truth: Labels, predicted: Labels) -> Overlap:
    """IoU and Dice of two masks, (height, width), each the mean over the classes that either of them has.

    A class that only one of them has counts as 0. Where both are empty, each is 1. Label 0 is no class.
    """
    classes = np.union1d(truth, predicted)
    found = []
    for one in classes[classes > 0]:
        here, there = truth == one, predicted == one
        both, total = int((here & there).sum()), int(here.sum() + there.sum())
        found.append((both / (total - both), 2 * both / total))
    if not found:
        return Overlap(1.0, 1.0)
    iou, dice = np.mean(found, axis=0)
    return Overlap(float(iou), float(dice))


def measure(
    truth: Path, predicted: Path, conditions: Sequence[Condition], stems: Iterable[str]
) -> tuple[dict[Condition, dict[str, Overlap]], list[str]]:
    """Compares predicted masks with the true ones, both in folders <perturbation>/<level>/masks.

    Args:
        truth: The folder that `perturb_folder` wrote.
        predicted: The folder of predicted masks.
        conditions: Perturbations and levels; those on the clean pictures are among them.
        stems: Names of the images.

    Returns:
        The overlap of each image under each condition, and a line for each mask that is missing or cannot be used.

    Raises:
        InputError: No mask on a clean picture can be used, or both have labels, but none in common.
    """
    found: dict[Condition, dict[str, Overlap]] = {}
    problems: list[str] = []
    wanted = list(stems)
    true_labels: set[int] = set()
    other_labels: set[int] = set()
    for condition in conditions:
        own = found.setdefault(condition, {})
        folder = place_of(predicted, *condition, MASKS)
        if not folder.is_dir():
            problems.append(visible(f"{folder}: is missing; nothing is scored here"))
            continue
        files = files_by_stem(folder, problems)
        problems += [visible(f"{files[stem]}: no such picture; left out") for stem in sorted({*files} - {*wanted})]
        for stem in wanted:
            if stem not in files:
                problems.append(visible(f"{folder / stem}: is missing; this image is left out here"))
                continue
            target = read_labels(place_of(truth, *condition, MASKS) / f"{stem}.png")
            try:
                mask = read_labels(files[stem])
                check_shape(mask, (target.shape[1], target.shape[0]))
            except MaskError as error:
                problems.append(visible(f"{files[stem]}: {error}"))
                continue
            own[stem] = overlap(target, mask)
            true_labels |= {*np.unique(target).tolist()}
            other_labels |= {*np.unique(mask).tolist()}
    true_labels.discard(0)
    other_labels.discard(0)
    if true_labels and other_labels and not true_labels & other_labels:
        raise InputError(
            f"{predicted}: its masks hold the labels {_some(other_labels)}, the true ones {_some(true_labels)}",
            "Write the same numbers into both.",
        )
    if not found.get((CLEAN, 0)):
        raise InputError(
            f"{place_of(predicted, CLEAN, 0, MASKS)} has no mask of a clean picture that can be used",
            "Predict masks of the clean pictures, too: drops are from theirs.",
        )
    return found, problems


def drops(found: Mapping[Condition, Mapping[str, Overlap]], resamples: int = RESAMPLES, seed: int = SEED) -> list[Drop]:
    """Scores under each condition and their drops from the clean pictures, with intervals from a bootstrap over images.

    Args:
        found: What `measure` gave.
        resamples: Number of bootstrap resamples.
        seed: Random seed.

    Returns:
        The clean pictures; then perturbations by their mean drop of IoU, the greatest first, each with its mean over
        all levels and each level. Conditions without a mask are left out.
    """
    clean = found[CLEAN, 0]
    groups: dict[str, list[Drop]] = {}
    for name in dict.fromkeys(name for name, _ in found if name != CLEAN):
        levels = {level: own for (other, level), own in found.items() if other == name and own}
        series: list[tuple[int | str, Mapping[str, Overlap]]] = [*levels.items()]
        if len(levels) > 1:
            series.insert(0, (ALL, _mean([*levels.values()])))
        made = [_drop(name, level, clean, own, resamples, seed) for level, own in series if {*own} & {*clean}]
        if made:
            groups[name] = made
    ranked = sorted(groups.values(), key=lambda group: -group[0].iou_drop.value)
    return [_drop(CLEAN, 0, clean, clean, resamples, seed), *(one for group in ranked for one in group)]


def _mean(levels: Sequence[Mapping[str, Overlap]]) -> dict[str, Overlap]:
    """Each image's mean over levels, of the images that have all."""
    stems = [stem for stem in levels[0] if all(stem in own for own in levels)]
    return {stem: Overlap(*map(float, np.mean([own[stem] for own in levels], axis=0))) for stem in stems}


def _drop(
    name: str, level: int | str, clean: Mapping[str, Overlap], own: Mapping[str, Overlap], resamples: int, seed: int
) -> Drop:
    stems = [stem for stem in clean if stem in own]
    bootstrap = Bootstrap(stems, resamples, seed)
    before, after = np.array([clean[stem] for stem in stems]), np.array([own[stem] for stem in stems])
    values, changes = [], []
    for column in range(len(Overlap._fields)):
        values.append(estimate(bootstrap, Aggregate(tuple(after[:, column])), "share"))
        lost = before[:, column] - after[:, column]
        drawn = bootstrap.scores(Aggregate(tuple(lost)))
        changes.append(difference(float(lost.mean()), drawn, bootstrap.clusters))
    return Drop(name, level, len(stems), *values, *changes)


def render(found: Sequence[Drop]) -> str:
    """A line for each perturbation in its rank, drops of each level behind it, and for each level the mean drop."""
    rows: list[tuple[object, ...]] = []
    for name in dict.fromkeys(one.perturbation for one in found):
        mine = [one for one in found if one.perturbation == name]
        first, levels = mine[0], {one.level: number(one.iou_drop.value, signed=True) for one in mine}
        clean = name == CLEAN
        lost = ["" if clean else show(drop, signed=True) for drop in (first.iou_drop, first.dice_drop)]
        each = ("" if clean else levels.get(level, NONE) for level in LEVELS)
        scores = (show(first.iou), lost[0], show(first.dice), lost[1])
        rows.append((str(len(rows) or ""), name, first.images, *scores, *each))
    lines = [
        f"level {level}: mean IoU drop {iou:+.3f}, Dice {dice:+.3f}, over {count} perturbations"
        for level, count, iou, dice in by_level(found)
    ]
    return "\n".join([table(HEADER, rows), *lines])


def by_level(found: Sequence[Drop]) -> Iterator[tuple[int, int, float, float]]:
    """For each level: the number of perturbations, and the mean over them of the drops of IoU and Dice."""
    for level in sorted({one.level for one in found if isinstance(one.level, int) and one.level > 0}):
        mine = [(one.iou_drop.value, one.dice_drop.value) for one in found if one.level == level]
        iou, dice = np.mean(mine, axis=0)
        yield level, len(mine), float(iou), float(dice)


def write_all(
    found: Sequence[Drop], overlaps: Mapping[Condition, Mapping[str, Overlap]], problems: Sequence[str], folder: Path
) -> None:
    """Writes drops.csv, overlaps.csv with a line for each image, and masks.json.

    Raises:
        EnvironmentProblem: A file cannot be written.
    """
    names = (f"{name}{end}" for name in _ESTIMATES for end in ("", "_low", "_high"))
    write_csv(folder / "drops.csv", ("perturbation", "level", "images", *names), map(_csv_row, found))
    write_csv(
        folder / "overlaps.csv",
        ("perturbation", "level", "image", *Overlap._fields),
        (
            (*condition, stem, f"{one.iou:.6g}", f"{one.dice:.6g}")
            for condition, own in overlaps.items()
            for stem, one in own.items()
        ),
    )
    content: dict[str, Any] = {
        "drops": [
            {"perturbation": one.perturbation, "level": one.level, "images": one.images}
            | {name: plain_estimate(getattr(one, name)) for name in _ESTIMATES}
            for one in found
        ],
        "levels": [
            {"level": level, "perturbations": count, "iou_drop": iou, "dice_drop": dice}
            for level, count, iou, dice in by_level(found)
        ],
        "problems": list(problems),
    }
    write_json(content, folder / "masks.json")


def _csv_row(one: Drop) -> tuple[object, ...]:
    values = [value for name in _ESTIMATES for value in asdict(getattr(one, name)).values()]
    return one.perturbation, one.level, one.images, *("" if np.isnan(value) else f"{value:.6g}" for value in values)


def _some(labels: set[int]) -> str:
    shown = ", ".join(map(str, sorted(labels)[:5]))
    return f"{shown}, ..." if len(labels) > 5 else shown
