"""Scores as tables for people, and as JSON and CSV for other programs."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mevlip.answers import STAGES
from mevlip.core.files import write_text_atomically
from mevlip.core.tables import table, write_csv
from mevlip.core.text import visible
from mevlip.tasks import TASKS
from mevlip_validation.analysis import QuestionResult
from mevlip_validation.conventions import Convention, Reading
from mevlip_validation.defaults import REFERENCE
from mevlip_validation.intervals import Estimate
from mevlip_validation.matching import Matched
from mevlip_validation.metrics import Measure, metrics_of
from mevlip_validation.protocols import Scoring, scorings, shown_protocols
from mevlip_validation.rewordings import Stability
from mevlip_validation.score import Score

NOT_RUN = "not run"
NONE = "-"


def score_rows(
    scores: Sequence[Score], main_only: bool = True, first: str = ""
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of the score table: one row for each task's measure, one column for each protocol.

    Args:
        scores: The scores.
        main_only: Whether to leave out all but the task's first measure and the judgments that are always named.
        first: The protocol whose column comes first.
    """
    others = list(dict.fromkeys(name for one in scores for name in one.others))
    names = shown_protocols(first)
    header = ("task", "questions", "measure", *names, *(cell for other in others for cell in (other, "gain")))
    rows = []
    for task in dict.fromkeys(one.task for one in scores):
        for index, measure in enumerate(metrics_of(task).measures):
            mine = {one.scoring.protocol: one for one in scores if (one.task, one.measure) == (task, measure)}
            if main_only and index and not measure.in_summary:
                continue
            # What a protocol knows is scored, unless it is a judgment that no model was asked for.
            absent = {scoring.protocol: NOT_RUN for scoring in scorings(task, measure)}
            cells = [show(mine[name].estimate) if name in mine else absent.get(name, NONE) for name in names]
            beside = [cell for other in others for cell in _beside(mine, other)]
            # FLARE 2026 pools detection with instance detection; the table shows the number of the task's own rows.
            questions = str(min(one.questions for one in mine.values())) if mine else ""
            rows.append((TASKS[task].title, questions, measure.name, *cells, *beside))
    return header, rows


def render_scores(scores: Sequence[Score], first: str = "") -> str:
    """The score table for the terminal, and what stands behind scores of several tasks together."""
    return "\n".join([table(*score_rows(scores, first=first)), *part_lines(scores)])


def part_lines(scores: Sequence[Score]) -> list[str]:
    """A line for each first measure of several tasks together: what each of them scores alone."""
    return [
        f"{one.scoring.protocol} scores {TASKS[one.task].title} together with other tasks: "
        + ", ".join(f"{TASKS[task].title} alone {number(value)}" for task, value in one.parts.items())
        for one in scores
        if one.is_main and one.parts
    ]


def render_datasets(found: Mapping[str, Sequence[Score]]) -> str:
    """Scores of data sets for the terminal."""
    rows = [
        (name, TASKS[one.task].title, str(one.questions), one.measure.name, show(one.estimate))
        for name, scores in found.items()
        for one in scores
    ]
    return table(("data set", "task", "questions", "measure", "score"), rows)


def render_heavy_rows(scores: Sequence[Score]) -> list[str]:
    """One line for each row on which a task's mean error depends, naming the protocols."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in scores:
        if one.is_main and one.heavy_row:
            key = TASKS[one.task].title, one.heavy_row.place
            found.setdefault(key, []).append(f"{one.heavy_row.share:.0%} ({one.scoring.protocol})")
    return [
        f"{task}: one row, {visible(place)}, makes {', '.join(shares)} of the mean error."
        for (task, place), shares in found.items()
    ]


def render_signatures(scores: Sequence[Score]) -> str:
    """One line for each score that the table shows."""
    main = [one for one in scores if one.is_main or one.measure.in_summary]
    return table(("task", "signature"), [(TASKS[one.task].title, one.scoring.signature) for one in main])


def reading_rows(readings: Sequence[Reading]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of how the answers of each task were read, and how many were rewritten."""
    rows = []
    for task in (task for task in TASKS if any(one.task is task for one in readings)):
        mine = [one for one in readings if one.task is task]
        stages = Counter(one.parsed.stage for one in mine)
        changed = sum(one.given != one.parsed.text for one in mine)
        rows.append((TASKS[task].title, str(len(mine)), *(str(stages[stage]) for stage in STAGES), str(changed)))
    return ("task", "answers", *STAGES, "rewritten"), rows


