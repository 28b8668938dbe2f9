"""What `mevlip score` writes beside its table, and `mevlip runs` makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mevlip import __version__
from mevlip_validation.cli.runs import runs
from mevlip_validation.cli.score import score
from mevlip_validation.matching import match, read_truth
from mevlip_validation.provenance import truth_digest
from tests.conftest import EXAMPLES

pytestmark = pytest.mark.slow


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """The examples' own answers, some of them altered."""
    files = sorted(EXAMPLES.rglob("*_withGT.json"))
    rows = [record for file in files for record in json.loads(file.read_text("utf-8"))]
    for row in rows[::5]:
        row["Answer"] = "0"
    path = tmp_path / "first/predictions.json"
    path.parent.mkdir()
    path.write_text(json.dumps(rows))
    return path


def run(command: Any, *arguments: str | Path) -> Any:
    done = CliRunner().invoke(command, list(map(str, arguments)))
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done


def test_scores_name_what_they_are_of_and_runs_lists_them(predictions: Path, tmp_path: Path) -> None:
    for number, resamples in enumerate((20, 30)):
        target = tmp_path / f"scores/{number}.json"
        run(score, predictions, "--truth", EXAMPLES, "--resamples", str(resamples), "--json", target)
    content = json.loads(target.read_text())
    rows = match(read_truth(EXAMPLES), []).rows
    assert content["truth"] == {"name": EXAMPLES.name, "digest": truth_digest(rows), "questions": len(rows)}
    assert (content["predictions"], content["version"]) == (str(predictions), __version__)
    done = run(runs, tmp_path)
    assert f"{EXAMPLES.name}: {len(rows)} questions" in done.stdout and ", 2 runs, " in done.stdout
    assert "passed over: first/predictions.json is not a file of scores" in done.stderr


def test_the_table_for_a_paper_is_written(predictions: Path, tmp_path: Path) -> None:
    run(score, predictions, "--truth", EXAMPLES, "--resamples", "20", "--latex", tmp_path / "t/scores.tex")
    text = (tmp_path / "t/scores.tex").read_text("utf-8")
    assert text.startswith("% \\usepackage{booktabs}\n") and "Classification & balanced accuracy & 27 & " in text


def test_the_report_shows_what_it_is_compared_with(predictions: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    rows = json.loads(predictions.read_text())
    other.write_text(json.dumps([{**row, "Answer": "1"} for row in rows]))
    page = tmp_path / "r.html"
    run(
        score, predictions, "--truth", EXAMPLES, "--resamples", "20", "--against", f"ones={other}", "--report", page
    )  # fmt: skip
    text = page.read_text("utf-8")
    assert "<summary>Against ones</summary>" in text and '"others": ["ones"]' in text
    assert "Why the protocols disagree" in text
