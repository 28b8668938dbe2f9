"""A published config, LLaMA-Factory's own command, and the predictor: from training rows to answers, for real."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from mevlip.checkpoints.checkpoint import read_checkpoint
from mevlip_training.demo.inputs import write_training
from mevlip_training.demo.wordings import DATASETS
from mevlip_training.runs import read_yaml
from tests.conftest import DEMO, EXAMPLES, HANG, ROOT, call_mevlip, needs_training_environment, run_mevlip

pytestmark = [needs_training_environment, pytest.mark.model]


STEPS = 16


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs/counting` and `runs/adapters/counting`, trained for a few steps on four bits.

    The command was killed after the first saved step, and left another written by half, before it was given again.
    """
    folder = tmp_path_factory.mktemp("training")
    write_training(
        folder / "flare" / "training", 8, {one.name: 20 if one.name == "cell_fields" else 1 for one in DATASETS}
    )
    base = read_checkpoint(DEMO).manifest.base
    prepared = run_mevlip(
        "data", "prepare", folder / "flare", "--out", folder / "data",
        "--base-model", base.name, "--base-revision", base.revision, "--tokenizer", DEMO / "base",
    )  # fmt: skip
    assert prepared.returncode == 0, prepared.stderr
    overlay = {
        **read_yaml(ROOT / "training" / "mevlip_training" / "demo" / "overlay.yaml"),
        "max_steps": STEPS,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": 2,
        "dataloader_num_workers": 1,
    }
    (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay), "utf-8")
    command = (
        "train", "adapters", folder / "data", "--task", "counting", "--base", DEMO / "base",
        "--overlay", folder / "overlay.yaml", "--out", folder / "runs",
    )  # fmt: skip
    output = folder / "runs" / "counting"
    with subprocess.Popen(
        [sys.executable, "-m", "mevlip", *map(str, command)], cwd=ROOT, stderr=subprocess.DEVNULL
    ) as killed:
        end = time.monotonic() + HANG
        while not list(output.glob("checkpoint-*/trainer_state.json")) and time.monotonic() < end:
            time.sleep(0.02)
        killed.kill()
    assert not (output / "train_results.json").exists()
    half = output / f"checkpoint-{STEPS - 1}"
    half.mkdir()
    (half / "adapter_model.safetensors").write_bytes(b"")
    done = run_mevlip(*command, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert f"{half} was renamed" in done.stderr
    assert done.stdout.splitlines()[-1].split()[:3] == ["counting", "20", str(STEPS)]
    return folder


def test_a_killed_run_goes_on_from_its_last_whole_step_and_its_figures_are_of_all_steps(trained: Path) -> None:
    run = trained / "runs" / "counting"
    assert "Resuming training from" in (run / "train.log").read_text("utf-8", "replace")
    own = json.loads((run / "train_results.json").read_bytes())["train_loss"]
    losses = {
        entry["current_steps"]: entry["loss"]
        for entry in map(json.loads, (run / "trainer_log.jsonl").read_text().splitlines())
        if "loss" in entry
    }
    assert losses.keys() == set(range(1, STEPS + 1))
    mean = sum(losses.values()) / STEPS
    assert own < mean
    card = (trained / "runs/adapters/counting/README.md").read_text("utf-8")
    assert f"| mean loss of all steps | {mean:.4f} |" in card
    assert f"| optimizer steps | {STEPS} |" in card and ", in 2 starts |" in card


def test_the_run_is_the_published_config_and_leaves_log_and_plot(trained: Path) -> None:
    run = trained / "runs" / "counting"
    published = read_yaml(ROOT / "llamafactory_configs" / "counting.yaml")
    given = read_yaml(run / "config.yaml")
    changed = {key for key in given if given[key] != published.get(key)}
    overlay = read_yaml(trained / "overlay.yaml")
    assert changed <= {*overlay, "dataset_dir", "output_dir", "model_name_or_path"}
    assert "Quantizing model to 4 bit" in (run / "train.log").read_text("utf-8", "replace")
    assert (run / "training_loss.png").stat().st_size > 1000


def test_the_adapter_is_rank_eight_on_the_language_model_alone(trained: Path) -> None:
    weights = load_file(trained / "runs" / "adapters" / "counting" / "adapter_model.safetensors")
    assert all("language_model" in name for name in weights)
    assert {value.shape[0] for name, value in weights.items() if "lora_A" in name} == {8}


def test_the_adapter_answers_through_the_predictor(trained: Path) -> None:
    adapters = trained / "all"
    shutil.copytree(DEMO / "adapters", adapters)
    shutil.rmtree(adapters / "counting")
    shutil.copytree(trained / "runs" / "adapters" / "counting", adapters / "counting")
    assembled = call_mevlip(
        "checkpoint", "assemble", "--base", DEMO / "base", "--adapters", adapters, "--router", DEMO / "router",
        "--out", trained / "checkpoint", "--kind", "demo",
    )  # fmt: skip
    assert assembled.exit_code == 0, assembled.stderr
    inputs = EXAMPLES / "Microscopy" / "cell_fields"
    done = call_mevlip(
        "predict", inputs, trained / "out", "--checkpoint", trained / "checkpoint", "--routing", "declared"
    )
    assert done.exit_code == 0, done.stderr
    answers = json.loads((trained / "out" / "predictions.json").read_bytes())
    assert len(answers) == 3
    assert all(record["Answer"].isdigit() for record in answers)
