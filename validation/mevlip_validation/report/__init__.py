"""The score report: one HTML file that needs no server, no network and no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mevlip import __version__
from mevlip.answers import STAGES
from mevlip.core.errors import EnvironmentProblem
from mevlip.core.tables import shorten
from mevlip.tasks import GENERALIST, NO_ADAPTER, TASKS, adapter_names
from mevlip_validation.report.gallery import gallery
from mevlip_validation.report.published import TABLE_3
from mevlip_validation.scoring import analysis
from mevlip_validation.scoring.analysis import Judged, Verdict
from mevlip_validation.scoring.output import number, score_rows, write_text
from mevlip_validation.scoring.rows import Matched
from mevlip_validation.scoring.score import Score

_HERE = Path(__file__).parent
_MOST_CLASSES = 16
"""Wider confusion tables are left to the CSV file."""

Table = tuple[Sequence[str], Sequence[Sequence[str]]]


def write_report(
    path: Path,
    title: str,
    root: Path,
    matched: Matched,
    judged: Sequence[Judged],
    scores: Sequence[Score],
    scorers: Mapping[str, str],
) -> int:
    """Writes the report.

    Args:
        path: The HTML file.
        title: What was scored.
        root: The truth's folder, which no image path leaves.
        matched: Truth and predictions.
        judged: Each question's own result.
        scores: The scores.
        scorers: What judged reports, by the scorer's name.

    Returns:
        The file's size in bytes.

    Raises:
        EnvironmentProblem: jinja2 or matplotlib is missing, or the file cannot be written.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        from mevlip_validation.report.charts import draw_charts
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"The report needs {error.name}, which is not installed", "Run: pip install 'me-vlip[report]'"
        ) from error
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = (_HERE / "report.js").read_text("utf-8")
    pictures, content = gallery(judged, root)
    text = environment.get_template("report.html").render(
        title=title,
        version=__version__,
        questions=len(matched.rows),
        left=_left(matched),
        scores=score_rows(scores),
        measures=score_rows(scores, main_only=False),
        signatures=[(TASKS[one.task].title, one.measure.name, one.rule.signature) for one in scores],
        scorers=scorers,
        charts=draw_charts(scores, judged),
        published=TABLE_3,
        slices=_slices(judged),
        confusions=_confusions(judged),
        routing=_routing(judged),
        stages=_stages(judged),
        empties=_empties(judged),
        worst=_worst(judged),
        content=content,
        pictures=pictures,
        tasks=[task.title for task in TASKS.values() if any(one.row.task is task.type for one in judged)],
        datasets=sorted({one.row.dataset for one in judged}),
        verdicts=[verdict.value for verdict in Verdict],
        style=(_HERE / "report.css").read_text("utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_text(text, path)
    return path.stat().st_size


def _left(matched: Matched) -> list[tuple[str, int, str]]:
    """What did not fit: kind, number, the first ten places."""
    kinds = {
        "questions without a prediction": matched.missing,
        "predictions that repeat a question": matched.duplicates,
        "predictions of no known question": matched.surplus,
        "questions without a truth or a known task": matched.unscored,
    }
    return [(kind, len(places), ", ".join(places[:10])) for kind, places in kinds.items() if places]


def _slices(judged: Sequence[Judged]) -> Table:
    rows = [
        (TASKS[one.task].title, one.modality, one.dataset, str(one.questions), number(one.score),
         *(str(one.verdicts[verdict]) for verdict in Verdict))
        for one in analysis.slices(judged)
    ]  # fmt: skip
    return ("task", "modality", "data set", "questions", "score", *(verdict.value for verdict in Verdict)), rows


def _confusions(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """For each data set the classes, and for each true class a row of counts with their share of the row."""
    found = []
    for dataset, counts in analysis.confusions(judged).items():
        truths = sorted({truth for truth, _ in counts})
        classes = sorted({label for pair in counts for label in pair})
        if len(classes) > _MOST_CLASSES:
            found.append({"dataset": dataset, "classes": len(classes), "rows": [], "header": []})
            continue
        rows = []
        for truth in truths:
            total = sum(counts[truth, said] for said in classes)
            cells = [(counts[truth, said], counts[truth, said] / total, truth == said) for said in classes]
            rows.append((shorten(truth, 40), cells))
        found.append(
            {"dataset": dataset, "classes": len(classes), "header": [shorten(c, 24) for c in classes], "rows": rows}
        )
    return found


def _routing(judged: Sequence[Judged]) -> Table | None:
    counts = analysis.routings(judged)
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


def _stages(judged: Sequence[Judged]) -> Table:
    rows = [
        (TASKS[task].title, *(str(counts[stage]) for stage in STAGES))
        for task, counts in analysis.stages(judged).items()
    ]
    return ("task", *STAGES), rows


def _empties(judged: Sequence[Judged]) -> Table:
    rows = [
        (TASKS[task].title, str(questions), str(empty), f"{100 * empty / questions:.1f} %", str(true))
        for task, (questions, empty, true) in analysis.empties(judged).items()
    ]
    return ("task", "questions", "empty or zero", "share", "rightly so"), rows


def _worst(judged: Sequence[Judged]) -> list[tuple[str, Table]]:
    header = ("question", "image", "truth", "answer", "points", "error")
    return [
        (TASKS[task].title, (header, list(map(_worst_row, found)))) for task, found in analysis.worst(judged).items()
    ]


def _worst_row(one: Judged) -> tuple[str, ...]:
    row = one.row
    texts = (shorten(", ".join(row.images), 50), shorten(row.truth, 60), shorten(row.said or "", 60))
    return (row.place, *texts, number(one.points), "" if one.error is None else number(one.error))
