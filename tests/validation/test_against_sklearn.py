"""Our statistics against scikit-learn: equal where its definition is the challenge's, and where it is not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    mean_absolute_error,
    median_absolute_error,
    root_mean_squared_error,
)
from sklearn.preprocessing import MultiLabelBinarizer

from mevlip.tasks import TaskType
from mevlip_validation.bootstrap import score_of
from mevlip_validation.matching import Row
from tests.validation.rows import make_row, scoring_of

LABELS = ("Dental Caries", "Pulp Diseases", "Bone Loss", "Cyst")


def scored(
    task: TaskType, protocol: str, rows: list[Row], weights: np.ndarray | None = None, measure: int = 0
) -> float:
    statistic = scoring_of(task, protocol, measure).statistic(rows)
    if weights is None:
        return score_of(statistic, len(rows))
    return float(statistic.scores(weights[None].astype(float))[0])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("protocol", ["flare25", "flare26"])
def test_balanced_accuracy_also_with_weights(seed: int, protocol: str) -> None:
    rng = np.random.default_rng(seed)
    truth, said = rng.choice(list("ABCD"), 40), rng.choice(list("ABCDE"), 40)
    weights = rng.integers(0, 4, 40)
    rows = [make_row(TaskType.CLASSIFICATION, str(s), str(t)) for t, s in zip(truth, said, strict=True)]
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert scored(TaskType.CLASSIFICATION, protocol, rows) == pytest.approx(balanced_accuracy_score(truth, said))
    kept = weights > 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = balanced_accuracy_score(truth[kept], said[kept], sample_weight=weights[kept])
    assert scored(TaskType.CLASSIFICATION, protocol, rows, weights) == pytest.approx(expected)


def test_accuracy() -> None:
    rng = np.random.default_rng(1)
    truth, said = rng.choice(list("AAAB"), 60), rng.choice(list("AB"), 60)
    rows = [make_row(TaskType.CLASSIFICATION, str(s), str(t)) for t, s in zip(truth, said, strict=True)]
    assert scored(TaskType.CLASSIFICATION, "macro", rows, measure=1) == pytest.approx(accuracy_score(truth, said))


@pytest.mark.parametrize("seed", range(20))
def test_label_f1_pooled_and_by_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, said = (rng.random((15, 4)) < 0.5 for _ in range(2))
    truth[:, 0] |= ~truth.any(axis=1)  # each row says something, see the next test

    def text(chosen: np.ndarray) -> str:
        return "; ".join(label for label, one in zip(LABELS, chosen, strict=True) if one)

    rows = [make_row(TaskType.MULTI_LABEL, text(s), text(t)) for t, s in zip(truth, said, strict=True)]
    assert scored(TaskType.MULTI_LABEL, "flare25", rows) == pytest.approx(f1_score(truth, said, average="micro"))
    by_rows = f1_score(truth, said, average="samples", zero_division=0)
    assert scored(TaskType.MULTI_LABEL, "flare26", rows) == pytest.approx(by_rows)


def test_two_empty_label_sets_agree_for_the_challenge_and_not_for_sklearn() -> None:
    rows = [make_row(TaskType.MULTI_LABEL, "None", "None"), make_row(TaskType.MULTI_LABEL, LABELS[0], LABELS[0])]
    sets = MultiLabelBinarizer(classes=LABELS).fit_transform([[], [LABELS[0]]])
    assert scored(TaskType.MULTI_LABEL, "flare26", rows) == 1
    assert f1_score(sets, sets, average="samples", zero_division=0) == 0.5


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("protocol", ["flare25", "flare26"])
def test_errors(seed: int, protocol: str) -> None:
    rng = np.random.default_rng(seed)
    truth, said = rng.integers(0, 300, 25), rng.integers(0, 300, 25)
    rows = [make_row(TaskType.COUNTING, str(s), str(t)) for t, s in zip(truth, said, strict=True)]
    for place, theirs in enumerate((mean_absolute_error, root_mean_squared_error, median_absolute_error)):
        assert scored(TaskType.COUNTING, protocol, rows, measure=place) == pytest.approx(theirs(truth, said))
