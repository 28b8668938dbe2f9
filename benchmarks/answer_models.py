"""Random answers with known true scores, for `benchmarks.intervals`: how each measure's rows come about.

Each question has a difficulty, normal, that questions about one image share by `WITHIN_IMAGE` and systems by
`BETWEEN_SYSTEMS`. Everything else of a row, such as its class or its boxes, is common to all systems.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mevlip.tasks import Direction
from mevlip_validation.statistics import (
    Aggregate,
    Aggregation,
    BalancedAccuracy,
    MacroAverage,
    MicroF1,
    Scale,
    Statistic,
)

WITHIN_IMAGE, BETWEEN_SYSTEMS = 0.4, 0.6
OUTLIER, OUTLIER_SHARE = 2085.0, 1 / 700
"""The challenge's own training counts hold one of this size among 700."""
DATA_SETS = (0.4, 0.3, 0.15, 0.1, 0.05)
"""The share of each in the questions, for macro averages."""

Floats = NDArray[np.float64]
Row = Any
Statistics = Callable[[Sequence[Row]], Statistic]


@dataclass(frozen=True)
class AnswerModel:
    """How the rows of one measure come about.

    Attributes:
        name: What is measured, and of what.
        scale: What values the score can take.
        truth: The score of infinitely many questions.
        statistic: Turns rows into contributions.
        draw: From a generator and the difficulties, (systems, questions): each system's rows.
    """

    name: str
    scale: Scale
    truth: float
    statistic: Statistics
    draw: Callable[[Generator, Floats], list[list[Row]]]

    @property
    def direction(self) -> Direction:
        """Whether more or less is better."""
        return "lower" if self.scale == "error" else "higher"


def difficulties(rng: Generator, images: int, per_image: int, systems: int = 1) -> Floats:
    """Standard normal difficulties, (systems, images * per_image), those of one image in a row."""

    def clustered(count: int) -> Floats:
        image = rng.normal(size=(count, images, 1))
        row = rng.normal(size=(count, images, per_image))
        return (math.sqrt(WITHIN_IMAGE) * image + math.sqrt(1 - WITHIN_IMAGE) * row).reshape(count, -1)

    shared = clustered(1)
    if systems == 1:
        return shared
    return math.sqrt(BETWEEN_SYSTEMS) * shared + math.sqrt(1 - BETWEEN_SYSTEMS) * clustered(systems)


def balanced_accuracy(name: str, shares: Sequence[float], recalls: Sequence[float]) -> AnswerModel:
    """Classes of given shares, of which given shares are found."""
    reach = np.array([NormalDist().inv_cdf(recall) for recall in recalls])

    def draw(rng: Generator, hard: Floats) -> list[list[Row]]:
        classes = np.asarray(rng.choice(len(shares), p=shares, size=hard.shape[1]))
        return [list(zip(map(str, classes.tolist()), (own < reach[classes]).tolist(), strict=True)) for own in hard]

    return AnswerModel(name, "share", float(np.mean(recalls)), _of_pairs, draw)


def micro_f1() -> AnswerModel:
    """A skewed number of true boxes, of which half are found, and three false ones for each ten true ones."""

    def draw(rng: Generator, hard: Floats) -> list[list[Row]]:
        true = np.asarray(rng.negative_binomial(0.7, 0.2, size=hard.shape[1])) + 1
        found = rng.binomial(true, 0.2 + 0.15 * _fifths(hard))
        predicted = found + rng.poisson(0.3 * true, size=hard.shape)
        return [
            list(zip(f.tolist(), p.tolist(), true.tolist(), strict=True)) for f, p in zip(found, predicted, strict=True)
        ]

    return AnswerModel("micro F1 of boxes", "share", 2 * 0.5 / 1.8, MicroF1.of, draw)


def mean_of_rows() -> AnswerModel:
    """Each row's own F1: 0, 0.25, ... 1, equally often."""

    def draw(rng: Generator, hard: Floats) -> list[list[Row]]:
        return [own.tolist() for own in _fifths(hard) / 4]

    return AnswerModel("mean F1 of rows", "share", 0.5, lambda rows: Aggregate(tuple(rows)), draw)


