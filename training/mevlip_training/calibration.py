"""Calibrating a router: the temperature and threshold of its router.json, and how far they can be trusted.

Everything is computed on wordings that training never saw. Two numbers are fitted to hundreds of questions, so the
figures reported for the same questions are hardly flattered by it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mevlip.routing.router import RouterSettings, input_pipeline, score_texts
from mevlip.tasks import TASKS, TaskType
from mevlip_training.off_topic import OFF_TOPIC_SHARE
from mevlip_validation.calibration import (
    BINS,
    Floats,
    ReliabilityBin,
    expected_calibration_error,
    reliability,
    wilson_interval,
)

CALIBRATION_NAME = "calibration.json"
TEMPERATURES = (0.5, 10.0)
"""Bounds of the temperature: where every held-out question is right, the likelihood alone would drive it to 0."""
RELEASED_THRESHOLD = 0.3
"""The threshold of the authors' released code, which breaks ties."""
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SweepRow:
    """What one threshold would do. All but the first are shares, 0 to 1.

    Attributes:
        threshold: Least confidence for a task's own adapter.
        coverage: In-topic questions at or above it.
        accuracy: Right ones among those; 1 where there are none.
        kept_right: In-topic questions that are both at or above it and right.
        off_topic_below: Off-topic texts below it, which the generalist answers; 1 where there are none.
    """

    threshold: float
    coverage: float
    accuracy: float
    kept_right: float
    off_topic_below: float

    @property
    def balance(self) -> float:
        """What the chosen threshold has nearly most of: `kept_right` + `off_topic_below`."""
        return self.kept_right + self.off_topic_below


@dataclass(frozen=True)
class Calibration:
    """A router's calibration on held-out wordings.

    Attributes:
        questions: In-topic questions measured.
        off_topic: Off-topic texts measured.
        accuracy: Share of the questions whose likeliest task is right.
        interval: Its 95 % Wilson interval.
        by_task: Right answers and questions of each task.
        temperature: Fitted temperature.
        threshold: Chosen threshold.
        error_before: Expected calibration error at temperature 1.
        error: Expected calibration error at the fitted temperature.
        bins: The reliability diagram's bins, at the fitted temperature.
        sweep: What each threshold would do, at the fitted temperature.
    """

    questions: int
    off_topic: int
    accuracy: float
    interval: tuple[float, float]
    by_task: dict[TaskType, tuple[int, int]]
    temperature: float
    threshold: float
    error_before: float
    error: float
    bins: tuple[ReliabilityBin, ...]
    sweep: tuple[SweepRow, ...]

    @property
    def chosen(self) -> SweepRow:
        """The sweep's row of the chosen threshold."""
        return next(row for row in self.sweep if row.threshold == self.threshold)

    @property
    def macro_recall(self) -> float:
        """The mean of the measured tasks' recalls."""
        return sum(right / total for right, total in self.by_task.values()) / len(self.by_task)

    @property
    def summary(self) -> str:
        """The figures in one line."""
        low, high = self.interval
        return (
            f"accuracy {self.accuracy:.3f} ({low:.3f} to {high:.3f}), macro recall {self.macro_recall:.3f} "
            f"on {self.questions} questions, temperature "
            f"{self.temperature:g}, threshold {self.threshold:g}: {self.chosen.coverage:.3f} of them kept, "
            f"{self.chosen.off_topic_below:.3f} of {self.off_topic} off-topic texts below it, "
            f"calibration error {self.error:.3f}"
        )

    def apply(self, settings: RouterSettings) -> RouterSettings:
        """The settings with this calibration's temperature and threshold."""
        return settings.model_copy(update={"temperature": self.temperature, "threshold": self.threshold})


def router_logits(
    model: Any,
    tokenizer: Any,
    settings: RouterSettings,
    texts: Sequence[str],
    device: str = "cpu",
    batch_size: int = 32,
) -> Floats:
    """The raw scores that `mevlip.routing.router.Router` divides by the temperature.

    Returns:
        Logits of shape (texts, tasks), columns in the order of `settings.labels`.
    """
    pipeline = input_pipeline(model.eval(), tokenizer, settings, device)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # neighbors of like length waste least padding
    logits = np.zeros((len(texts), len(settings.labels)))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        logits[rows] = score_texts(pipeline, settings, [texts[i] for i in rows]).cpu().numpy()
    return logits


def calibrate(
    logits: Floats, targets: Sequence[TaskType | None], tasks: Sequence[TaskType] = tuple(TASKS)
) -> Calibration:
    """Fits the temperature, then chooses the threshold.

    Args:
        logits: Scores of shape (texts, tasks) for held-out questions and off-topic texts.
        targets: The right task of each row; None marks an off-topic text.
        tasks: What the columns stand for.

    Raises:
        ValueError: There is no in-topic row.
    """
    index = np.array([-1 if target is None else list(tasks).index(target) for target in targets], dtype=np.int64)
    if not (index >= 0).any():
        raise ValueError("a calibration needs questions of the seven tasks")
    temperature = fit_temperature(logits, index)
    confidence, right = _judged(logits, index, temperature)
    in_topic = index >= 0
    kept, correct = confidence[in_topic], right[in_topic]
    sweep = sweep_thresholds(kept, correct, confidence[~in_topic])
    bins = reliability(kept, correct)
    before = reliability(_judged(logits, index, 1.0)[0][in_topic], correct)
    return Calibration(
        questions=len(kept),
        off_topic=int((~in_topic).sum()),
        accuracy=float(correct.mean()),
        interval=wilson_interval(int(correct.sum()), len(kept)),
        by_task={
            task: (int(right[index == i].sum()), int((index == i).sum()))
            for i, task in enumerate(tasks)
            if (index == i).any()
        },
        temperature=temperature,
        threshold=choose_threshold(sweep, len(kept), int((~in_topic).sum())).threshold,
        error_before=expected_calibration_error(before),
        error=expected_calibration_error(bins),
        bins=bins,
        sweep=sweep,
    )


