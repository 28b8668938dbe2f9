from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from mevlip.core.errors import EnvironmentProblem
from mevlip.tasks import TaskType
from mevlip_validation import text_metrics
from mevlip_validation.bootstrap import score_of
from mevlip_validation.matching import Row
from tests.validation.rows import make_row

reports = st.lists(st.sampled_from(["heart", "lungs", "clear", "wide", "no", "effusion"]), min_size=1, max_size=9).map(
    " ".join
)
pairs = st.lists(st.tuples(reports, reports), min_size=1, max_size=5)


def rows(*pairs: tuple[str | None, str]) -> list[Row]:
    return [make_row(TaskType.REPORT, said, truth) for said, truth in pairs]


def test_rouge_l_worked_by_hand() -> None:
    # Longest common subsequence "the clear": 2 of 3 said and 2 of 4 true words.
    found = text_metrics.rouge_l(rows(("the clear lungs", "the lungs are clear"), (None, "x")))
    assert found.values == (pytest.approx(2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4)), 0.0)


@given(pairs)
def test_bleu_of_added_counts_is_sacrebleus_corpus_score(some: list[tuple[str, str]]) -> None:
    expected = BLEU(effective_order=True).corpus_score([said for said, _ in some], [[truth for _, truth in some]])
    assert score_of(text_metrics.bleu(rows(*some)), len(some)) == pytest.approx(expected.score / 100)


@given(pairs, st.data())
def test_bleu_with_weights_is_bleu_of_repeated_rows(some: list[tuple[str, str]], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(0, 2), min_size=len(some), max_size=len(some)).filter(any))
    repeated = [pair for pair, times in zip(some, weights, strict=True) for _ in range(times)]
    weighted = text_metrics.bleu(rows(*some)).scores(np.array([weights], dtype=float))[0]
    assert weighted == pytest.approx(score_of(text_metrics.bleu(rows(*repeated)), len(repeated)))


def test_nothing_said_has_no_bleu() -> None:
    assert score_of(text_metrics.bleu(rows((None, "All is well."))), 1) == 0


def test_cider_worked_by_hand() -> None:
    # Two references: "a" is in both, so it weighs log 1 = 0; "b" and "c" weigh log 2, "a b" and "a c" too.
    found = text_metrics.cider(rows(("a b", "a b"), ("a b", "a c")))
    one_and_two_grams_agree = 10 * (1 + 1) / 4  # two words have neither 3-grams nor 4-grams
    assert found.values == (pytest.approx(one_and_two_grams_agree), 0.0)


def test_cider_clips_repetitions_and_punishes_length() -> None:
    plain, repeated = text_metrics.cider(rows(("b", "b"), ("b b b b", "b"), ("x", "c"))).values[:2]
    weight = math.log(3 / 2)
    cosine = min(4 * weight, weight) * weight / (weight * 4 * weight)
    assert plain == pytest.approx(10 / 4)
    assert repeated == pytest.approx(10 / 4 * cosine * math.exp(-(3**2) / 72))


def test_statements_are_sentences_whatever_their_order() -> None:
    found = text_metrics.statement_f1(
        rows(("No effusion. Heart of 3.5 cm", "heart of 3.5 cm. no effusion."), ("A. B. B.", "A. C."), ("", "A."))
    )
    assert found.values == (1.0, pytest.approx(2 * 1 / 5), 0.0)


@given(reports)
def test_the_truth_against_itself_has_full_marks(report: str) -> None:
    same = rows((report, report))
    assert text_metrics.rouge_l(same).values == (1.0,)
    assert text_metrics.statement_f1(same).values == (1.0,)
    assert score_of(text_metrics.bleu(same), 1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("package", "measure"), [("rouge_score.rouge_scorer", "rouge_l"), ("sacrebleu.metrics.bleu", "bleu")]
)
def test_what_is_not_installed_is_named(package: str, measure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    text_metrics._rouge.cache_clear()
    text_metrics._bleu.cache_clear()
    with pytest.raises(EnvironmentProblem, match=r"me-vlip\[score\]"):
        getattr(text_metrics, measure)(rows(("a", "a")))
