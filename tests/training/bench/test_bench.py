"""`mevlip bench` on the demo: structure, equal answers and counters; no time is looked at."""

from __future__ import annotations

import json
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from mevlip.inference.loading import compute_dtype
from mevlip.tasks import TaskType
from mevlip_training.bench import cli, questions, systems
from mevlip_training.bench.machine import Stopwatch, measure_rates, one_thread
from mevlip_training.bench.measure import Spread, measure
from mevlip_training.bench.sides import SIDES
from mevlip_training.bench.tables import render
from mevlip_training.bench.work import Matmul
from tests.conftest import LOADING_FIXTURES

QUESTIONS = 9
SMALLEST = ("engine", "reference", "batched")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The command's JSON and text, all sides, once through nine questions."""
    assert "model" in LOADING_FIXTURES, "so that its tests are marked"
    file = tmp_path_factory.mktemp("bench") / "bench.json"
    arguments = ["--questions", str(QUESTIONS), "--rounds", "1", "--device", "cpu", "--quiet", "--json", str(file)]
    done = CliRunner().invoke(cli.bench, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(file.read_bytes()), done.stdout


def test_the_commands_choices_are_those_of_the_code() -> None:
    assert typing.get_args(systems.Shape) == cli._SHAPES
    assert typing.get_args(questions.Mix) == cli._MIXES
    assert tuple(SIDES) == cli._SIDES


def test_every_side_answers_every_question(model: tuple[dict[str, Any], str]) -> None:
    figures, _ = model
    assert list(figures["sides"]) == list(SIDES)
    assert list(figures["tasks"]) == [
        "classification", "multi_label_classification", "detection", "instance_detection", "regression",
    ]  # fmt: skip
    for side in figures["sides"].values():
        assert side["counters"]["questions"] == figures["questions"] == QUESTIONS
    assert figures["pictures"] < QUESTIONS, "some pictures are asked more than once"


def test_the_engine_answers_as_the_reference_does(model: tuple[dict[str, Any], str]) -> None:
    figures, _ = model
    same, all_ = figures["sides"]["reference"]["agreement"]
    assert all_ == QUESTIONS and same >= QUESTIONS - 1, "in bfloat16 one may fall on the other side of a tie"
    assert figures["sides"]["engine"]["agreement"] == [QUESTIONS, QUESTIONS]


def test_counters_show_what_each_loop_does_again(model: tuple[dict[str, Any], str]) -> None:
    sides = {name: side["counters"] for name, side in model[0]["sides"].items()}
    for name in ("published", "published-tiles"):
        assert sides[name]["router_forwards"] == sides[name]["adapter_switches"] == QUESTIONS
        assert sides[name]["forwards"] == sides[name]["generated_tokens"], "one row at a time"
    assert sides["published"]["tiles"] == sides["batched"]["tiles"] == QUESTIONS
    assert sides["published-tiles"]["tiles"] > 4 * QUESTIONS
    assert sides["published-tiles"]["prompt_tokens"] > 2 * sides["published"]["prompt_tokens"]
    assert sides["published"]["prompt_tokens"] == sides["batched"]["prompt_tokens"]
    assert sides["batched"]["forwards"] < sides["published"]["forwards"]
    assert sides["batched"]["adapter_switches"] == sides["engine"]["adapter_switches"] == len(model[0]["tasks"])
    assert sides["engine"]["forwards"] <= sides["batched"]["forwards"] < sides["reference"]["forwards"]


def test_shares_follow_from_work_and_measured_rates(model: tuple[dict[str, Any], str]) -> None:
    figures, _ = model
    assert figures["machine"]["operations"] > 0 and figures["machine"]["copied"] > 0
    sides = figures["sides"]
    assert sides["published"]["operations"] == pytest.approx(figures["operations"], rel=0.05)
    assert sides["published-tiles"]["operations"] > 1.5 * figures["operations"]
    assert 0 < sides["engine"]["bytes_read"] < sides["published"]["bytes_read"]
    assert figures["peak_bytes"] > 1 << 28
    assert figures["weights_gpu_bytes"] is None, "there is no GPU"


def test_the_tables_name_tasks_sides_ratios_and_what_they_are_worth(model: tuple[dict[str, Any], str]) -> None:
    _, text = model
    for wanted in (
        f"demo, {str(compute_dtype(torch.device('cpu')))[6:]}, cpu: {QUESTIONS} questions",
        "task ",
        "Multi-label classification",
        "published-tiles",
        "engine is faster",
        "of GEMM rate",
        "Peak main memory",
        "Not run on a GPU",
    ):
        assert wanted in text, wanted
    assert "Warning" not in text


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights say at most a few tokens to any task."""
    monkeypatch.setattr(systems, "BUDGETS", dict(zip(TaskType, (2, 8, 12, 24, 4, 6, 8), strict=True)))


@pytest.mark.model
@pytest.mark.usefixtures("brief")
def test_random_weights_in_float32_give_the_same_answers_however_they_are_batched(tmp_path: Path) -> None:
    found = measure("proportioned", "six", 7, SMALLEST, rounds=2, device="cpu", cache=tmp_path)
    assert list(found.tasks) == list(TaskType)
    assert found.agreement("reference") == (7, 7)
    assert found.agreement("batched") is None, "free answers of random weights mean nothing"
    assert found.dtype == "float32"
    assert found.unsteady() == []
    for sides in found.tasks.values():
        free, bound = (sides[side].outcome.cost.generated_tokens for side in ("batched", "reference"))
        assert bound <= free <= bound + 3 * sides["batched"].outcome.cost.questions, "no longer than a trained model's"
    assert [len(sides["engine"].seconds) for sides in found.tasks.values()] == [2] * 7
    assert "of GEMM rate" in render(found)
    [written] = tmp_path.iterdir()
    before = written.stat().st_mtime_ns
    assert systems.open_system("proportioned", "cpu", tmp_path).checkpoint.folder == written.resolve()
    assert written.stat().st_mtime_ns == before, "it is written once"


@pytest.mark.model
def test_the_host_bound_shape_answers(tmp_path: Path) -> None:
    system = systems.open_system("host-bound", "cpu", tmp_path)
    answer = system.predictor.ask("Which is it? A: This, B: That", task="classification")
    assert answer.text in ("A", "B") and not answer.failed


def test_the_clock_and_the_rates_measure_something() -> None:
    cpu = torch.device("cpu")
    watch = Stopwatch(cpu)
    sum(range(100_000))
    assert watch.stop().cpu > 0
    rates = measure_rates((Matmul(64, 64, 2),), cpu, torch.float32, rows=16)
    assert rates.operations > 0 and rates.copied > 0
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
