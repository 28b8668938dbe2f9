from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mevlip import __version__
from mevlip.tasks import TaskType
from mevlip_validation.provenance import Provenance, truth_digest
from tests.validation.rows import make_row

ROWS = [make_row(TaskType.CLASSIFICATION, "A", "B"), make_row(TaskType.COUNTING, "3", "4", "two")]


def test_the_digest_is_that_of_the_truth_alone() -> None:
    other = [replace(row, answers=("C",), place="elsewhere[7]") for row in reversed(ROWS)]
    assert truth_digest(ROWS) == truth_digest(other), "predictions, files and order do not matter"
    assert truth_digest(ROWS).startswith("sha256:") and len(truth_digest(ROWS)) == len("sha256:") + 64


def test_another_truth_has_another_digest() -> None:
    first, second = ROWS
    altered = [
        [first],
        [*ROWS, first],
        [first, replace(second, truth="5")],
        [first, replace(second, images=("b.png",))],
        [first, replace(second, dataset="three")],
        [first, replace(second, question="How many?")],
        [first, replace(second, question="\ud800")],
    ]
    assert len({truth_digest(rows) for rows in (ROWS, *altered)}) == len(altered) + 1


def test_scores_say_what_was_scored_when_and_by_which_version(tmp_path: Path) -> None:
    about = Provenance.of(Path("runs/a/predictions.json"), tmp_path, ROWS).as_json()
    assert about["truth"] == {"name": tmp_path.name, "digest": truth_digest(ROWS), "questions": 2}
    assert (about["predictions"], about["version"]) == ("runs/a/predictions.json", __version__)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(about["written"])).total_seconds()) < 600
    assert about["written"].endswith("+00:00")
