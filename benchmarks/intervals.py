"""How often 95 % intervals hold the true score, and how often equal systems differ: `python -m benchmarks.intervals`.

Prints the share of samples whose interval holds the true score, by measure, number of questions and questions per
image: for plain percentiles, for BCa, and for the interval that scores have. Then how often two equal systems differ,
by p-values of the bootstrap and of swaps and by the interval of the gain; and the share of tables in which
`mevlip compare` finds a difference between systems that are equal. `--quick` draws fewer samples.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from statistics import NormalDist

import numpy as np

from benchmarks.answer_models import AnswerModel, answer_models, difficulties
from mevlip.core.tables import table
from mevlip.tasks import TASKS
from mevlip_validation.bootstrap import Bootstrap, score_of
from mevlip_validation.comparison import Contest, compare_pairs
from mevlip_validation.defaults import RESAMPLES
from mevlip_validation.intervals import difference, estimate, percentile_bounds
from mevlip_validation.metrics import Measure
from mevlip_validation.protocols import Scoring
from mevlip_validation.significance import ALPHA, swap_p_value
from mevlip_validation.statistics import Scores, Statistic

QUESTIONS = (30, 100, 300, 1000)
PER_IMAGE = (1, 6)
SAMPLES, TABLES = 400, 400
QUICK_SAMPLES, QUICK_TABLES = 40, 20
_GROUPS = 200  # of images that the jackknife leaves out together
_NORMAL = NormalDist()
METHODS = ("percentile", "BCa", "chosen")
TESTS = ("bootstrap", "t interval", "swaps")


def coverage(model: AnswerModel, questions: int, per_image: int, samples: int, seed: int = 0) -> dict[str, float]:
    """The share of samples whose interval holds the true score, by kind of interval.

    Args:
        model: How answers come about.
        questions: Number of questions.
        per_image: Questions per image.
        samples: Number of samples; all have the same resamples, which changes no sample's own chance.
        seed: Random seed.
    """
    rng = np.random.default_rng([seed, questions, per_image])
    images = max(2, questions // per_image)
    bootstrap = Bootstrap(np.repeat(np.arange(images), per_image).tolist())
    held = np.zeros(len(METHODS))
    for _ in range(samples):
        [rows] = model.draw(rng, difficulties(rng, images, per_image))
        statistic = model.statistic(rows)
        scores = bootstrap.scores(statistic)
        chosen = estimate(bootstrap, statistic, model.scale)
        found = (percentile_bounds(scores), bca_bounds(statistic, bootstrap, scores), (chosen.low, chosen.high))
        held += [low <= model.truth <= high for low, high in found]
    return dict(zip(METHODS, (held / samples).tolist(), strict=True))


def bca_bounds(statistic: Statistic, bootstrap: Bootstrap, scores: Scores) -> tuple[float, float]:
    """The bias-corrected and accelerated interval (Efron 1987), for comparison.

    The acceleration is a jackknife's that leaves out groups of images, at most 200 groups: the skewness of sums of
    images falls with the root of their number as the number of groups does, so that its estimate stays the same.

    Args:
        statistic: The score.
        bootstrap: Has drawn the resamples.
        scores: Their scores.
    """
    groups = np.arange(bootstrap.clusters) % _GROUPS
    left_out = groups[bootstrap.member] == np.arange(groups.max() + 1)[:, None]
    apart = statistic.scores(1.0 - left_out)
    away = np.nanmean(apart) - apart[~np.isnan(apart)]
    spread = (away**2).sum()
    acceleration = (away**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    known, value = scores[~np.isnan(scores)], score_of(statistic, len(bootstrap.member))
    below = ((known < value).sum() + 0.5 * (known == value).sum()) / len(known)
    bias = _NORMAL.inv_cdf(float(np.clip(below, 1 / len(known), 1 - 1 / len(known))))
    shares = []
    for tail in (0.025, 0.975):
        z = bias + _NORMAL.inv_cdf(tail)
        shares.append(_NORMAL.cdf(bias + z / (1 - acceleration * z)))
    low, high = np.quantile(known, shares)
    return float(low), float(high)


def false_differences(
    model: AnswerModel, questions: int, per_image: int, samples: int, seed: int = 0
) -> dict[str, float]:
    """The share of pairs of equal systems with a p-value below .05, by kind of p-value.

    Args:
        model: How answers come about.
        questions: Number of questions.
        per_image: Questions per image.
        samples: Number of pairs.
        seed: Random seed.
    """
    rng = np.random.default_rng([seed, questions, per_image, 2])
    images = max(2, questions // per_image)
    bootstrap = Bootstrap(np.repeat(np.arange(images), per_image).tolist())
    found = np.zeros(len(TESTS))
    for number in range(samples):
        rows = model.draw(rng, difficulties(rng, images, per_image, 2))
        one, other = map(model.statistic, rows)
        gain = score_of(other, len(rows[1])) - score_of(one, len(rows[0]))
        gains = bootstrap.scores(other) - bootstrap.scores(one)
        tails = min((gains <= 0).sum(), (gains >= 0).sum())
        interval = difference(gain, gains, images)
        swapped = swap_p_value(model.statistic([*rows[0], *rows[1]]), bootstrap.member, gain, RESAMPLES, number)
        found += [2 * (tails + 1) / (RESAMPLES + 1) < ALPHA, not interval.low <= 0 <= interval.high, swapped < ALPHA]
    return dict(zip(TESTS, (found / samples).tolist(), strict=True))


def false_verdicts(systems: int, questions: int, per_image: int, tables: int, seed: int = 0) -> float:
    """The share of tables with at least one win or loss, of systems that are equal.

    A table has seven tasks, scored by the measures of which `answer_models` makes the main ones.

    Args:
        systems: Number of systems.
        questions: Number of questions of each task.
        per_image: Questions per image.
        tables: Number of tables.
        seed: Random seed.
    """
    wrong = 0
    for number in range(tables):
        contests = list(_contests(systems, questions, per_image, np.random.default_rng([seed, systems, number])))
        names = list(contests[0].rows)
        pairs = [(one, other) for place, one in enumerate(names) for other in names[place + 1 :]]
        found = compare_pairs(contests, pairs, resamples=1000, seed=number)
        wrong += any(one.verdict in ("win", "lose") for one in found)
    return wrong / tables


def _contests(systems: int, questions: int, per_image: int, rng: np.random.Generator) -> Iterator[Contest]:
    models = [model for model in answer_models() if not model.name.startswith(("median", "root"))]
    images = max(2, questions // per_image)
    bootstrap = Bootstrap(np.repeat(np.arange(images), per_image).tolist(), seed=int(rng.integers(2**32)))
    for task, model in zip(TASKS, models[1:], strict=False):
        measure = Measure(model.name, model.direction, "", model.statistic, scale=model.scale)
        scoring = Scoring("equal systems", 1, "", model.statistic, frozenset({task}))
        rows = model.draw(rng, difficulties(rng, images, per_image, systems))
        yield Contest.of(task, measure, scoring, None, {f"{place}": own for place, own in enumerate(rows)}, bootstrap)


def coverage_table(samples: int, sizes: Sequence[int] = QUESTIONS) -> str:
    """A row for each measure and number of questions per image: percentile, BCa and the chosen interval by size."""
    rows = []
    for model in answer_models():
        for per_image in PER_IMAGE:
            found = [coverage(model, questions, per_image, samples) for questions in sizes]
            rows.append(
                (model.name, str(per_image), *(" ".join(f"{one[name]:.2f}" for name in METHODS) for one in found))
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return table(("measure", "per image", *(f"n = {questions:,}" for questions in sizes)), rows)


def difference_table(samples: int, sizes: Sequence[int] = QUESTIONS[:2]) -> str:
    """A row for each measure and number of questions per image: false differences of each kind by size."""
    rows = []
    for model in answer_models():
        for per_image in PER_IMAGE:
            found = [false_differences(model, questions, per_image, samples) for questions in sizes]
            rows.append(
                (model.name, str(per_image), *(" ".join(f"{one[name]:.2f}" for name in TESTS) for one in found))
            )
            print(rows[-1], file=sys.stderr, flush=True)
    return table(("measure", "per image", *(f"n = {questions:,}" for questions in sizes)), rows)


def verdict_table(tables: int) -> str:
    """The share of tables with a false verdict, by number of systems and questions."""
    rows = []
    for systems in (2, 5):
        for questions, per_image in ((60, 1), (60, 6), (300, 6)):
            wrong = false_verdicts(systems, questions, per_image, tables)
            rows.append((str(systems), str(questions), str(per_image), f"{wrong:.3f}"))
            print(rows[-1], file=sys.stderr, flush=True)
    return table(("systems", "questions of each task", "per image", "tables with a false verdict"), rows)


if __name__ == "__main__":
    quick = "--quick" in sys.argv
    print(f"Coverage of 95 % intervals: {', '.join(METHODS)}")
    print(coverage_table(QUICK_SAMPLES if quick else SAMPLES))
    print(f"Equal systems that differ, without correction: {', '.join(TESTS)}")
    print(difference_table(QUICK_SAMPLES if quick else SAMPLES))
    print(verdict_table(QUICK_TABLES if quick else TABLES))
