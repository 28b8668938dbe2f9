"""What attacks came to, as tables, CSV, JSON and a figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mevlip.core.files import atomic_file
from mevlip.core.tables import table, write_csv
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.attacks.running import Attacks
from mevlip_validation.bootstrap import Bootstrap
from mevlip_validation.comparison import Contest
from mevlip_validation.defaults import REFERENCE, RESAMPLES, SEED
from mevlip_validation.intervals import Estimate, estimate
from mevlip_validation.metrics import Measure, metrics_of
from mevlip_validation.output import number, plain_estimate, show, write_json
from mevlip_validation.score import applicable
from mevlip_validation.statistics import Aggregate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SAME = 1e-9
"""Differences of losses that are rounding."""
HEADER = ("task", "questions", "epsilon", "loss", "measure", "score", "change")
TARGET_HEADER = (*HEADER, "target answered")


@dataclass(frozen=True)
class Point:
    """The questions of one task at one strength.

    Attributes:
        task: The task.
        questions: Their number.
        epsilon: The strength; 0 for the clean pictures.
        loss: The mean loss of the answer that is attacked.
        measure: The task's measure.
        score: What it gives.
        gain: By how much that is better than on the clean pictures, from the same resamples of both.
        target: The share of questions answered as aimed at; None where nothing is.
    """

    task: TaskType
    questions: int
    epsilon: int
    loss: Estimate
    measure: Measure
    score: Estimate
    gain: Estimate
    target: float | None


def summarize(attacks: Attacks, resamples: int = RESAMPLES, seed: int = SEED) -> list[Point]:
    """Loss and score of each task at each strength, with intervals from a bootstrap over images.

    Args:
        attacks: The attacks.
        resamples: Number of bootstrap resamples.
        seed: Random seed.
    """
    clean = attacks.rows[0]
    found = []
    for task, measure, scoring, places in applicable(clean):
        if scoring.protocol != REFERENCE or measure != metrics_of(task).main:
            continue
        bootstrap = Bootstrap([clean[place].cluster for place in places], resamples, seed)
        names = dict(zip(map(str, attacks.strengths), attacks.rows, strict=True))
        rows = {name: [own[place] for place in places] for name, own in names.items()}
        contest = Contest.of(task, measure, scoring, None, rows, bootstrap)
        mine = [attacks.questions[place] for place in places]
        for at, (epsilon, own) in enumerate(zip(attacks.strengths, rows.values(), strict=True)):
            loss = estimate(bootstrap, Aggregate(tuple(one.losses[at] for one in mine)), "error")
            score = estimate(bootstrap, scoring.statistic(own), measure.scale)
            gain = contest.compare(scoring, ("0", str(epsilon))).gain
            target = float(np.mean([one.answers[at] == one.goal for one in mine])) if attacks.plan.targeted else None
            found.append(Point(task, len(mine), epsilon, loss, measure, score, gain, target))
    return found


def shares(attacks: Attacks) -> tuple[float, float]:
    """Of how many questions the loss never turns back as epsilon grows, and of how many it always goes on.

    Turning back is falling, or rising where another option is aimed at.
    """
    losses = np.array([one.losses for one in attacks.questions])
    steps = np.diff(losses, axis=1) * (-1 if attacks.plan.targeted else 1)
    return float((steps >= -_SAME).all(axis=1).mean()), float((steps > _SAME).all(axis=1).mean())


def render(attacks: Attacks, points: Sequence[Point]) -> str:
    """The table, and what the losses did."""
    never, always = shares(attacks)
    word = "falls" if attacks.plan.targeted else "rises"
    other = "rises" if attacks.plan.targeted else "falls"
    header = TARGET_HEADER if attacks.plan.targeted else HEADER
    lines = [
        table(header, map(_row, points)),
        f"From one epsilon to the next the loss never {other} on {never:.1%} of {len(attacks.questions)} questions, "
        f"and always {word} on {always:.1%}.",
    ]
    return "\n".join([*lines, *(f"not attacked: {line}" for line in attacks.skipped)])


def write_all(attacks: Attacks, points: Sequence[Point], about: dict[str, Any], folder: Path) -> None:
    """Writes attack.csv, questions.csv, attack.json, attack.svg and a strip for each task.

    Args:
        attacks: The attacks.
        points: Their summary.
        about: What was attacked, such as the checkpoint, for attack.json.
        folder: Where to.

    Raises:
        EnvironmentProblem: A file cannot be written.
    """
    write_csv(folder / "attack.csv", ("task", "questions", "epsilon", "measure", *_ESTIMATES, "target"), _csv(points))
    header = ("place", "task", "adapter", "goal", "epsilon", "loss", "answer")
    write_csv(folder / "questions.csv", header, _question_rows(attacks))
    never, always = shares(attacks)
    content = {
        **about,
        "plan": asdict(attacks.plan),
        "questions": len(attacks.questions),
        "skipped": list(attacks.skipped),
        "loss_never_turns_back": never,
        "loss_always_goes_on": always,
        "points": [_as_json(point) for point in points],
    }
    write_json(content, folder / "attack.json")
    for task, strip in attacks.strips.items():
        with atomic_file(folder / f"{task}.png") as draft:
            strip.save(draft, "PNG")
    from matplotlib import rc_context

    from mevlip_validation.report.charts import STEADY

    with rc_context(STEADY), atomic_file(folder / "attack.svg") as draft:
        _draw(attacks, points).savefig(draft, format="svg", metadata={"Date": None, "Creator": None})


def _draw(attacks: Attacks, points: Sequence[Point]) -> Figure:
    """A column for each task: its score over epsilon, and below it the loss; bars are 95 % intervals."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(point.task for point in points))
    figure = Figure(figsize=(2.6 * len(tasks) + 0.6, 4.6), layout="constrained")
    panels = figure.subplots(2, len(tasks), squeeze=False, sharex=True)
    for column, task in enumerate(tasks):
        mine = [point for point in points if point.task is task]
        upper, lower = panels[0][column], panels[1][column]
        for axes, estimates in ((upper, [one.score for one in mine]), (lower, [one.loss for one in mine])):
            for point, one in zip(mine, estimates, strict=True):
                axes.plot([point.epsilon] * 2, [one.low, one.high], color="C0", alpha=0.5)
            axes.plot([point.epsilon for point in mine], [one.value for one in estimates], "o-", color="C0")
            axes.grid(alpha=0.3)
        upper.set_title(f"{TASKS[task].title}\n{mine[0].measure.name}, {mine[0].questions} questions", fontsize=8)
        if mine[0].measure.scale == "share":
            upper.set_ylim(-0.02, 1.02)
        lower.set_xlabel("epsilon / 255")
    panels[0][0].set_ylabel("score")
    panels[1][0].set_ylabel("loss of the target" if attacks.plan.targeted else "loss of the true answer")
    figure.suptitle(f"{attacks.plan.method.upper()}, {attacks.plan.system}", fontsize=9)
    return figure


