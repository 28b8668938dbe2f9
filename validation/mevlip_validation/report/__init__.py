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
from mevlip.core.files import write_text_atomically
from mevlip.core.text import visible
from mevlip.tasks import GENERALIST, NO_ADAPTER, TASKS, adapter_names
from mevlip_validation import analysis
from mevlip_validation.analysis import Correctness, QuestionResult
from mevlip_validation.matching import Matched
from mevlip_validation.output import number, score_rows
from mevlip_validation.published import NOTES, PUBLISHED, published_table
from mevlip_validation.report.gallery import gallery
from mevlip_validation.score import Score

_HERE = Path(__file__).parent
_MOST_CLASSES = 16
"""Wider confusion tables are left to the CSV file."""

Table = tuple[Sequence[str], Sequence[Sequence[str]]]


def write_report(
    path: Path,
    title: str,
    root: Path,
    matched: Matched,
    results: Sequence[QuestionResult],
    scores: Sequence[Score],
    scorers: Mapping[str, str],
) -> int:
    """Writes the report.

    Args:
        path: The HTML file.
        title: What was scored.
        root: The truth's folder, which contains all images.
        matched: Truth and predictions.
        results: The result of each question.
        scores: The scores.
        scorers: Package and model of each judge of reports, by its name.

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
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    script = (_HERE / "report.js").read_text("utf-8")
    pictures, content = gallery(results, root)
    text = environment.get_template("report.html").render(
        title=title,
        version=__version__,
        questions=len(matched.rows),
        left=_left(matched),
        scores=score_rows(scores),
        measures=score_rows(scores, main_only=False),
        signatures=[(TASKS[one.task].title, one.measure.name, one.scoring.signature) for one in scores],
        scorers=scorers,
        charts=draw_charts(scores, results),
        published=[(year, published_table(year), NOTES[year]) for year in PUBLISHED],
        slices=_slices(results),
        confusions=_confusions(results),
        routing=_routing(results),
        stages=_stages(results),
        empties=_empties(results),
        worst=_worst(results),
        content=content,
        pictures=pictures,
        tasks=[task.title for task in TASKS.values() if any(one.row.task is task.type for one in results)],
        datasets=sorted({one.row.dataset for one in results}),
        correctness=[one.value for one in Correctness],
        style=(_HERE / "report.css").read_text("utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_text_atomically(path, text)
    return path.stat().st_size


def _shown(value: Any) -> Any:
    """What the page shows of a value: foreign text without unseen characters, markup of our own as it is."""
    return visible(value) if type(value) is str else value


def _left(matched: Matched) -> list[tuple[str, int, str]]:
    """What could not be matched: kind, number, the first ten places."""
    kinds = {
        "questions without a prediction": matched.missing,
        "predictions that repeat a question": matched.duplicates,
        "predictions that answer no question of the truth": matched.surplus,
        "questions without an answer or a known task in the truth": matched.unscored,
    }
    return [(kind, len(places), ", ".join(places[:10])) for kind, places in kinds.items() if places]


def _slices(results: Sequence[QuestionResult]) -> Table:
    rows = [
        (TASKS[one.task].title, one.modality, one.dataset, str(one.questions), number(one.score),
         *(str(one.correctness[kind]) for kind in Correctness))
        for one in analysis.slices(results)
    ]  # fmt: skip
    return ("task", "modality", "data set", "questions", "score", *(kind.value for kind in Correctness)), rows


def _confusions(results: Sequence[QuestionResult]) -> list[dict[str, Any]]:
    """For each data set the classes, and for each true class a row of counts with their share of the row."""
    found = []
    for dataset, counts in analysis.confusions(results).items():
        targets = sorted({target for target, _ in counts})
        classes = sorted({label for pair in counts for label in pair})
        if len(classes) > _MOST_CLASSES:
            found.append({"dataset": dataset, "classes": len(classes), "rows": [], "header": []})
            continue
        rows = []
        for target in targets:
            total = sum(counts[target, other] for other in classes)
            cells = [(counts[target, other], counts[target, other] / total, target == other) for other in classes]
            rows.append((visible(target, 40), cells))
        found.append(
            {"dataset": dataset, "classes": len(classes), "header": [visible(c, 24) for c in classes], "rows": rows}
        )
    return found


def _routing(results: Sequence[QuestionResult]) -> Table | None:
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


def _stages(results: Sequence[QuestionResult]) -> Table:
    rows = [
        (TASKS[task].title, *(str(counts[stage]) for stage in STAGES))
        for task, counts in analysis.stages(results).items()
    ]
    return ("task", *STAGES), rows


def _empties(results: Sequence[QuestionResult]) -> Table:
    rows = [
        (TASKS[task].title, str(questions), str(empty), f"{100 * empty / questions:.1f} %", str(true))
        for task, (questions, empty, true) in analysis.empties(results).items()
    ]
    return ("task", "questions", "empty or zero", "share", "correct"), rows


def _worst(results: Sequence[QuestionResult]) -> list[tuple[str, Table]]:
    header = ("question", "image", "target", "prediction", "points", "error")
    return [
        (TASKS[task].title, (header, list(map(_worst_row, found)))) for task, found in analysis.worst(results).items()
    ]


def _worst_row(one: QuestionResult) -> tuple[str, ...]:
    row = one.row
    texts = (visible(", ".join(row.images), 50), visible(row.target, 60), visible(row.prediction or "", 60))
    return (row.place, *texts, number(one.points), "" if one.error is None else number(one.error))
