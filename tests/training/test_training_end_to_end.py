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
from mevlip_training.runs import read_yaml, watching
from tests.conftest import DEMO, EXAMPLES, HANG, ROOT, call_mevlip, needs_training_environment, run_mevlip

pytestmark = [needs_training_environment, pytest.mark.model]


STEPS = 16
EVERY = 2
"""Steps between two that are logged, evaluated and saved."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs/counting` and `runs/adapters/counting`, trained for a few steps on four bits.

    The command was killed after the first saved step, and left another written by half, before it was given again. The
    validation rows have an answer that training leads away from, so that the first evaluated step is the best.
    """
    folder = tmp_path_factory.mktemp("training")
    for split, seed, rows in (("training", 8, 20), ("validation", 9, 4)):
        counts = {one.name: rows if one.name == "cell_fields" else 1 for one in DATASETS}
        write_training(folder / "flare" / split, seed, counts)
    base = read_checkpoint(DEMO).manifest.base
    prepared = run_mevlip(
        "data", "prepare", folder / "flare", "--out", folder / "data", "--validation", folder / "flare/validation",
        "--base-model", base.name, "--base-revision", base.revision, "--tokenizer", DEMO / "base",
    )  # fmt: skip
    assert prepared.returncode == 0, prepared.stderr
    file = folder / "data" / "counting_validation.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    for row in rows:
        row["conversations"][1]["value"] = "none at all"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    overlay = {
        **read_yaml(ROOT / "training" / "mevlip_training" / "demo" / "overlay.yaml"),
        "max_steps": STEPS,
        "logging_steps": EVERY,
        "save_strategy": "steps",
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
    name, rows_seen, steps, _, kept, *_ = done.stdout.splitlines()[-1].split()
    assert (name, rows_seen, steps, kept) == ("counting", "20", str(STEPS), str(EVERY))
    return folder


def logged(run: Path, key: str) -> dict[int, float]:
    """What the log says of each step."""
    entries = map(json.loads, (run / "trainer_log.jsonl").read_text().splitlines())
    return {entry["current_steps"]: entry[key] for entry in entries if key in entry}


def test_the_weights_of_the_best_step_of_all_starts_are_packed_not_those_of_the_last(trained: Path) -> None:
    run, packed = trained / "runs" / "counting", trained / "runs/adapters/counting"
    losses = logged(run, "eval_loss")
    assert losses.keys() == set(range(EVERY, STEPS + 1, EVERY))
    assert min(losses, key=losses.__getitem__) == EVERY
    first, last, kept = (
        load_file(folder / "adapter_model.safetensors")
        for folder in (run / f"checkpoint-{EVERY}", run / f"checkpoint-{STEPS}", packed)
    )
    assert all(value.bfloat16().equal(kept[name]) for name, value in first.items())
    assert not any(value.bfloat16().equal(kept[name]) for name, value in last.items() if "lora_B" in name)
    card = (packed / "README.md").read_text("utf-8")
    assert f"| kept step | {EVERY}, the one with the least validation loss |" in card
    assert f"| validation loss of this step | {losses[EVERY]:.4f} |" in card
    assert f"| validation loss of the last step | {losses[STEPS]:.4f} |" in card
    assert json.loads((run / "eval_results.json").read_bytes())["eval_loss"] == pytest.approx(losses[EVERY], rel=1e-3)
    assert (run / "training_eval_loss.png").stat().st_size > 1000


def test_rows_are_tokenized_once_for_all_starts(trained: Path) -> None:
    log = (trained / "runs/counting/train.log").read_text("utf-8", "replace")
    _, first, second = log.split("Loading dataset counting.jsonl")
    assert "Running tokenizer on dataset" in first and "Resuming training from" in second
    assert "Running tokenizer on dataset" not in second


def test_a_killed_run_goes_on_from_its_last_whole_step_and_its_figures_are_of_all_steps(trained: Path) -> None:
    run = trained / "runs" / "counting"
    assert "Resuming training from" in (run / "train.log").read_text("utf-8", "replace")
    own = json.loads((run / "train_results.json").read_bytes())["train_loss"]
    losses = logged(run, "loss")
    assert losses.keys() == set(range(EVERY, STEPS + 1, EVERY))
    mean = sum(losses.values()) / len(losses)
    assert own < mean
    card = (trained / "runs/adapters/counting/README.md").read_text("utf-8")
    assert f"| mean loss of the logged steps | {mean:.4f} |" in card
    assert f"| optimizer steps | {STEPS} |" in card and ", in 2 starts |" in card


def test_the_run_is_the_published_config_and_leaves_log_and_plot(trained: Path) -> None:
    run = trained / "runs" / "counting"
    published = read_yaml(ROOT / "llamafactory_configs" / "counting.yaml")
    given = read_yaml(run / "config.yaml")
    changed = {key for key in given if given[key] != published.get(key)}
    overlay = read_yaml(trained / "overlay.yaml")
    assert changed <= {
        *overlay,
        *watching("counting", published, 20),
        "dataset_dir",
        "output_dir",
        "model_name_or_path",
    }
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