_ESTIMATES = ("loss", "loss_low", "loss_high", "score", "score_low", "score_high", "gain", "gain_low", "gain_high")


def _row(point: Point) -> tuple[object, ...]:
    cells = (
        TASKS[point.task].title, point.questions, point.epsilon, show(point.loss), point.measure.name,
        show(point.score), show(point.gain, signed=True) if point.epsilon else "",
    )  # fmt: skip
    return cells if point.target is None else (*cells, number(point.target))


def _csv(points: Sequence[Point]) -> Iterator[tuple[object, ...]]:
    for point in points:
        values = [value for one in (point.loss, point.score, point.gain) for value in asdict(one).values()]
        target = "" if point.target is None else f"{point.target:.6g}"
        numbers = ("" if np.isnan(value) else f"{value:.6g}" for value in values)
        yield point.task.value, point.questions, point.epsilon, point.measure.name, *numbers, target


def _question_rows(attacks: Attacks) -> Iterator[tuple[object, ...]]:
    for one in attacks.questions:
        for epsilon, loss, answer in zip(attacks.strengths, one.losses, one.answers, strict=True):
            yield one.place, one.task.value, one.adapter, one.goal, epsilon, f"{loss:.6g}", answer


def _as_json(point: Point) -> dict[str, Any]:
    return {
        "task": point.task.value,
        "questions": point.questions,
        "epsilon": point.epsilon,
        "measure": point.measure.name,
        "better": point.measure.direction,
        **{name: plain_estimate(getattr(point, name)) for name in ("loss", "score", "gain")},
        "target": point.target,
    }
