"""`mevlip score` and `mevlip compare` as people call them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mevlip.runs.explanations import write_explanations
from mevlip.tasks import TaskType
from mevlip_validation.cli.compare import compare as compare_command
from tests.conftest import EXAMPLES, call_mevlip, run_mevlip
from tests.validation.rows import make_explanation

pytestmark = pytest.mark.slow  # each starts the command, which imports half of scientific Python

Alter = Callable[[list[dict[str, Any]]], None]


def answer_zero(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row["Answer"] = "0"


def forget_the_questions(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        row |= {"Question": "x"}


def drop_three(rows: list[dict[str, Any]]) -> None:
    del rows[:3]


@pytest.fixture
def predictions(tmp_path: Path) -> Callable[..., Path]:
    """Writes the examples' own answers as predictions, altered."""

    def write(alter: Alter = lambda rows: None, name: str = "predictions.json") -> Path:
        files = sorted(EXAMPLES.rglob("*_withGT.json"))
        rows = [record for file in files for record in json.loads(file.read_text("utf-8"))]
        alter(rows)
        (tmp_path / name).write_text(json.dumps(rows))
        return tmp_path / name

    return write


def lines(output: str) -> dict[str, list[str]]:
    """Words of the line of each task; of several its first."""
    return {line.split("  ")[0]: line.split() for line in reversed(output.splitlines())}


