"""Commands of the validation package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mevlip.cli.options import (
    INPUT_FILE,
    INPUT_FOLDER,
    OUTPUT_FILE,
    json_option,
    quiet_option,
    seed_option,
    settings_options,
)
from mevlip.core import logs
from mevlip.settings import AnswerSettings, PredictorSettings
from mevlip_validation.defaults import RESAMPLES, SEED

if TYPE_CHECKING:
    from mevlip_validation.matching import By, Matched, Row

_MOST_SHOWN = 200  # rows; a longer table is cut on the terminal


@click.command()
@click.argument("predictions", type=INPUT_FILE)
@click.option(
    "--input",
    "input_folder",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder whose questions the file should answer.",
)
def check(predictions: Path, input_folder: Path) -> None:
    """Check PREDICTIONS against the schema and the inputs.

    Every issue is listed with its row and field.

    \b
    Example: mevlip predictions check build/demo/predictions.json --input examples/inputs
    """
    from mevlip.core.errors import OutputError
    from mevlip.core.tables import table
    from mevlip_validation.check import check_file

    faults = check_file(predictions, input_folder)
    if not faults:
        click.echo(f"{predictions}: valid and complete")
        return
    click.echo(
        table(
            ("file", "index", "field", "value", "rule"),
            [(predictions.name, "-" if f.index is None else f.index, f.field, f.value, f.message) for f in faults],
        )
    )
    raise OutputError(f"{predictions} has {len(faults)} faults", "Fix the rows listed above, or predict again.")


_truth = click.option(
    "--truth",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="Answered question file or a folder of such files; a *_withGT.json replaces the file that it answers.",
)
_train = click.option(
    "--train",
    type=click.Path(exists=True, path_type=Path),
    help="Answered training questions for the constant baseline. Default: the ground truth itself (optimistic).",
)
_resamples = click.option(
    "--resamples", type=click.IntRange(1), default=RESAMPLES, show_default=True, help="Number of bootstrap resamples."
)


@click.command()
@click.argument("predictions", type=INPUT_FILE)
@_truth
@_train
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
@_resamples
@seed_option(SEED)
@click.option("--signatures", is_flag=True, help="Also print the exact definition of each score.")
@json_option
@click.option("--csv", "csv_file", type=OUTPUT_FILE, metavar="FILE", help="Write one line for each question.")
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
    signatures: bool,
    json_file: Path | None,
    csv_file: Path | None,
    report: Path | None,
) -> None:
    """Score PREDICTIONS against the ground truth.

    Scores are shown under two public protocols and as a mean over data sets.

    Each score has a 95 % interval from a bootstrap over images and is shown next to the best-constant baseline.

    \b
    Example: mevlip score build/demo/predictions.json --truth examples/inputs
    """
    logs.only_warnings()
    from mevlip_validation import output
    from mevlip_validation.analysis import evaluate_questions
    from mevlip_validation.baselines import CONSTANT, constant_rows
    from mevlip_validation.judges import judge_reports
    from mevlip_validation.score import score as score_rows

    matched = _matched(predictions, truth, allow_partial, by, explanations_file)
    scorers = {}
    for name, python in map(_named, judges):
        rows, judgment = judge_reports(matched.rows, name, Path(python))
        matched = replace(matched, rows=tuple(rows))
        scorers[name] = judgment.scorer
    others: dict[str, Sequence[Row]] = {CONSTANT: constant_rows(matched.rows, _known(train) or matched.rows)}
    for name, file in map(_named, against):
        others[name] = _matched(Path(file), truth, True, by, None).rows
    scores = score_rows(matched.rows, others, resamples, seed)
    click.echo(output.render_scores(scores))
    source = f"{train}" if train else "the ground truth itself (optimistic; pass --train)"
    click.echo(f"Gains are under the macro protocol; constants come from {source}.")
    for name, scorer in scorers.items():
        click.echo(f"{name} by {scorer}")
    if signatures:
        click.echo(output.render_signatures(scores))
    if json_file:
        output.write_json({**output.as_json(matched, scores), "scorers": scorers}, json_file)
    results = evaluate_questions(matched.rows)
    if csv_file:
        output.write_questions(results, csv_file)
    if report:
        from mevlip_validation.report import write_report

        root = truth if truth.is_dir() else truth.parent
        size = write_report(report, str(predictions), root, matched, results, scores, scorers)
        click.echo(f"report: {report} ({size / 1e6:.1f} MB)")


@click.command()
@click.argument("predictions", type=INPUT_FILE, nargs=-1, required=True)
@_truth
@_resamples
@seed_option(SEED)
@json_option
def compare(predictions: tuple[Path, ...], truth: Path, resamples: int, seed: int, json_file: Path | None) -> None:
    """Compare PREDICTIONS files with the first of them.

    A paired bootstrap over images says whether a difference is more than chance.

    \b
    Example: mevlip compare generalist/predictions.json routed/predictions.json --truth examples/inputs
    """
    logs.only_warnings()
    from mevlip.core.tables import table
    from mevlip_validation import output
    from mevlip_validation.score import compare as compare_two

    if len(predictions) < 2:
        raise click.UsageError("Name at least two predictions files.")
    first, *others = (_matched(path, truth, True, "question", None) for path in predictions)
    header = ("task", "measure", "protocol", "first", "this", "gain", "verdict")
    found = {
        str(path): compare_two(first.rows, other.rows, resamples, seed)
        for path, other in zip(predictions[1:], others, strict=True)
    }
    for path, comparisons in found.items():
        click.echo(f"{path} against {predictions[0]}:")
        click.echo(table(header, output.compare_rows(comparisons)))
    if json_file:
        output.write_json(output.comparisons_as_json(found), json_file)


@click.command()
@click.argument("input_folder", metavar="INPUT", type=INPUT_FOLDER)
@_truth
@_train
@settings_options(PredictorSettings)
@settings_options(AnswerSettings, ["batch_size"])
@_resamples
@seed_option(SEED)
@json_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="build/ablation",
    show_default=True,
    help="Folder for predictions.",
)
@quiet_option
def ablate(
    input_folder: Path,
    truth: Path,
    train: Path | None,
    checkpoint: str | None,
    device: Any,
    batch_size: int,
    resamples: int,
    seed: int,
    json_file: Path | None,
    out: Path,
    quiet: bool,
) -> None:
    """Compare adapters, routing and images on one input.

    INPUT is answered by the base alone, the generalist, the router and the declared tasks, with one loaded model.

    Two controls show what the images contribute: blank images, and questions without images.

    \b
    Example: mevlip ablate examples/inputs --truth examples/inputs
    """
    from mevlip.predictor import Predictor
    from mevlip.settings import RunSettings
    from mevlip_validation import ablation, output

    predictor = Predictor.find(PredictorSettings(checkpoint=checkpoint, device=device), quiet=quiet)
    settings = RunSettings(input=input_folder, output=out, batch_size=batch_size)
    folder, truths = ablation.read_folders(input_folder, truth, out)
    answers = ablation.answer_all(predictor, settings, folder, truths, quiet=quiet)
    found = ablation.ablate(answers, _known(train), resamples, seed)
    click.echo(ablation.render(found))
    if json_file:
        content = {name: output.scores_as_json(scores) for name, scores in found.scores.items()}
        pairs = {f"{second} over {first}": one for (first, second), one in found.comparisons.items()}
        output.write_json({"systems": content, "comparisons": output.comparisons_as_json(pairs)}, json_file)


@click.command("scan-phi")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "json_file", type=OUTPUT_FILE, metavar="FILE", help="Write all findings, masked, as JSON.")
@quiet_option
def scan_phi(paths: tuple[Path, ...], json_file: Path | None, quiet: bool) -> None:
    """Find what may identify a patient, before sharing files.

    PATHS are files and folders: text, JSON, CSV, HTML, pictures' metadata, DICOM headers, and zip archives of them.

    Found are record numbers, national ids, e-mail addresses, phone numbers, full dates, names behind a label or a
    title, GPS positions, and DICOM attributes of the basic confidentiality profile. Findings are shown masked. Text
    burned into pixels is not examined, and a name without a label is not found.

    \b
    Example: mevlip scan-phi build/demo examples/inputs
    """
    from mevlip.core.errors import EnvironmentProblem, OutputError
    from mevlip.core.tables import table
    from mevlip.core.text import visible
    from mevlip_validation import output
    from mevlip_validation.phi.scan import scan

    found = scan(paths, quiet=quiet)
    if json_file:
        output.write_json(found.as_json(), json_file)
    if found.findings:
        rows = [
            (one.file, visible(one.place, 60), one.kind, visible(one.finding, 40))
            for one in found.findings[:_MOST_SHOWN]
        ]
        click.echo(table(("file", "place", "kind", "finding (masked)"), rows))
    if found.unexamined:
        click.echo(
            table(("not examined", "reason"), [(one.file, one.reason) for one in found.unexamined[:_MOST_SHOWN]])
        )
    cut = max(len(found.findings), len(found.unexamined)) > _MOST_SHOWN
    rest = f"; the first {_MOST_SHOWN} are shown, --json FILE writes all" if cut else ""
    examined = ", ".join(f"{count} {what}" for what, count in found.examined.items()) or "nothing"
    kinds = ", ".join(f"{kind} {count}" for kind, count in found.kinds.items()) or "none"
    click.echo(f"examined: {examined}; possible identifiers: {kinds}{rest}")
    if {"pictures", "DICOM files"} & found.examined.keys():
        click.echo("Text burned into pixels was not examined: look at the images themselves.")
    left = f"; {len(found.unexamined)} files were not examined" if found.unexamined else ""
    if found.findings:
        raise OutputError(
            f"{len(found.findings)} possible identifiers in {found.files} files{left}",
            "Check each place listed above, and remove what identifies a patient before you share the files.",
        )
    if found.unexamined:
        raise EnvironmentProblem(
            f"No identifier was found, but {len(found.unexamined)} files were not examined",
            "Check the files listed above yourself, or leave them out.",
        )


def _matched(predictions: Path, truth: Path, allow_partial: bool, by: By, explanations_file: Path | None) -> Matched:
    """Rows of a predictions file; reports what cannot be matched.

    Raises:
        OutputError: Rows are missing, repeated or surplus, and that is not allowed.
    """
    from mevlip.core.errors import OutputError
    from mevlip.runs.explanations import read_explanations
    from mevlip_validation.matching import match, read_records, read_truth

    records = read_records(predictions)
    explanations = read_explanations(explanations_file) if explanations_file else None
    matched = match(read_truth(truth), records, explanations, by)
    if matched.unscored:
        click.echo(
            f"not scored: {_counted(matched.unscored)} of the truth have no answer or no known TaskType", err=True
        )
    mismatches = {
        "questions have no prediction (free in flare25, wrong in the others)": matched.missing,
        "predictions repeat a question (the last counts in flare25, else the first)": matched.duplicates,
        "predictions answer no question of the truth": matched.surplus,
    }
    found = "; ".join(f"{_counted(places)} {what}" for what, places in mismatches.items() if places)
    if found and not allow_partial:
        raise OutputError(
            f"{predictions} does not match {truth}: {found}", "Fix it, or score the rest with --allow-partial."
        )
    if found:
        click.echo(f"PARTIAL: {predictions}: {found}", err=True)
    return matched


def _counted(places: Sequence[str]) -> str:
    return f"{len(places)} (such as {places[0]})"


def _known(train: Path | None) -> tuple[Row, ...]:
    """The rows of answered training questions."""
    from mevlip_validation.matching import match, read_truth

    return match(read_truth(train), []).rows if train else ()


def _named(value: str) -> tuple[str, str]:
    name, equals, rest = value.partition("=")
    if not (name and equals and rest):
        raise click.UsageError(f"{value!r} is not NAME=VALUE.")
    return name, rest
