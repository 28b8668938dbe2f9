"""The score report: one HTML file that needs no server, no network and no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from mevlip.core.extras import needing
from mevlip.tasks import TASKS
from mevlip_validation import analysis
from mevlip_validation.analysis import Correctness, QuestionResult
from mevlip_validation.defaults import RESAMPLES, SEED
from mevlip_validation.disagreements import disagreements as find_disagreements
from mevlip_validation.matching import Matched
from mevlip_validation.output import score_rows
from mevlip_validation.published import NOTES, PUBLISHED, published_table
from mevlip_validation.report import tables
from mevlip_validation.report.gallery import gallery
from mevlip_validation.report.page import REPORT_PACKAGES, write_page
from mevlip_validation.score import Score


def write_report(
    path: Path,
    title: str,
    root: Path,
    matched: Matched,
    results: Sequence[QuestionResult],
    scores: Sequence[Score],
    scorers: Mapping[str, str],
    others: Mapping[str, Sequence[QuestionResult]] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
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
        others: The results of other systems by their names, for the same questions in the same order.
        resamples: Number of bootstrap resamples of the data sets' intervals.
        seed: Random seed.

    Returns:
        The file's size in bytes.

    Raises:
        EnvironmentProblem: jinja2 or matplotlib is missing, or the file cannot be written.
    """
    with needing(*REPORT_PACKAGES):
        import_module("jinja2")  # before the work, not after it
        from mevlip_validation.report.charts import draw_charts
    slices = analysis.slices(results, resamples, seed)
    disagreements = find_disagreements([one.row for one in results])
    why = {id(one.row): one.cause for one in disagreements}
    pictures, content = gallery(results, root, others=others or {}, why=why)
    chromosomes = analysis.identity_confusion(results)
    return write_page(
        path,
        "report",
        title=title,
        questions=len(matched.rows),
        left=tables.left_over(matched),
        scores=score_rows(scores),
        measures=score_rows(scores, main_only=False),
        signatures=[(TASKS[one.task].title, one.measure.name, one.scoring.signature) for one in scores],
        scorers=scorers,
        charts=draw_charts(scores, results, slices),
        published=[(year, published_table(year), NOTES[year]) for year in PUBLISHED],
        slices=tables.slices_table(slices),
        confusions=tables.confusion_tables(results),
        chromosomes=tables.chromosome_table(chromosomes) if chromosomes else None,
        routing=tables.routing_table(results),
        stages=tables.stages_table(results),
        empties=tables.empties_table(results),
        worst=tables.worst_tables(results),
        causes=tables.cause_table(disagreements),
        cause_names=list(dict.fromkeys(tables.cause_name(one.cause) for one in disagreements)),
        disagreements=tables.disagreement_table(disagreements),
        flips=[(name, tables.flips_table(analysis.flips(results, other))) for name, other in (others or {}).items()],
        content=content,
        pictures=pictures,
        tasks=[task.title for task in TASKS.values() if any(one.row.task is task.type for one in results)],
        datasets=sorted({one.row.dataset for one in results}),
        correctness=[one.value for one in Correctness],
    )
