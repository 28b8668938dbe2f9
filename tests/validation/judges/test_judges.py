"""Model-based scorers through files, by a small fake of RadEval in an environment of its own."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from mevlip.core.errors import EnvironmentProblem
from mevlip.tasks import TaskType
from mevlip_validation.judges import judge_reports, run_judge
from tests.conftest import record, run_mevlip
from tests.validation.rows import make_row

FAKE = """
class RadEval:
    def __init__(self, metrics, per_sample, show_progress):
        assert per_sample and not show_progress
        [self.metric] = metrics

    def __call__(self, refs, hyps):
        if "break" in hyps:
            raise RuntimeError("no memory left")
        key = {"radcliq": "radcliq_v1"}.get(self.metric, self.metric)
        return {key: [float("nan") if not said else float(said == true) for true, said in zip(refs, hyps)]}
"""
HUB = """
def try_to_load_from_cache(model, name):
    return f"/cache/{model}/snapshots/abc123/{name}"
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python with a fake radeval and a fake hub, and nothing of ours."""
    site = tmp_path / "site"
    for name, text in (("radeval", FAKE), ("huggingface_hub", HUB)):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text(text)
    (site / "radeval-9.9.dist-info").mkdir()
    (site / "radeval-9.9.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: radeval\nVersion: 9.9\n")
    command = tmp_path / "python"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={site} exec {sys.executable} "$@"\n')
    command.chmod(0o755)
    return command


@pytest.mark.parametrize("name", ["GREEN", "CRIMSON", "RaTE", "RadCliQ"])
def test_each_scorer_is_asked_by_its_own_name(name: str, python: Path) -> None:
    found = run_judge(name, [{"reference": "x", "candidate": "x"}, {"reference": "x", "candidate": "y"}], python)
    assert found.scores == (1.0, 0.0)
    assert found.scorer.startswith("radeval 9.9")
    assert ("at abc123" in found.scorer) == (name != "RadCliQ"), "which is made of several models"


def test_only_reports_are_judged_and_failures_are_counted(python: Path) -> None:
    rows = [
        make_row(TaskType.COUNTING, "1", "1"),
        make_row(TaskType.REPORT, "x", "x"),
        make_row(TaskType.REPORT, None, "x"),
    ]
    judged, verdicts = judge_reports(rows, "GREEN", python)
    assert dict(judged[0].judgments) == {} and judged[1].judgments["GREEN"] == 1
    assert math.isnan(judged[2].judgments["GREEN"]) and verdicts.failed == 1


@pytest.mark.slow
def test_the_command_prints_who_judged(python: Path, tmp_path: Path) -> None:
    asked = record("Describe it.", TaskType="report_generation", Answer="All is well.")
    (tmp_path / "x_questions_val.json").write_text(json.dumps([asked]))
    (tmp_path / "p.json").write_text(json.dumps([asked]))
    found = tmp_path / "s.json"
    done = run_mevlip("score", tmp_path / "p.json", "--truth", tmp_path, "--judge", f"GREEN={python}", "--json", found)
    assert done.returncode == 0, done.stderr
    assert "GREEN by radeval 9.9, StanfordAIMI/GREEN-radllama2-7b at abc123" in done.stdout
    [crimson] = [line.split() for line in done.stdout.splitlines() if "CRIMSON" in line]
    assert crimson[2:6] == ["CRIMSON", "-", "not", "run"]
    assert "GREEN judges 1 pairs" in done.stderr
    assert list(json.loads(found.read_text())["scorers"]) == ["GREEN"]


def test_a_scorer_that_fails_says_why(python: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="GREEN failed with status 1: RuntimeError: no memory left"):
        run_judge("GREEN", [{"reference": "x", "candidate": "break"}], python)


def test_an_environment_without_the_scorer_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be run"):
        run_judge("GREEN", [], tmp_path / "nothing")
    with pytest.raises(EnvironmentProblem, match="No module named 'radeval'"):
        run_judge("GREEN", [], Path(sys.executable))
    with pytest.raises(EnvironmentProblem, match="No scorer is called BLEURT"):
        run_judge("BLEURT", [], Path(sys.executable))


@pytest.mark.parametrize(
    ("written", "cause"), [("{}", "no usable scores"), ('{"scorer": "s", "scores": [1, 2]}', "2 scores for 1 reports")]
)
def test_an_answer_that_does_not_fit_is_refused(tmp_path: Path, written: str, cause: str) -> None:
    command = tmp_path / "python"
    command.write_text(f"#!/bin/sh\nprintf '%s' '{written}' > \"$4\"\n")
    command.chmod(0o755)
    with pytest.raises(EnvironmentProblem, match=cause):
        run_judge("GREEN", [{"reference": "x", "candidate": "x"}], command)