def test_the_examples_own_answers_are_perfect(predictions: Callable[..., Path], tmp_path: Path) -> None:
    done = call_mevlip(
        "score", predictions(), "--truth", EXAMPLES, "--resamples", 50, "--signatures",
        "--json", tmp_path / "s.json", "--csv", tmp_path / "q.csv",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert lines(done.stdout)["Classification"][1:4] == ["27", "balanced", "accuracy"]
    content = json.loads((tmp_path / "s.json").read_text())
    main = {(one["task"], one["protocol"]): one for one in reversed(content["scores"])}
    assert main["classification", "flare25"]["value"] == 1 and main["counting", "macro"]["value"] == 0
    assert {one["signature"][-2:] for one in content["scores"] if one["protocol"] == "flare25"} == {"|2"}
    rows = list(csv.DictReader((tmp_path / "q.csv").open()))
    assert len(rows) == 54 and {row["correctness"] for row in rows} == {"right"}
    assert "the ground truth itself (optimistic; pass --train)" in done.stdout
    assert "flare25/f1@iou>0.5,greedy-by-truth,micro|2" in done.stdout


def test_a_partial_file_is_refused_with_what_is_wrong(predictions: Callable[..., Path]) -> None:
    def alter(rows: list[dict[str, Any]]) -> None:
        del rows[0]
        rows.append(rows[3])
        rows.append({**rows[5], "Question": "Something else?"})

    path = predictions(alter)
    done = run_mevlip("score", path, "--truth", EXAMPLES)
    assert done.returncode == 6 and "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "1 (such as Clinical/skin_tint/skin_tint_questions_val_withGT.json[0]) questions have no prediction" in last
    assert "1 (such as [53]) predictions repeat a question" in last
    assert "1 (such as [54]) predictions answer no question" in last
    assert last.endswith("score the rest with --allow-partial.")


def test_a_partial_file_is_scored_when_asked_and_the_loss_shown(predictions: Callable[..., Path]) -> None:
    path = predictions(drop_three)
    done = call_mevlip("score", path, "--truth", EXAMPLES, "--allow-partial", "--resamples", 50)
    assert done.exit_code == 0, done.stderr
    assert "PARTIAL" in done.stderr and "3 (such as Clinical/" in done.stderr
    cells = lines(done.stdout)["Classification"]
    assert cells[4] == "1.000" and float(cells[7]) < 1 and float(cells[10]) < 1, "free in flare25's reading"


def test_the_board_of_a_year_is_shown_first(predictions: Callable[..., Path], tmp_path: Path) -> None:
    done = call_mevlip(
        "score",
        predictions(),
        "--truth",
        EXAMPLES,
        "--resamples",
        20,
        "--like-board",
        "2026",
        "--json",
        tmp_path / "s.json",
    )
    assert done.exit_code == 0, done.stderr
    header, *_ = done.stdout.splitlines()
    assert header.split()[:7] == ["task", "questions", "measure", "board2026", "flare25", "flare26", "macro"]
    assert "Detection alone 1.000, Instance detection alone 1.000" in done.stdout
    assert "platform's scorer is not public" in done.stdout
    assert lines(done.stdout)["Hexapus"][-4:] == [".8585", ".5310", ".9733", "18.53"]
    datasets = json.loads((tmp_path / "s.json").read_text())["datasets"]
    [one] = datasets["tooth_findings"]
    assert (one["protocol"], one["value"], one["questions"]) == ("board2026", 1, 3)
    assert "chromosomes" not in " ".join(datasets), "instances are not scored there"


def test_by_position_altered_questions_are_found(predictions: Callable[..., Path]) -> None:
    path = predictions(forget_the_questions)
    assert run_mevlip("score", path, "--truth", EXAMPLES).returncode == 6
    done = run_mevlip("score", path, "--truth", EXAMPLES, "--match", "position", "--resamples", 50)
    assert done.returncode == 0 and lines(done.stdout)["Classification"][4] == "1.000"


@pytest.mark.parametrize(
    ("content", "code", "cause"),
    [
        ("{", 5, "cannot be read"),
        ('{"a": 1}', 5, "is not a list of records"),
        ("[7]", 5, "[0] is a int, not a record"),
        ("[]", 6, "54 (such"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: str, code: int, cause: str) -> None:
    (tmp_path / "p.json").write_text(content)
    done = run_mevlip("score", tmp_path / "p.json", "--truth", EXAMPLES)
    assert done.returncode == code and cause in done.stderr and "Traceback" not in done.stderr


def test_a_truth_without_answers_is_named(predictions: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    done = run_mevlip("score", predictions(), "--truth", tmp_path / "in")
    assert done.returncode == 5 and "has no answered questions" in done.stderr


def test_explanations_of_the_same_run_are_read_and_others_refused(
    predictions: Callable[..., Path], tmp_path: Path
) -> None:
    path = predictions()
    answers = [row["Answer"] for row in json.loads(path.read_text())]
    explanations = [make_explanation(answer, TaskType.COUNTING, "generalist", probability=0.5) for answer in answers]
    write_explanations(tmp_path / "e.jsonl", explanations)
    done = run_mevlip(
        "score", path, "--truth", EXAMPLES, "--explanations", tmp_path / "e.jsonl", "--resamples", 20,
        "--csv", tmp_path / "q.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "q.csv").open()))
    assert {(row["adapter"], row["router_confidence"], row["probability"]) for row in rows} == {
        ("generalist", "0.9", "0.5")
    }
    write_explanations(tmp_path / "e.jsonl", explanations[1:])
    done = run_mevlip("score", path, "--truth", EXAMPLES, "--explanations", tmp_path / "e.jsonl")
    assert done.returncode == 5 and "53 explanations of 54 predictions" in done.stderr
    (tmp_path / "e.jsonl").write_text("{}\n")
    done = run_mevlip("score", path, "--truth", EXAMPLES, "--explanations", tmp_path / "e.jsonl")
    assert done.returncode == 5 and "line 1 is not an explanation" in done.stderr


def test_gains_over_other_predictions_stand_beside(predictions: Callable[..., Path]) -> None:
    blind = predictions(answer_zero, "blind.json")
    done = run_mevlip("score", predictions(), "--truth", EXAMPLES, "--against", f"blank={blind}", "--resamples", 50)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split()[-2:] == ["blank", "gain"]
    bad = run_mevlip("score", predictions(), "--truth", EXAMPLES, "--against", str(blind))
    assert bad.returncode == 2 and "is not NAME=VALUE" in bad.stderr


def test_two_files_are_compared(predictions: Callable[..., Path], tmp_path: Path) -> None:
    worse = predictions(answer_zero, "worse.json")
    done = run_mevlip(
        "compare", worse, predictions(), "--truth", EXAMPLES, "--resamples", 50, "--power",
        "--json", tmp_path / "c.json", "--csv", tmp_path / "f.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:6] == ["task", "measure", "protocol", "worse", "predictions", "gain"]
    verdicts = {line.split("  ")[0]: line.split()[-1] for line in done.stdout.splitlines() if " macro " in line}
    assert verdicts["Classification"] == "win"
    assert "predictions against worse by task and data set: 18 wins, 0 ties, 0 losses." in done.stdout
    power = lines(done.stdout.split("found  questions  needed")[1])["Classification"]
    assert power[1:4] == ["predictions", "over", "worse"] and power[-2] == "27"
    content = json.loads((tmp_path / "c.json").read_text())
    assert content["systems"] == {"worse": str(worse), "predictions": str(tmp_path / "predictions.json")}
    flipped = len(list(csv.DictReader((tmp_path / "f.csv").open())))
    assert flipped == len(content["flipped"]) >= 48
    assert f"Flipped questions: {flipped} right only under predictions, 0 only under worse" in done.stdout
    assert run_mevlip("compare", worse, "--truth", EXAMPLES).returncode == 2


def test_five_files_are_compared_on_two_screens(predictions: Callable[..., Path], tmp_path: Path) -> None:
    def forget(some: int) -> Alter:
        def alter(rows: list[dict[str, Any]]) -> None:
            answer_zero(rows[::some] if some else [])

        return alter

    files = [str(predictions(forget(some), f"every{some}.json")) for some in (0, 5, 3, 2, 1)]
    done = CliRunner().invoke(
        compare_command,
        [*files, "--truth", str(EXAMPLES), "--resamples", "60", "--power", "--json", str(tmp_path / "c.json")],
    )
    assert done.exit_code == 0, done.output
    shown = done.output.splitlines()
    assert len(shown) <= 100 and max(map(len, shown)) <= 130
    assert "a every0  b every5  c every3  d every2  e every1" in done.output
    assert next(line for line in shown if line.startswith("every1")).split() == ["every1", *["0/0/18"] * 4, "-"]
    content = json.loads((tmp_path / "c.json").read_text())
    assert len(content["pairs"]) == 10 * len(content["rankings"]) and len(content["tallies"]) == 20
    for one in [*content["rankings"], *content["datasets"]]:
        assert one["systems"]["every0"]["rank"] == 1
    macro = next(one for one in content["rankings"] if (one["task"], one["protocol"]) == ("classification", "macro"))
    assert [own["rank"] for own in macro["systems"].values()] == [1, 2, 3, 4, 5]
    assert sum(macro["systems"]["every3"]["share_of_each_rank"]) == pytest.approx(1)
