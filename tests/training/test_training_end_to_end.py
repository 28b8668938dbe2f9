"""A published config, LLaMA-Factory's own command, and the predictor: from training rows to answers, for real."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from mevlip.checkpoints.checkpoint import read_checkpoint
from mevlip_training.adapters import read_yaml
from mevlip_training.demo.inputs import write_training
from mevlip_training.demo.wordings import DATASETS
from tests.conftest import DEMO, EXAMPLES, ROOT, call_mevlip, needs_training_environment, run_mevlip

pytestmark = [needs_training_environment, pytest.mark.model]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs/counting` and `runs/adapters/counting`, trained for a few steps on four bits."""
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
        "max_steps": 4,
        "logging_steps": 1,
    }
    (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay), "utf-8")
    done = run_mevlip(
        "train", "adapters", folder / "data", "--task", "counting", "--base", DEMO / "base",
        "--overlay", folder / "overlay.yaml", "--out", folder / "runs", cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split()[:3] == ["counting", "20", "4"]
    return folder


def test_the_run_is_the_published_config_and_leaves_log_and_plot(trained: Path) -> None:
    run = trained / "runs" / "counting"
    published = read_yaml(ROOT / "llamafactory_configs" / "counting.yaml")
    given = read_yaml(run / "config.yaml")
    changed = {key for key in given if given[key] != published.get(key)}
    overlay = read_yaml(trained / "overlay.yaml")
    assert changed <= {*overlay, "dataset_dir", "output_dir", "model_name_or_path"}
    assert "Quantizing model to 4 bit" in (run / "train.log").read_text("utf-8", "replace")
    assert (run / "training_loss.png").stat().st_size > 1000
    losses = [json.loads(line).get("loss") for line in (run / "trainer_log.jsonl").read_text().splitlines()]
    assert len([loss for loss in losses if loss]) == 4


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