def convention_rows(found: Sequence[Convention]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of the answers that an evaluator does not read as meant, before or after rewriting."""
    rows: list[tuple[str, ...]] = []
    for one in found:
        numbers = tuple(map(str, (one.answers, one.as_given, one.as_formatted)))
        for reason, (number, first) in one.reasons.items():
            rows.append((one.evaluator, TASKS[one.task].title, *numbers, f"{number}, first {first}: {reason}"))
    return ("evaluator", "task", "answers", "read as meant", "once rewritten", "not as meant"), rows


def stability_rows(found: Sequence[Stability]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of how many answers survive other words, by data set."""
    rows: list[tuple[str, ...]] = [(one.rewording, one.dataset, str(one.questions), show(one.same)) for one in found]
    return ("questions with", "data set", "questions", "same answer"), rows


def stability_as_json(found: Sequence[Stability]) -> list[dict[str, Any]]:
    """One object for each rewording and data set."""
    return [
        {"rewording": one.rewording, "dataset": one.dataset, "questions": one.questions, **plain_estimate(one.same)}
        for one in found
    ]


def show(value: Estimate, signed: bool = False) -> str:
    """A score with its interval."""
    if math.isnan(value.value):
        return NONE
    if math.isnan(value.low):
        return number(value.value, signed)
    return f"{number(value.value, signed)} [{number(value.low, signed)}, {number(value.high, signed)}]"


def number(value: float, signed: bool = False) -> str:
    """Three decimals below ten, else one."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return f"{value:{'+' if signed else ''}}"
    return f"{value:{'+' if signed else ''}.{3 if abs(value) < 10 else 1}f}"


def plain_estimate(estimate: Estimate) -> dict[str, float | str | None]:
    """An estimate as JSON has it."""
    return {name: plain(value) for name, value in asdict(estimate).items()}


def plain(value: float) -> float | str | None:
    """A number as JSON has it: NaN is null, and infinity the text `inf`."""
    return None if math.isnan(value) else ("inf" if value > 0 else "-inf") if math.isinf(value) else round(value, 9)


def signature_of(measure: Measure, scoring: Scoring) -> dict[str, str]:
    """What was computed, as JSON has it."""
    return {
        "measure": measure.name,
        "protocol": scoring.protocol,
        "signature": scoring.signature,
        "better": measure.direction,
    }


def as_json(matched: Matched, scores: Sequence[Score]) -> dict[str, Any]:
    """Everything, for other programs; NaN is null, and infinity the text `inf`."""
    left = {name: list(getattr(matched, name)) for name in ("missing", "duplicates", "surplus", "unscored")}
    return {"questions": len(matched.rows), **left, "scores": scores_as_json(scores)}


def scores_as_json(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """One object for each score."""
    return [
        {
            "task": one.task.value,
            **signature_of(one.measure, one.scoring),
            "questions": one.questions,
            **plain_estimate(one.estimate),
            "heavy_row": _heavy(one),
            "others": {name: plain(value) for name, value in one.others.items()},
            "gains": {name: plain(value) for name, value in one.gains.items()},
            "parts": {task.value: plain(value) for task, value in one.parts.items()},
        }
        for one in scores
    ]


def write_json(content: Any, path: Path) -> None:
    """Writes JSON.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    write_text_atomically(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_questions(results: Sequence[QuestionResult], path: Path) -> None:
    """Writes one line of CSV for each question: its place, target, prediction and result.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    header = ("place", "dataset", "task", "modality", "image", "target", "prediction", "correctness", "points",
              "error", "stage", "adapter", "router_confidence", "probability")  # fmt: skip
    write_csv(path, header, map(_csv_row, results))


def _csv_row(one: QuestionResult) -> tuple[object, ...]:
    row, how = one.row, one.row.explanation
    recorded = (how.adapter, how.router_confidence, how.probability) if how else ("", "", "")
    error = "" if one.error is None else round(one.error, 6)
    return (
        row.place, row.dataset, row.task.value, row.modality, "; ".join(row.images), row.target,
        "" if row.prediction is None else row.prediction, one.correctness.value, round(one.points, 6), error, one.stage,
        *recorded,
    )  # fmt: skip


def _beside(mine: dict[str, Score], name: str) -> tuple[str, str]:
    """What another answer scores under macro, and the gain over it."""
    reference = mine.get(REFERENCE)
    if reference is None or name not in reference.others:
        return NONE, NONE
    return number(reference.others[name]), number(reference.gains[name], signed=True)


def _heavy(one: Score) -> dict[str, Any] | None:
    return {"place": one.heavy_row.place, "share": plain(one.heavy_row.share)} if one.heavy_row else None
