from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from mevlip.tasks import TASKS, TaskType
from mevlip_training.calibration import (
    CALIBRATION_NAME,
    TEMPERATURES,
    THRESHOLDS,
    SweepRow,
    calibrate,
    choose_threshold,
    fit_temperature,
    plot_reliability,
    sweep_thresholds,
    write_calibration,
)
from mevlip_training.router import default_settings

TYPES = list(TASKS)


def scores(rows: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too large for the labels drawn from them."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(0, 2, (rows, len(TYPES)))
    chances = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    return temperature * honest, np.array([rng.choice(len(TYPES), p=row) for row in chances])


@pytest.mark.parametrize("temperature", [0.7, 1.0, 3.0])
def test_the_temperature_that_spoilt_the_scores_is_found(temperature: float) -> None:
    logits, index = scores(4000, temperature)
    assert fit_temperature(logits, index) == pytest.approx(temperature, rel=0.1)


def test_separable_scores_keep_the_temperature_within_its_bounds() -> None:
    index = np.arange(70) % 7
    assert fit_temperature(np.eye(7)[index], index) == pytest.approx(TEMPERATURES[0], abs=0.001)
    assert fit_temperature(-np.eye(7)[index], index) == pytest.approx(TEMPERATURES[1], abs=0.01)


def test_being_sure_of_an_off_topic_text_raises_the_temperature() -> None:
    index = np.arange(70) % 7
    logits = 8 * np.eye(7)[index]
    sure_of_nonsense = np.vstack([logits, 6 * np.eye(7)])
    alone = fit_temperature(logits, index)
    assert fit_temperature(sure_of_nonsense, np.append(index, [-1] * 7)) > 2 * alone


def test_a_confidence_at_the_threshold_is_kept() -> None:
    rows = {row.threshold: row for row in sweep_thresholds(np.array([0.5]), np.array([True]), np.array([0.5]))}
    assert rows[0.5].coverage == 1
    assert rows[0.5].off_topic_below == 0
    assert rows[0.55].coverage == 0
    assert rows[0.55].off_topic_below == 1


def test_the_threshold_with_the_best_balance_wins() -> None:
    right = np.array([True, True, True, False])
    sweep = sweep_thresholds(np.array([0.9, 0.8, 0.62, 0.99]), right, np.array([0.3, 0.35, 0.5]))
    assert choose_threshold(sweep, 4, 3).threshold == 0.55
    assert choose_threshold(sweep, 4, 3).kept_right == 0.75


def test_a_difference_within_one_standard_error_does_not_move_the_threshold() -> None:
    rows = [SweepRow(0.3, 1.0, 1.0, 0.96, 0.90), SweepRow(0.9, 1.0, 1.0, 0.95, 0.93)]
    assert choose_threshold(rows, 100, 100).threshold == 0.3
    assert choose_threshold(rows, 10_000, 10_000).threshold == 0.9


def test_ties_go_to_the_released_threshold() -> None:
    rows = [SweepRow(t, 1.0, 1.0, 1.0, 1.0) for t in THRESHOLDS]
    assert choose_threshold(rows, 9, 9).threshold == 0.3
    assert choose_threshold(rows[6:], 9, 9).threshold == 0.35
    assert choose_threshold([rows[3], rows[7]], 9, 9).threshold == 0.2


def test_a_calibration_is_written_with_all_its_figures(tmp_path: Path) -> None:
    logits, index = scores(200, 2.0)
    targets: list[TaskType | None] = [TYPES[i] for i in index]
    calibration = calibrate(np.vstack([logits, np.zeros((20, 7))]), targets + [None] * 20)
    assert (calibration.questions, calibration.off_topic) == (200, 20)
    assert calibration.interval[0] < calibration.accuracy < calibration.interval[1]
    assert sum(total for _, total in calibration.by_task.values()) == 200
    assert sum(one.count for one in calibration.bins) == 200
    assert calibration.error < calibration.error_before
    assert calibration.threshold > 1 / 7
    content = json.loads(write_calibration(calibration, tmp_path).read_text())
    assert [path.name for path in tmp_path.iterdir()] == [CALIBRATION_NAME]
    assert len(content["sweep"]) == len(THRESHOLDS)
    assert content["by_task"]["counting"] == list(calibration.by_task[TaskType.COUNTING])
    settings = calibration.apply(default_settings())
    assert (settings.temperature, settings.threshold) == (calibration.temperature, calibration.threshold)
    assert math.isclose(content["temperature"], settings.temperature)


def test_a_calibration_needs_questions() -> None:
    with pytest.raises(ValueError, match="seven tasks"):
        calibrate(np.zeros((2, 7)), [None, None])


def test_without_off_topic_texts_all_of_none_are_below() -> None:
    logits, index = scores(50, 1.0)
    assert {row.off_topic_below for row in calibrate(logits, [TYPES[i] for i in index]).sweep} == {1.0}


def test_without_matplotlib_no_plot_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    logits, index = scores(50, 1.0)
    assert plot_reliability(calibrate(logits, [TYPES[i] for i in index]), tmp_path / "plots") == ()
    assert not (tmp_path / "plots").exists()


@pytest.mark.slow
def test_the_plot_is_the_same_file_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the report extra is not installed")
    logits, index = scores(50, 1.0)
    calibration = calibrate(logits, [TYPES[i] for i in index])
    first, second = (plot_reliability(calibration, tmp_path / name) for name in ("a", "b"))
    assert [path.name for path in first] == ["reliability.png", "reliability.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