def fit_temperature(logits: Floats, index: Indices) -> float:
    """Finds the temperature of the least negative log-likelihood (Guo et al. 2017, temperature scaling).

    An off-topic row's target is the uniform distribution, so that being sure of any task costs; together such rows
    weigh `OFF_TOPIC_SHARE`, their share in training. The loss is convex in 1 / temperature, hence a bracketing search.

    Args:
        logits: Scores of shape (rows, tasks).
        index: The right column of each row, or -1 for off-topic.

    Returns:
        The temperature, within `TEMPERATURES`, to four digits.
    """
    low, high = (math.log(bound) for bound in TEMPERATURES)
    shrink = (math.sqrt(5) - 1) / 2  # golden section (Kiefer 1953)
    for _ in range(60):
        left, right = high - shrink * (high - low), low + shrink * (high - low)
        if _loss(logits, index, math.exp(left)) <= _loss(logits, index, math.exp(right)):
            high = right
        else:
            low = left
    return round(math.exp((low + high) / 2), 4)


def _loss(logits: Floats, index: Indices, temperature: float) -> float:
    log_p = _log_softmax(logits / temperature)
    in_topic = index >= 0
    known = -log_p[in_topic, index[in_topic]].mean() if in_topic.any() else 0.0
    if in_topic.all():
        return float(known)
    return float((1 - OFF_TOPIC_SHARE) * known - OFF_TOPIC_SHARE * log_p[~in_topic].mean())


def _log_softmax(scores: Floats) -> Floats:
    shifted = scores - scores.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _judged(logits: Floats, index: Indices, temperature: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Confidence of each row's likeliest task, and whether it is the right one."""
    return np.exp(_log_softmax(logits / temperature).max(axis=1)), logits.argmax(axis=1) == index


def sweep_thresholds(confidence: Floats, right: npt.NDArray[np.bool_], off_topic: Floats) -> tuple[SweepRow, ...]:
    """What each threshold of `THRESHOLDS` would do.

    Args:
        confidence: Of each in-topic question.
        right: Whether its likeliest task is the right one.
        off_topic: Confidence of each off-topic text.
    """
    rows = []
    for threshold in THRESHOLDS:
        kept = confidence >= threshold
        rows.append(
            SweepRow(
                threshold=threshold,
                coverage=float(kept.mean()),
                accuracy=float(right[kept].mean()) if kept.any() else 1.0,
                kept_right=float((kept & right).mean()),
                off_topic_below=float((off_topic < threshold).mean()) if len(off_topic) else 1.0,
            )
        )
    return tuple(rows)


def choose_threshold(sweep: Sequence[SweepRow], questions: int, off_topic: int) -> SweepRow:
    """Of the rows whose balance is within one standard error of the best, the one nearest to the released threshold.

    A sweep is flat around its top, where one text more or less would decide. The rule of one standard error (Breiman
    et al. 1984, for pruning trees) takes the value closest to what is known to work.

    Args:
        sweep: The thresholds that were tried.
        questions: Number of in-topic questions, at least one.
        off_topic: Number of off-topic texts.
    """
    best = max(sweep, key=lambda row: row.balance)
    shares = ((best.kept_right, questions), (best.off_topic_below, max(off_topic, 1)))
    error = math.sqrt(sum(share * (1 - share) / count for share, count in shares))
    good = [row for row in sweep if row.balance >= best.balance - error - 1e-9]
    return min(good, key=lambda row: (abs(row.threshold - RELEASED_THRESHOLD), row.threshold))


def write_calibration(calibration: Calibration, folder: Path) -> Path:
    """Writes all figures as calibration.json beside router.json; the predictor does not need the file."""
    content = asdict(calibration)
    content["by_task"] = {task.value: list(counts) for task, counts in calibration.by_task.items()}
    path = folder / CALIBRATION_NAME
    path.write_text(json.dumps(_rounded(content), indent=1) + "\n", "utf-8")
    return path


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def plot_reliability(calibration: Calibration, folder: Path) -> tuple[Path, ...]:
    """Draws the reliability diagram as reliability.png and reliability.svg.

    Returns:
        The files written; none where matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        return ()
    # A fixed salt and no date make the same figures the same file.
    with rc_context({"svg.hashsalt": "mevlip"}):
        figure = Figure(figsize=(4.5, 4.5), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="perfect")
        for one in calibration.bins:
            axes.bar(one.low, one.accuracy, 1 / BINS, align="edge", color="tab:blue", alpha=0.6, edgecolor="white")
            axes.annotate(f"n={one.count}", (one.low + 0.5 / BINS, 0.01), ha="center", fontsize=7)
        axes.plot(
            [b.confidence for b in calibration.bins], [b.accuracy for b in calibration.bins], "o-", color="black",
            markersize=4, label="router",
        )  # fmt: skip
        axes.axvline(calibration.threshold, color="tab:red", linewidth=1, label=f"threshold {calibration.threshold:g}")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
        axes.set_title(f"{calibration.questions} held-out questions, calibration error {calibration.error:.3f}", size=9)
        axes.legend(loc="upper left", fontsize=8)
        paths = (folder / "reliability.png", folder / "reliability.svg")
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(paths[0], dpi=150, metadata={"Software": None})
        figure.savefig(paths[1], metadata={"Date": None})
    return paths
