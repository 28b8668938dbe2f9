"""The log of a run: a line a step, no texts, whatever stopped it; its table, its chart and its command."""

from __future__ import annotations

import json
import random
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mevlip.core.errors import EnvironmentProblem, InputError
from mevlip_training.grpo import log
from mevlip_training.grpo.scoring import Scored
from mevlip_training.grpo.steps import Group, Step, summarize
from tests.conftest import call_mevlip
from tests.training.grpo.series import CAP, group, learning, step


def run_of(count: int, seed: int = 0) -> list[Step]:
    rng = random.Random(seed)
    return [step(number, learning(rng, 0.5), kl=rng.random()) for number in range(1, count + 1)]


def written(folder: Path, steps: list[Step]) -> Path:
    path = folder / log.LOG_NAME
    for one in steps:
        log.append(path, one)
    return path


def logged(steps: list[Step]) -> list[Step]:
    return [one.model_copy(update={"commonest": ""}) for one in steps]


def test_a_step_is_what_its_completions_were() -> None:
    first = group([1.0, 0.2, 0.2, 0.2], ["B", "A", "A", "C"], tokens=4)
    second = group([1.0] * 4, ["A"] * 4, tokens=CAP, times_truth=3)
    third = group([0.2] * 4, ["D"] * 4, tokens=4)
    one = summarize(7, [first, second, third], kl=0.5, loss=-0.25, learning_rate=1e-6, seconds=2)
    assert (one.step, one.groups, one.completions) == (7, 3, 12)
    assert one.total.mean == pytest.approx((1.6 + 4 + 0.8) / 12)
    assert set(one.parts) == {"format", "letter"} and one.parts["format"].mean == 1 and one.parts["format"].std == 0
    assert (one.length_max, one.length_mean) == (CAP, pytest.approx((4 * 8 + CAP * 4) / 12))
    assert one.at_cap == pytest.approx(1 / 3) and one.times_truth == 1
    assert one.flat == pytest.approx(2 / 3) and one.stuck == pytest.approx(1 / 3)
    assert one.commonest_share == 0.5


def test_rewards_of_several_tasks_are_each_over_their_own_completions() -> None:
    boxes = Group([Scored({"format": 0.5, "boxes": 0.4}, 0.42, "[]", 1.0)] * 2, [4, 4])
    one = summarize(1, [group([1.0, 0.0]), boxes])
    assert {name: part.mean for name, part in one.parts.items()} == {"format": 0.75, "letter": 0.5, "boxes": 0.4}


def test_the_log_holds_no_answer_and_is_read_back(tmp_path: Path) -> None:
    steps = run_of(5)
    path = written(tmp_path, steps)
    assert log.read(path) == logged(steps)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert len(lines) == 5 and "commonest" not in lines[0]
    assert steps[0].commonest not in path.read_text("utf-8")
    wanted = {"total", "parts", "length_mean", "length_max", "at_cap", "kl", "loss", "flat", "learning_rate", "seconds"}
    assert wanted <= lines[0].keys()


def test_a_loss_that_is_no_number_is_logged_as_unknown(tmp_path: Path) -> None:
    path = written(tmp_path, [step(1, learning(random.Random(), 0.5), loss=float("nan"))])
    assert json.loads(path.read_text("utf-8"))["loss"] is None
    assert log.read(path)[0].loss is None


@pytest.mark.parametrize("torn", [b"", b"{", b'{"step": 3, "tot', b"\xff\xfe", b"[" * 100_000, b'{"step": 3}', b"7\n"])
def test_a_torn_line_costs_that_line_alone(tmp_path: Path, torn: bytes) -> None:
    steps = run_of(4)
    path = written(tmp_path, steps[:2])
    with path.open("ab") as file:
        file.write(torn)
    assert log.read(path) == logged(steps[:2])
    log.append(path, steps[3])
    assert log.read(path) == logged([*steps[:2], steps[3]])


def test_steps_that_a_resumed_run_repeats_count_once(tmp_path: Path) -> None:
    first, again = run_of(7), run_of(6, seed=1)
    path = written(tmp_path, [*first, *again[4:]])
    assert log.read(path) == logged([*first[:4], *again[4:]])


@pytest.mark.parametrize("content", [None, b"", b"no log\n"])
def test_what_is_no_log_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / log.LOG_NAME
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"grpo-log\.jsonl .*Name the log or the folder of a GRPO run"):
        log.read(path)


def test_a_log_that_cannot_be_written_is_an_error_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        log.append(tmp_path / "absent" / log.LOG_NAME, run_of(1)[0])


@pytest.mark.parametrize(("count", "lines", "shown"), [(1, 20, [1]), (3, 20, [1, 2, 3]), (101, 3, [1, 51, 101])])
def test_the_table_shows_evenly_spaced_steps(count: int, lines: int, shown: list[int]) -> None:
    header, _, *rows = log.show(run_of(count), lines).splitlines()
    assert [int(row.split()[0]) for row in rows] == shown
    for name in ("reward", "format", "letter", "tokens", "at cap", "KL", "zero variance"):
        assert name in header


def test_the_command_shows_and_draws_a_run(tmp_path: Path) -> None:
    written(tmp_path, run_of(30))
    figure = tmp_path / "new" / "run.svg"
    result = call_mevlip("train", "rewards", tmp_path, "--steps", "4", "--figure", figure)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == ["1", "11", "20", "30"]
    texts = [
        "".join(one.itertext()).strip() for one in ElementTree.parse(figure).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert {"reward", "weighted mean", "format", "letter", "tokens of a completion", "zero variance"} <= set(texts)
    before = figure.read_bytes()
    call_mevlip("train", "rewards", tmp_path / log.LOG_NAME, "--figure", figure)
    assert figure.read_bytes() == before


def test_a_run_of_one_step_without_divergence_is_drawn(tmp_path: Path) -> None:
    written(tmp_path, [step(1, learning(random.Random(), 0.5), kl=None, loss=None)])
    result = call_mevlip("train", "rewards", tmp_path, "--figure", tmp_path / "run.svg")
    assert result.exit_code == 0 and " -  " in result.stdout, result.output
    assert (tmp_path / "run.svg").stat().st_size > 1000
