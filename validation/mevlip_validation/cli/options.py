"""Options that several commands share, and what they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mevlip_validation.defaults import RESAMPLES

if TYPE_CHECKING:
    from mevlip_validation.matching import By, Matched, Row

truth_option = click.option(
    "--truth",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="Answered question file or a folder of such files; a *_withGT.json replaces the file that it answers.",
)
train_option = click.option(
    "--train",
    type=click.Path(exists=True, path_type=Path),
    help="Answered training questions for the constant baseline. Default: the ground truth itself (optimistic).",
)
resamples_option = click.option(
    "--resamples", type=click.IntRange(1), default=RESAMPLES, show_default=True, help="Number of bootstrap resamples."
)

perturbation_option = click.option(
    "--perturbation",
    "wanted",
    default="all",
    show_default=True,
    metavar="NAME",
    help="A perturbation, all of a modality (such as Xray, CT or MRI), or all.",
)
mode_option = click.option(
    "--mode",
    type=click.Choice(["ssim", "table"]),
    help="Levels of equal SSIM, or the published parameters. Default: the perturbation's own.",
)


def matched_rows(
    predictions: Path, truth: Path, allow_partial: bool, by: By, explanations_file: Path | None
) -> Matched:
    """Rows of a predictions file; reports what cannot be matched.

    Raises:
        InputError: No record has an Answer.
        OutputError: Rows are missing, repeated or surplus, and that is not allowed.
    """
    from mevlip.core.errors import OutputError
    from mevlip.runs.explanations import read_explanations
    from mevlip_validation.matching import match, read_records, read_truth
    from mevlip_validation.mismatches import check_answers

    records = read_records(predictions)
    check_answers(records, str(predictions))
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
    found = "; ".join(
        [*(f"{_counted(places)} {what}" for what, places in mismatches.items() if places), *matched.hints]
    )
    if found and not allow_partial:
        raise OutputError(
            f"{predictions} does not match {truth}: {found}", "Fix it, or score the rest with --allow-partial."
        )
    if found:
        click.echo(f"PARTIAL: {predictions}: {found}", err=True)
    return matched


def _counted(places: Sequence[str]) -> str:
    return f"{len(places)} (such as {places[0]})"


def known_rows(train: Path | None) -> tuple[Row, ...]:
    """The rows of answered training questions."""
    from mevlip_validation.matching import match, read_truth

    return match(read_truth(train), []).rows if train else ()
