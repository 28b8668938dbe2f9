"""Measures of report texts that need no model: ROUGE-L, BLEU, CIDEr-D and statements found.

They measure words. None of them is the challenge's measure, which a model takes: see `scoring.judges`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from mevlip.core.errors import EnvironmentProblem
from mevlip_validation.scoring.rows import Row
from mevlip_validation.scoring.tallies import Scores, Values, Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ORDERS = 4
"""Longest n-gram of BLEU (Papineni et al. 2002) and CIDEr (Vedantam et al. 2015)."""
_SPREAD = 6.0
"""Width in words of CIDEr-D's penalty on a difference in length."""

Grams = list[Counter[tuple[str, ...]]]


def _version(package: str) -> str:
    try:
        return f"{package}-{version(package)}"
    except PackageNotFoundError:
        return f"{package}-absent"


ROUGE = _version("rouge-score")
BLEU = _version("sacrebleu")


def rouge_l(rows: Sequence[Row]) -> Values:
    """F1 of the longest common subsequence of words (Lin 2004), mean of rows, 0 to 1, by the rouge-score package."""
    scorer = _rouge()
    return Values(tuple(scorer.score(row.truth, row.said)["rougeL"].fmeasure if row.said else 0.0 for row in rows))


def bleu(rows: Sequence[Row]) -> Bleu:
    """Corpus BLEU-4, 0 to 1, by sacrebleu with its tokenizer 13a."""
    metric = _bleu()
    found = [metric.sentence_score(row.said or "", [row.truth]) for row in rows]
    return Bleu(np.array([[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in found], dtype=float))


def cider(rows: Sequence[Row]) -> Values:
    """CIDEr-D (Vedantam et al. 2015), 0 to 10: TF-IDF cosines of 1- to 4-grams, clipped, with a penalty on length.

    Each report has one reference; how rare an n-gram is is counted over the references of the rows.
    """
    truths = [_grams(row.truth) for row in rows]
    seen: Counter[tuple[str, ...]] = Counter(gram for grams in truths for counts in grams for gram in counts)
    rows_seen = math.log(max(len(rows), 1))

    def weigh(counts: Counter[tuple[str, ...]]) -> dict[tuple[str, ...], float]:
        return {gram: times * (rows_seen - math.log(max(seen[gram], 1))) for gram, times in counts.items()}

    def one(row: Row, truth: Grams) -> float:
        said = _grams(row.said or "")
        apart = sum(truth[0].values()) - sum(said[0].values())
        cosines = [_clipped_cosine(weigh(a), weigh(b)) for a, b in zip(truth, said, strict=True)]
        return 10 * math.exp(-(apart**2) / (2 * _SPREAD**2)) * sum(cosines) / _ORDERS

    return Values(tuple(one(row, truth) for row, truth in zip(rows, truths, strict=True)))


def statements(rows: Sequence[Row]) -> Values:
    """F1 of the sentences of a report, letter case and punctuation aside: mean of rows, 0 to 1.

    The challenge asks for one region of the body at a time, so that each sentence states one finding of that region.
    """

    def f1(row: Row) -> float:
        truth, said = split_statements(row.truth), split_statements(row.said or "")
        return 2 * (truth & said).total() / max(truth.total() + said.total(), 1)

    return Values(tuple(map(f1, rows)))


def split_statements(report: str) -> Counter[str]:
    """The sentences of a report, folded; a point within a number ends none."""
    parts = re.split(r"[.;!?](?!\d)|\n", report.lower())
    return Counter(words for part in parts if (words := " ".join(re.findall(r"\w+(?:\.\d+)?", part))))


@dataclass(frozen=True)
class Bleu:
    """Corpus BLEU from each row's own counts.

    Attributes:
        counts: (rows, 10): matches of 1- to 4-grams, n-grams said, words said, words of the truth.
    """

    counts: NDArray[np.float64]

    def scores(self, weights: Weights) -> Scores:
        """See `mevlip_validation.scoring.tallies.Tally`."""
        sums = np.rint(weights @ self.counts).astype(int).tolist()
        return np.array([_bleu_of(row) for row in sums])


def _bleu_of(sums: list[int]) -> float:
    from sacrebleu.metrics.bleu import BLEU as METRIC

    correct, total, said, truth = sums[:_ORDERS], sums[_ORDERS : 2 * _ORDERS], *sums[2 * _ORDERS :]
    if not total[0]:
        return 0.0
    # Rows of fewer than four words have no 4-gram; the effective order leaves out what none of them could have.
    found = METRIC.compute_bleu(correct, total, said, truth, smooth_method="exp", effective_order=True)
    return float(found.score) / 100


def _clipped_cosine(truth: dict[tuple[str, ...], float], said: dict[tuple[str, ...], float]) -> float:
    norms = math.sqrt(sum(v * v for v in truth.values())) * math.sqrt(sum(v * v for v in said.values()))
    shared = sum(min(value, truth[gram]) * truth[gram] for gram, value in said.items() if gram in truth)
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
        f"Reports are scored by {package}, which is not installed", "Run: pip install 'me-vlip[score]'"
    )
