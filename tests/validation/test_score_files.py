from __future__ import annotations

import json
from math import inf, isnan
from pathlib import Path
from typing import Any

import pytest

from mevlip.core.errors import InputError
from mevlip.tasks import TaskType
from mevlip_validation import output
from mevlip_validation.baselines import CONSTANT, constant_rows
from mevlip_validation.matching import Matched
from mevlip_validation.provenance import Provenance, truth_digest
from mevlip_validation.score import score
from mevlip_validation.score_files import Run, read_run, read_runs
from tests.validation.rows import make_row
from tests.validation.score_files import DIGEST, counting, make_score, write_scores


def test_what_score_writes_is_read_back(tmp_path: Path) -> None:
    rows = [make_row(TaskType.COUNTING, "x", "4", image=f"{n}.png") for n in range(3)]
    scores = score(rows, {CONSTANT: constant_rows(rows, rows)}, 20)
    about = Provenance.of(Path("p.json"), tmp_path, rows).as_json()
    content = {**about, **output.as_json(Matched(tuple(rows), missing=("a[0]",)), scores), "datasets": {}}
    output.write_json({**content, "scorers": {}}, tmp_path / "s.json")
    found = read_run(tmp_path / "s.json", "s.json")
    assert isinstance(found, Run)
    assert (found.truth.digest, found.truth.questions) == (truth_digest(rows), 3)
    assert {column.signature: one.value for column, one in found.results.items()} == {
        one.scoring.signature: one.estimate.value for one in scores
    }
    literal = next(one for column, one in found.results.items() if column.protocol == "flare25")
    assert literal.value == inf and literal.constant == 0
    assert found.mismatches == {"missing": 1}


def test_files_are_found_at_any_depth_and_others_passed_over_by_name(tmp_path: Path) -> None:
    write_scores(tmp_path / "a/b/c/s.json", make_score(0.5))
    write_scores(tmp_path / "t.json", make_score(0.5))
    (tmp_path / "a/predictions.json").write_text("[]")
    (tmp_path / "a/notes.txt").write_text("no")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    runs, others = read_runs(tmp_path)
    assert [run.name for run in runs] == ["t", "a/b/c/s"] and [run.file for run in runs] == ["t.json", "a/b/c/s.json"]
    assert {one.name: one.reason for one in others} == {
        "broken.json": "is not JSON",
        "gone.json": "cannot be read (No such file or directory)",
        "a/predictions.json": "is not a file of scores",
    }


def test_files_of_one_name_are_called_by_their_folders(tmp_path: Path) -> None:
    for name in ("first", "second/deep"):
        write_scores(tmp_path / name / "scores.json", make_score(0.5))
    assert [run.name for run in read_runs(tmp_path)[0]] == ["first", "second/deep"]


@pytest.mark.parametrize(
    ("altered", "reason"),
    [
        ({"truth": None}, "is not a file of scores (truth: "),
        ({"written": "yesterday"}, "is not a file of scores (written: "),
        ({"scores": [make_score(0.5) | {"better": "longer"}]}, "is not a file of scores (scores.0.better: "),
        ({"scores": [make_score("0.5")]}, "is not a file of scores (scores.0.value"),
        ({"truth": {"name": "x", "digest": "sha256:0", "questions": 3}}, "is not a file of scores (truth.digest: "),
    ],
)
def test_a_file_with_something_else_in_it_is_passed_over(tmp_path: Path, altered: Any, reason: str) -> None:
    found = read_run(write_scores(tmp_path / "s.json", make_score(0.5), **altered), "s.json")
    assert not isinstance(found, Run) and found.reason.startswith(reason)


def test_a_number_that_json_does_not_have_is_refused(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "s.json", make_score(float("nan")))
    assert "NaN" in path.read_text() and not isinstance(read_run(path, "s.json"), Run)


def test_a_file_of_an_older_version_is_named_as_such(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "s.json", make_score(0.5))
    content = json.loads(path.read_text())
    for name in ("truth", "written", "version", "predictions"):
        del content[name]
    path.write_text(json.dumps(content))
    found = read_run(path, "s.json")
    assert not isinstance(found, Run) and "older version" in found.reason and "score the" in found.reason


def test_a_folder_without_scores_is_an_error_that_names_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no file of scores\. Write some with mevlip score --json"):
        read_runs(tmp_path)
    (tmp_path / "p.json").write_text("[]")
    with pytest.raises(InputError, match=r"no file of scores; p\.json is not a file of scores"):
        read_runs(tmp_path)


def test_a_judgment_belongs_to_the_model_that_gave_it(tmp_path: Path) -> None:
    judged = make_score(0.5, task="report_generation", measure="GREEN", signature="flare25/green@judged|1")
    one, other = (
        read_run(write_scores(tmp_path / f"{n}.json", judged, scorers={"GREEN": f"model {n}"}), "s") for n in range(2)
    )
    assert isinstance(one, Run) and isinstance(other, Run)
    assert [column.signature for column in one.results] == ["flare25/green@judged|1 by model 0"]
    assert not one.results.keys() & other.results.keys()


def test_absent_and_infinite_scores_are_numbers(tmp_path: Path) -> None:
    found = read_run(write_scores(tmp_path / "s.json", make_score(None), counting("inf", others={})), "s")
    assert isinstance(found, Run) and found.truth.digest == DIGEST
    first, second = found.results.values()
    assert isnan(first.value) and second.value == inf and isnan(second.constant)