def errors(
    name: str,
    truth: float,
    error: Callable[[Generator, Floats], Floats],
    aggregation: Aggregation = "mean",
) -> AnswerModel:
    """Errors as a function of the difficulty."""
    return AnswerModel(
        name,
        "error",
        truth,
        lambda rows: Aggregate(tuple(rows), aggregation),
        lambda rng, hard: error(rng, hard).tolist(),
    )


def macro(name: str, model: AnswerModel) -> AnswerModel:
    """The mean over five data sets of unequal size; images are spread over them at random."""

    def statistic(rows: Sequence[Row]) -> Statistic:
        members: dict[int, list[int]] = {}
        for place, (dataset, _) in enumerate(rows):
            members.setdefault(dataset, []).append(place)
        parts = tuple(model.statistic([rows[place][1] for place in own]) for own in members.values())
        return MacroAverage(parts, tuple(map(tuple, members.values())))

    def draw(rng: Generator, hard: Floats) -> list[list[Row]]:
        edges = np.round(np.cumsum(DATA_SETS) * hard.shape[1] / 6) * 6  # whole images
        datasets = np.searchsorted(edges[:-1], np.arange(hard.shape[1]), side="right").tolist()
        return [list(zip(datasets, rows, strict=True)) for rows in model.draw(rng, hard)]

    return AnswerModel(name, model.scale, model.truth, statistic, draw)


def answer_models() -> list[AnswerModel]:
    """Every measure, with answers as they are met."""
    three = balanced_accuracy("balanced accuracy, classes .6 .3 .1", (0.6, 0.3, 0.1), (0.9, 0.7, 0.5))
    skewed = errors("mean error, lognormal", 3 * math.exp(0.5), lambda rng, hard: 3 * np.exp(hard))
    outliers = skewed.truth * (1 - OUTLIER_SHARE) + OUTLIER * OUTLIER_SHARE
    return [
        balanced_accuracy("balanced accuracy, classes .6 .4", (0.6, 0.4), (0.8, 0.7)),
        three,
        balanced_accuracy("balanced accuracy, classes .8 .15 .04 .01", (0.8, 0.15, 0.04, 0.01), (0.9, 0.7, 0.5, 0.4)),
        micro_f1(),
        mean_of_rows(),
        skewed,
        errors("mean error, 8 of 10 are 0", _beyond(0.8), _mostly_right),
        errors("mean error, 1 of 700 is 2,085", outliers, _with_outliers),
        errors("median error, lognormal", 3.0, lambda rng, hard: 3 * np.exp(hard), "median"),
        errors("root mean square error, normal", 1.0, lambda rng, hard: np.abs(hard), "rms"),
        errors("root mean square error, lognormal", 3 * math.e, lambda rng, hard: 3 * np.exp(hard), "rms"),
        macro("macro balanced accuracy, classes .6 .3 .1", three),
        macro("macro F1 of rows", mean_of_rows()),
        macro("macro mean error, lognormal", skewed),
    ]


def _of_pairs(rows: Sequence[Row]) -> Statistic:
    classes, hits = zip(*rows, strict=True)
    return BalancedAccuracy(classes, hits)


def _with_outliers(rng: Generator, hard: Floats) -> Floats:
    return np.where(rng.random(hard.shape) < OUTLIER_SHARE, OUTLIER, 3 * np.exp(hard))


def _mostly_right(rng: Generator, hard: Floats) -> Floats:
    return np.asarray(np.ceil(np.maximum(hard - _at(0.8), 0) * 5))


def _fifths(hard: Floats) -> NDArray[np.int64]:
    """0 to 4, equally often."""
    return np.searchsorted([_at(share) for share in (0.2, 0.4, 0.6, 0.8)], hard)


def _at(share: float) -> float:
    return NormalDist().inv_cdf(share)


def _beyond(share: float) -> float:
    """The mean of `_mostly_right`: the sum of the chances of more than 0, 1, 2, ..."""
    normal = NormalDist()
    return sum(1 - normal.cdf(_at(share) + step / 5) for step in range(60))
