"""Measures of report texts that need no model: ROUGE-L, BLEU, CIDEr-D and F1 of statements.

They measure words. None of them is the challenge's measure, which a model computes: see `mevlip_validation.judges`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from mevlip.core.errors import EnvironmentProblem
from mevlip_validation.matching import Row
from mevlip_validation.statistics import Aggregate, Scores, Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ORDERS = 4
"""Longest n-gram of BLEU (Papineni et al. 2002) and CIDEr (Vedantam et al. 2015)."""
_SPREAD = 6.0
"""Width in words of CIDEr-D's penalty on a difference in length."""

_KEPT = 1 << 10
"""Pairs of reports whose ROUGE-L is kept: the same rows are scored by task, by data set and by question."""

Grams = list[Counter[tuple[str, ...]]]

NO_LABEL = frozenset({"", "none", "n/a", "na", "null", "no finding", "no findings", "[]"})
"""What flare26 takes for no label."""


def fold(text: str) -> str:
    """Lower case with single blanks."""
    return " ".join(text.split()).lower()


def split_labels(text: str) -> frozenset[str]:
    """Labels of a text: split at semicolons, line breaks and bars where there is one, else at commas."""
    text = text.strip()
    parts = re.split(r"[;\n|]", text) if re.search(r"[;\n|]", text) else text.split(",")
    return frozenset(label for part in parts if (label := fold(part)) not in NO_LABEL)


def package_version(package: str) -> str:
    """Name and version of a package, as they stand in a signature."""
    try:
        return f"{package}-{version(package)}"
    except PackageNotFoundError:
        return f"{package}-absent"


def rouge_l(rows: Sequence[Row]) -> Aggregate:
    """F1 of the longest common subsequence of words (Lin 2004), mean of rows, 0 to 1, by the rouge-score package."""
    return Aggregate(tuple(rouge_f1(row.target, row.prediction) if row.prediction else 0.0 for row in rows))


@lru_cache(_KEPT)
def rouge_f1(target: str, prediction: str) -> float:
    """ROUGE-L of one pair of reports, 0 to 1.

    Raises:
        EnvironmentProblem: The rouge-score package is not installed.
    """
    return float(_rouge().score(target, prediction)["rougeL"].fmeasure)


def bleu(rows: Sequence[Row]) -> Bleu:
    """Corpus BLEU-4, 0 to 1, by sacrebleu with its tokenizer 13a."""
    metric = _bleu()
    found = [metric.sentence_score(row.prediction or "", [row.target]) for row in rows]
    return Bleu(np.array([[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in found], dtype=float))


def cider(rows: Sequence[Row]) -> Aggregate:
    """CIDEr-D (Vedantam et al. 2015), 0 to 10: TF-IDF cosines of 1- to 4-grams, clipped, with a penalty on length.

    Each report has one reference; the rarity of an n-gram is counted over the references of the rows.
    """
    targets = [_grams(row.target) for row in rows]
    seen: Counter[tuple[str, ...]] = Counter(gram for grams in targets for counts in grams for gram in counts)
    rows_seen = math.log(max(len(rows), 1))

    def weigh(counts: Counter[tuple[str, ...]]) -> dict[tuple[str, ...], float]:
        return {gram: times * (rows_seen - math.log(max(seen[gram], 1))) for gram, times in counts.items()}

    def one(row: Row, target: Grams) -> float:
        predicted = _grams(row.prediction or "")
        apart = sum(target[0].values()) - sum(predicted[0].values())
        cosines = [_clipped_cosine(weigh(a), weigh(b)) for a, b in zip(target, predicted, strict=True)]
        return 10 * math.exp(-(apart**2) / (2 * _SPREAD**2)) * sum(cosines) / _ORDERS

    return Aggregate(tuple(one(row, target) for row, target in zip(rows, targets, strict=True)))


def statement_f1(rows: Sequence[Row]) -> Aggregate:
    """F1 of the sentences of a report, letter case and punctuation aside: mean of rows, 0 to 1.

    The challenge asks for one region of the body at a time, so that each sentence states one finding of that region.
    """

    def f1(row: Row) -> float:
        target, predicted = split_statements(row.target), split_statements(row.prediction or "")
        return 2 * (target & predicted).total() / max(target.total() + predicted.total(), 1)

    return Aggregate(tuple(map(f1, rows)))


def split_statements(report: str) -> Counter[str]:
    """The sentences of a report, folded; a point within a number does not end one."""
    parts = re.split(r"[.;!?](?!\d)|\n", report.lower())
    return Counter(words for part in parts if (words := " ".join(re.findall(r"\w+(?:\.\d+)?", part))))


@dataclass(frozen=True)
class Bleu:
    """Corpus BLEU from each row's own counts.

    Attributes:
        counts: (rows, 10): matches of 1- to 4-grams, predicted n-grams, predicted words, words of the target.
    """

    counts: NDArray[np.float64]

    def scores(self, weights: Weights) -> Scores:
        """See `mevlip_validation.statistics.Statistic`."""
        sums = np.rint(weights @ self.counts).astype(int).tolist()
        return np.array([_bleu_of(row) for row in sums])


def _bleu_of(sums: list[int]) -> float:
    from sacrebleu.metrics.bleu import BLEU as METRIC

    correct, total, predicted, target = sums[:_ORDERS], sums[_ORDERS : 2 * _ORDERS], *sums[2 * _ORDERS :]
    if not total[0]:
        return 0.0
    # Rows of fewer than four words have no 4-gram; the effective order leaves out what none of them could have.
    found = METRIC.compute_bleu(correct, total, predicted, target, smooth_method="exp", effective_order=True)
    return float(found.score) / 100


def _clipped_cosine(target: dict[tuple[str, ...], float], predicted: dict[tuple[str, ...], float]) -> float:
    norms = math.sqrt(sum(v * v for v in target.values())) * math.sqrt(sum(v * v for v in predicted.values()))
    shared = sum(min(value, target[gram]) * target[gram] for gram, value in predicted.items() if gram in target)
    return shared / norms if norms else 0.0


def _grams(text: str) -> Grams:
    words = re.findall(r"\w+", text.lower())
    return [Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1)) for n in range(1, _ORDERS + 1)]


@cache
def _rouge() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ModuleNotFoundError as error:
        raise _absent("rouge-score") from error
    return RougeScorer(["rougeL"], use_stemmer=False)


@cache
def _bleu() -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU as METRIC
    except ModuleNotFoundError as error:
        raise _absent("sacrebleu") from error
    return METRIC(effective_order=True)


def _absent(package: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"Scoring reports needs {package}, which is not installed", "Run: pip install 'me-vlip[score]'"
    )
