"""Whether a training fits a card and a disk, told before it starts."""

from __future__ import annotations

import json
import sys
from collections import namedtuple
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from mevlip.core.errors import EnvironmentProblem
from mevlip_training.fitting import disk_line, doubts, gpu_problems, needs_of, obstacles, refuse_unfit
from mevlip_training.llamafactory import missing_packages
from mevlip_training.runs import AdapterRun, plan_run
from mevlip_training.shapes.internvl3 import internvl3_8b
from tests.conftest import ROOT, call_mevlip
from tests.training.conftest import COUNTING

CONFIGS = ROOT / "llamafactory_configs"
TURNS = [{"from": "human", "value": "<image>\nWhich?"}, {"from": "gpt", "value": "A"}]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with InternVL3-8B's config.json alone: no tokenizer, no weights."""
    folder = tmp_path_factory.mktemp("full")
    internvl3_8b().save_pretrained(folder)
    return folder


@pytest.fixture
def rows(data: Path) -> Path:
    """The prepared folder, its only row in the form that InternVL's template has."""
    (data / "counting.jsonl").write_text(json.dumps({"conversations": TURNS}) + "\n", "utf-8")
    return data


@pytest.fixture(autouse=True)
def llamafactory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that has LLaMA-Factory and nothing more than this one."""
    (tmp_path / "python").symlink_to(sys.executable)
    monkeypatch.setattr("mevlip_training.llamafactory.find_command", lambda: tmp_path / "llamafactory-cli")
    monkeypatch.setattr("mevlip_training.fitting.find_command", lambda: tmp_path / "llamafactory-cli")


def planned(data: Path, base: Path | None = None, **overlay: Any) -> AdapterRun:
    return plan_run("counting", CONFIGS, data, data.parent / "runs", overlay, str(base) if base else None)


def dry(data: Path, base: Path, *options: object) -> Result:
    return call_mevlip(
        "train", "adapters", data, "--task", "counting", "--config-dir", CONFIGS, "--base", base,
        "--out", data.parent / "runs", "--dry-run", *options,
    )  # fmt: skip


def test_a_dry_run_tells_memory_and_disk_by_arithmetic(rows: Path, full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mevlip_training.memory.free_gpu_memory", lambda: 16_000_000_000)
    done = dry(rows, full)
    assert done.exit_code == 0, done.stderr
    line, *notes = done.stdout.splitlines()[2:]
    assert line.split()[:7] == ["counting", "1", "-", "3", "-", "2048", "17.1"]
    assert "arithmetic, not measured" in notes[0]
    assert notes[1].startswith("disk: arithmetic; 0.4 GB will be written to ")
    assert "rows were not measured" in notes[2]
    assert notes[3] == (
        "- counting needs 18.0 GB of the GPU, and 16.0 are free: set per_device_train_batch_size to 1 and "
        "gradient_accumulation_steps to 8 in an --overlay (12.6 GB)"
    )
    assert not (rows.parent / "runs").exists()


@pytest.mark.parametrize(("card", "said"), [(24, None), (16, "to 1 and gradient"), (8, "fewer images")])
def test_a_card_can_be_named_that_is_not_in_this_machine(rows: Path, full: Path, card: int, said: str | None) -> None:
    lines = [line for line in dry(rows, full, "--card", card).stdout.splitlines() if "of the GPU" in line]
    assert [said in line for line in lines] == ([True] if said else [])


def test_a_card_is_of_a_dry_run_alone(rows: Path, full: Path) -> None:
    done = call_mevlip("train", "adapters", rows, "--base", full, "--card", 24)
    assert done.exit_code == 2 and "--card is for --dry-run" in done.stderr


def test_the_remedy_for_a_small_card_fits_it(rows: Path, full: Path) -> None:
    needs = needs_of([planned(rows, full)])
    assert needs["counting"].gpu
    free = needs["counting"].gpu - 1e9
    assert len(list(gpu_problems(needs.values(), free))) == 1
    adjusted = needs_of([planned(rows, full, per_device_train_batch_size=1, gradient_accumulation_steps=8)])
    assert not list(gpu_problems(adjusted.values(), free))


def saved_step(output: Path, size: int) -> None:
    folder = output / "checkpoint-1"
    folder.mkdir(parents=True)
    (folder / "optimizer.pt").write_bytes(b"x" * size)


def test_disk_counts_saved_steps_weights_and_what_is_there_already(rows: Path, full: Path) -> None:
    numbers = 20_185_088  # of the 8B shape at rank 8
    last = numbers * (4 + 2)
    for overlay, steps in (
        ({"save_strategy": "no"}, 0),
        ({"max_steps": 600, "save_steps": 500}, 2),
        ({"max_steps": 60_000, "save_steps": 500}, 3),
        ({"max_steps": 60_000, "save_steps": 500, "save_total_limit": None}, 121),
        ({"max_steps": 100, "save_steps": 0.25, "save_total_limit": 9}, 4),
    ):
        expected = steps * numbers * (4 + 8) + last
        assert needs_of([planned(rows, full, **overlay)])["counting"].disk == pytest.approx(expected, rel=0.05), overlay
    whole = needs_of([planned(rows, full)])["counting"].disk
    saved_step(planned(rows).output, 1_000_000)
    assert needs_of([planned(rows, full)])["counting"].disk == whole - 1_000_000


def test_a_disk_that_is_too_small_is_refused_with_the_remedy(
    rows: Path, full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(2, 2, 200_000_000))
    done = call_mevlip(
        "train", "adapters", rows, "--task", "counting", "--config-dir", CONFIGS, "--base", full,
        "--out", rows.parent / "runs",
    )  # fmt: skip
    assert isinstance(done.exception, EnvironmentProblem)
    assert "0.4 GB will be written" in str(done.exception) and "0.2 GB are free. Free space" in str(done.exception)
    assert not (rows.parent / "runs").exists()
    assert "- 0.4 GB will be written" in dry(rows, full).stdout


def test_a_finished_run_needs_no_more(rows: Path, full: Path) -> None:
    run = planned(rows, full, report_to="no_such_reporter")
    run.output.mkdir(parents=True)
    results = {"train_loss": 1.5, "train_runtime": 3723.2, "epoch": 3.0}
    (run.output / "train_results.json").write_text(json.dumps(results), "utf-8")
    (run.output / "adapter_model.safetensors").touch()
    needs = needs_of([run])
    assert disk_line(needs.values(), run.output)[0].startswith("0.0 GB")
    assert not list(gpu_problems(needs.values(), 1))
    refuse_unfit([run], needs, run.output)


def test_a_base_that_is_elsewhere_is_named(rows: Path) -> None:
    run = planned(rows)
    assert needs_of([run]) == {}
    absent, unmeasured = doubts([run], {}, None)
    assert "OpenGVLab/InternVL3-8B-hf: not on this machine" in absent and "counting: rows were not" in unmeasured


def test_packages_that_a_config_asks_for_and_that_are_missing_are_named_before_anything_is_trained(
    rows: Path, tmp_path: Path
) -> None:
    assert missing_packages(COUNTING) == []
    assert missing_packages({"report_to": ["json", "no_such_reporter"]}) == ["no_such_reporter"]
    absent = find_spec("deepspeed") is None
    assert missing_packages({"report_to": "none", "deepspeed": "x.json"}) == ["deepspeed"] * absent
    run = planned(rows, report_to="no_such_reporter")
    with pytest.raises(EnvironmentProblem, match=r"counting\.yaml asks for no_such_reporter.*pip install"):
        refuse_unfit([run], {}, tmp_path)
    refuse_unfit([planned(rows)], {}, tmp_path)


def test_a_dry_run_says_that_llamafactory_is_not_installed(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> Path:
        raise EnvironmentProblem("llamafactory-cli was not found", "Install it.")

    monkeypatch.setattr("mevlip_training.fitting.find_command", absent)
    assert list(obstacles([planned(rows)], {}, tmp_path)) == [("llamafactory-cli was not found", "Install it.")]
