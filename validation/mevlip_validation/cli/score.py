"""`mevlip score`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from mevlip.cli.options import INPUT_FILE, OUTPUT_FILE, json_option, seed_option
from mevlip.core import logs
from mevlip_validation.cli.options import known_rows, matched_rows, resamples_option, train_option, truth_option
from mevlip_validation.defaults import SEED
from mevlip_validation.published import Year

if TYPE_CHECKING:
    from mevlip_validation.matching import By


@click.command()
@click.argument("predictions", type=INPUT_FILE)
@truth_option
@train_option
@click.option(
    "--explanations",
    "explanations_file",
    type=INPUT_FILE,
    metavar="FILE",
    help="What predict --explanations wrote: for calibration and routing.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="NAME=FILE",
    help="Other predictions to compute the gain over, such as those for blank images. May be repeated.",
)
@click.option("--allow-partial", is_flag=True, help="Score the rest although rows are missing, repeated or surplus.")
@click.option(
    "--match",
    "by",
    type=click.Choice(["question", "position"]),
    default="question",
    show_default=True,
    help="Match by image names and question, or by position.",
)
@click.option(
    "--judge",
    "judges",
    multiple=True,
    metavar="NAME=PYTHON",
    help="Judge reports with GREEN, CRIMSON, RaTE or RadCliQ, run by that Python. May be repeated.",
)
@resamples_option
@seed_option(SEED)
@click.option(
    "--like-board",
    "year",
    type=click.Choice(get_args(Year)),
    help="Show that year's board first, with its data sets and what others have published.",
)
@click.option("--signatures", is_flag=True, help="Also print the exact definition of each score.")
@json_option
@click.option("--csv", "csv_file", type=OUTPUT_FILE, metavar="FILE", help="Write one line for each question.")
@click.option("--latex", type=OUTPUT_FILE, metavar="FILE", help="Write the score table for LaTeX (booktabs).")
@click.option("--report", type=OUTPUT_FILE, metavar="FILE", help="Write everything as one HTML page with images.")
def score(
    predictions: Path,
    truth: Path,
    train: Path | None,
    explanations_file: Path | None,
    against: tuple[str, ...],
    allow_partial: bool,
    by: By,
    judges: tuple[str, ...],
    resamples: int,
    seed: int,
    year: Year | None,
    signatures: bool,
    json_file: Path | None,
    csv_file: Path | None,
    latex: Path | None,
    report: Path | None,
) -> None:
    """Score PREDICTIONS against the ground truth.

    Scores are shown under two public protocols and as a mean over data sets.

    Each score has a 95 % interval from a bootstrap over images and is shown next to the best-constant baseline.

    \b
    Example: mevlip score build/demo/predictions.json --truth examples/inputs
    """
    logs.only_warnings()
    from mevlip.core.tables import table
    from mevlip_validation import output
    from mevlip_validation.analysis import evaluate_questions
    from mevlip_validation.baselines import CONSTANT, constant_rows
    from mevlip_validation.judges import judge_reports
    from mevlip_validation.latex import score_table, write_latex
    from mevlip_validation.protocols import protocols
    from mevlip_validation.provenance import Provenance
    from mevlip_validation.published import BOARDS, NOTES, published_table
    from mevlip_validation.score import score as score_rows
    from mevlip_validation.score import score_datasets

    matched = matched_rows(predictions, truth, allow_partial, by, explanations_file)
    scorers = {}
    for name, python in map(_named, judges):
        rows, judgment = judge_reports(matched.rows, name, Path(python))
        matched = replace(matched, rows=tuple(rows))
        scorers[name] = judgment.scorer
    constants = constant_rows(matched.rows, known_rows(train) or matched.rows)
    systems = {name: matched_rows(Path(file), truth, True, by, None).rows for name, file in map(_named, against)}
    scores = score_rows(matched.rows, {CONSTANT: constants, **systems}, resamples, seed)
    board = BOARDS[year] if year else ""
    click.echo("\n".join([output.render_scores(scores, first=board), *output.render_heavy_rows(scores)]))
    source = f"{train}" if train else "the ground truth itself (optimistic; pass --train)"
    click.echo(f"Gains are under the macro protocol; constants come from {source}.")
    for name, scorer in scorers.items():
        click.echo(f"{name} by {scorer}")
    datasets = score_datasets(matched.rows, board, resamples, seed) if year else {}
    if year:
        note = next(one.note for one in protocols() if one.name == board)
        click.echo(f"\nData sets, as {board} scores them{f' ({note})' if note else ''}:")
        click.echo(output.render_datasets(datasets))
        click.echo(f"\nPublished for {year}, as printed:\n{table(*published_table(year))}\n{NOTES[year]}")
    if signatures:
        click.echo(output.render_signatures(scores))
    if json_file:
        each = {name: output.scores_as_json(found) for name, found in datasets.items()}
        about = Provenance.of(predictions, truth, matched.rows).as_json()
        content = {**about, **output.as_json(matched, scores), "datasets": each, "scorers": scorers}
        output.write_json(content, json_file)
    if latex:
        write_latex(latex, score_table(scores, len(matched.rows), board))
    results = evaluate_questions(matched.rows)
    if csv_file:
        output.write_questions(results, csv_file)
    if report:
        from mevlip_validation.report import write_report

        root = truth if truth.is_dir() else truth.parent
        beside = {name: evaluate_questions(rows) for name, rows in systems.items()}
        size = write_report(report, str(predictions), root, matched, results, scores, scorers, beside, resamples, seed)
        click.echo(f"report: {report} ({size / 1e6:.1f} MB)")


def _named(value: str) -> tuple[str, str]:
    name, equals, rest = value.partition("=")
    if not (name and equals and rest):
        raise click.UsageError(f"{value!r} is not NAME=VALUE.")
    return name, rest
