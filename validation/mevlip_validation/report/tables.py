"""The report's tables: what analysis found, in words and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

from mevlip.answers import STAGES
from mevlip.core.text import visible
from mevlip.tasks import GENERALIST, NO_ADAPTER, TASKS, adapter_names
from mevlip_validation import analysis, disagreements
from mevlip_validation.analysis import Correctness, Flips, IdentityConfusion, QuestionResult, Slice
from mevlip_validation.disagreements import Cause, Disagreement
from mevlip_validation.matching import Matched
from mevlip_validation.output import number, show

_MOST_CLASSES = 16
"""Wider confusion tables are left to the CSV file."""
_EXAMPLES = 5
"""Questions that are listed for each cause of a disagreement."""

Table = tuple[Sequence[str], Sequence[Sequence[str]]]


def left_over(matched: Matched) -> list[tuple[str, int, str]]:
    """What could not be matched: kind, number, the first ten places."""
    kinds = {
        "questions without a prediction": matched.missing,
        "predictions that repeat a question": matched.duplicates,
        "predictions that answer no question of the truth": matched.surplus,
        "questions without an answer or a known task in the truth": matched.unscored,
    }
    return [(kind, len(places), ", ".join(places[:10])) for kind, places in kinds.items() if places]


def slices_table(slices: Sequence[Slice]) -> Table:
    """Score with its interval, and results, by task, modality and data set."""
    rows = [
        (TASKS[one.task].title, one.modality, one.dataset, str(one.questions), show(one.estimate),
         *(str(one.correctness[kind]) for kind in Correctness))
        for one in slices
    ]  # fmt: skip
    return (
        "task",
        "modality",
        "data set",
        "questions",
        "score, 95 % interval",
        *(kind.value for kind in Correctness),
    ), rows


def confusion_tables(results: Sequence[QuestionResult]) -> list[dict[str, Any]]:
    """For each data set the classes, and for each true class a row of counts with their share of the row."""
    found = []
    for dataset, counts in analysis.confusions(results).items():
        targets = sorted({target for target, _ in counts})
        classes = sorted({label for pair in counts for label in pair})
        if len(classes) > _MOST_CLASSES:
            found.append({"dataset": dataset, "classes": len(classes), "rows": [], "header": []})
            continue
        rows = [
            (visible(target, 40), _cells([counts[target, other] for other in classes], [target == c for c in classes]))
            for target in targets
        ]
        found.append(
            {"dataset": dataset, "classes": len(classes), "header": [visible(c, 24) for c in classes], "rows": rows}
        )
    return found


def _cells(counts: Sequence[int], right: Sequence[bool]) -> list[tuple[int, float, bool]]:
    """Cells of a row of a confusion matrix: count, share of the row, whether it is right."""
    total = max(sum(counts), 1)
    return [(count, count / total, is_right) for count, is_right in zip(counts, right, strict=True)]


def routing_table(results: Sequence[QuestionResult]) -> Table | None:
    """Adapter that answered by declared task; None where that is not known."""
    counts = analysis.routings(results)
    if not counts:
        return None
    adapters = [name for name in (*adapter_names(), NO_ADAPTER) if any(adapter == name for _, adapter in counts)]
    rows = [
        (task.title, *(str(counts[task.type, adapter]) for adapter in adapters))
        for task in TASKS.values()
        if any(one is task.type for one, _ in counts)
    ]
    names = {GENERALIST: "generalist", NO_ADAPTER: "no adapter"}
    return ("declared task", *(names.get(name, name) for name in adapters)), rows


def stages_table(results: Sequence[QuestionResult]) -> Table:
    """How the answers of each task were parsed."""
    rows = [
        (TASKS[task].title, *(str(counts[stage]) for stage in STAGES))
        for task, counts in analysis.stages(results).items()
    ]
    return ("task", *STAGES), rows


def empties_table(results: Sequence[QuestionResult]) -> Table:
    """Empty answers and zeros of each task."""
    rows = [
        (TASKS[task].title, str(questions), str(empty), f"{100 * empty / questions:.1f} %", str(true))
        for task, (questions, empty, true) in analysis.empties(results).items()
    ]
    return ("task", "questions", "empty or zero", "share", "correct"), rows


def worst_tables(results: Sequence[QuestionResult]) -> list[tuple[str, Table]]:
    """The worst questions of each task."""
    header = ("question", "image", "target", "prediction", "points", "error")
    return [
        (TASKS[task].title, (header, list(map(_worst_row, found)))) for task, found in analysis.worst(results).items()
    ]


def _worst_row(one: QuestionResult) -> tuple[str, ...]:
    row = one.row
    texts = (visible(", ".join(row.images), 50), visible(row.target, 60), visible(row.prediction or "", 60))
    return (row.place, *texts, number(one.points), "" if one.error is None else number(one.error))


def chromosome_table(found: IdentityConfusion) -> dict[str, Any]:
    """A row for each true identity and one of spurious boxes; cells are as those of classes."""
    names = analysis.IDENTITIES
    rows = []
    for true in names:
        row = [*(found.pairs[true, other] for other in names), found.missed[true]]
        total = max(sum(row), 1)
        rows.append(
            (true, [(count, count / total, true == other) for count, other in zip(row, (*names, ""), strict=True)])
        )
    total = max(found.spurious.total(), 1)
    spurious = [(found.spurious[name], found.spurious[name] / total, False) for name in names]
    boxes = found.pairs.total() + found.missed.total()
    return {
        "header": (*names, "missed"),
        "rows": [*rows, ("spurious", spurious)],
        "summary": (
            f"{boxes} true boxes: {found.pairs.total()} found, {found.right} of them with their identity, "
            f"{found.missed.total()} missed; {found.spurious.total()} predicted boxes lie on none."
        ),
    }


def flips_table(flips: Sequence[Flips]) -> Table:
    """Questions that two systems answer right together, alone, or not at all."""
    header = ("task", "both right", "right here only", "right there only", "neither right")
    return header, [(TASKS[one.task].title, *map(str, (one.both, one.here, one.there, one.neither))) for one in flips]


def cause_table(found: Sequence[Disagreement]) -> Table:
    """How often each cause of a disagreement is there, the most frequent first."""
    rows = [(cause_name(cause), str(count), cause.value) for cause, count in disagreements.counts(found).most_common()]
    return ("cause", "questions", "why"), rows


def disagreement_table(found: Sequence[Disagreement]) -> Table:
    """The first questions of each cause, with what each protocol makes of them."""
    protocols = list(dict.fromkeys(protocol for one in found for protocol in one.scores))
    rows = [
        (one.row.place, cause_name(cause), visible(one.row.target, 60), visible(one.row.prediction or "", 60),
         *(_own(one.scores, protocol) for protocol in protocols))
        for cause, _ in disagreements.counts(found).most_common()
        for one in [one for one in found if one.cause is cause][:_EXAMPLES]
    ]  # fmt: skip
    return ("question", "cause", "target", "prediction", *protocols), rows


def cause_name(cause: Cause) -> str:
    """A cause in few words."""
    return cause.name.lower().replace("_", " ")


def _own(scores: Mapping[str, float], protocol: str) -> str:
    if protocol not in scores:
        return "-"
    return "left out" if isnan(scores[protocol]) else number(scores[protocol])
