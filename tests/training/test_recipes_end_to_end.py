"""LLaMA-Factory itself, unpatched, given what recipes say."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from mevlip.checkpoints.checkpoint import read_checkpoint
from mevlip.tasks import adapter_names
from mevlip_training.demo.inputs import write_training
from mevlip_training.demo.wordings import DATASETS
from mevlip_training.recipes.reading import read_recipe, shipped_recipes
from mevlip_training.runs import read_yaml
from tests.conftest import DEMO, HANG, ROOT, TRAIN_PYTHON, call_mevlip, needs_training_environment

pytestmark = [pytest.mark.model, needs_training_environment]

PARSE = """
import json, sys
from llamafactory.hparams import get_train_args, read_args
for path in sys.argv[1:]:
    sys.argv = ["llamafactory-cli", path, "use_cpu=true"]
    settings = read_args()
    groups = get_train_args(settings)
    print("PARSED", json.dumps({key: value for group in groups for key, value in vars(group).items()
                                if key in settings}, default=str))
"""


def test_llamafactory_reads_every_shipped_recipe_as_written(tmp_path: Path) -> None:
    written: list[dict[str, Any]] = []
    files = []
    for name in shipped_recipes():
        for adapter in adapter_names():
            overlay = read_recipe(name).recipe.overlay(adapter)
            files.append(tmp_path / f"{name}-{adapter}.yaml")
            files[-1].write_text(
                yaml.safe_dump(read_yaml(ROOT / "llamafactory_configs" / f"{adapter}.yaml") | overlay), "utf-8"
            )
            written.append(overlay)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "training/mevlip_training/cpu"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [TRAIN_PYTHON, "-c", PARSE, *files],
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    read = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("PARSED ")]
    assert len(read) == len(written)
    for overlay, settings in zip(written, read, strict=True):
        if "adapter_name_or_path" in overlay:
            overlay["adapter_name_or_path"] = [overlay["adapter_name_or_path"]]
        assert {key: settings[key] for key in overlay} == overlay


def test_a_second_stage_goes_on_from_the_weights_of_the_first(tmp_path: Path) -> None:
    write_training(tmp_path / "flare/training", 8, {one.name: 2 for one in DATASETS})
    recipe = tmp_path / "two.yaml"
    recipe.write_text(
        "default: {rank: 4}\nadapters: {counting: {start_from: regression, learning_rate: 1.0e-9}}", "utf-8"
    )
    base = read_checkpoint(DEMO).manifest.base
    done = call_mevlip(
        "data", "prepare", tmp_path / "flare", "--out", tmp_path / "data", "--recipe", recipe,
        "--base-model", base.name, "--base-revision", base.revision,
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    overlay = read_yaml(ROOT / "training/mevlip_training/demo/overlay.yaml") | {"max_steps": 2}
    del overlay["learning_rate"]
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(overlay), "utf-8")
    done = call_mevlip(
        "train", "adapters", tmp_path / "data", "--task", "counting", "--task", "regression", "--base", DEMO / "base",
        "--overlay", tmp_path / "overlay.yaml", "--out", tmp_path / "runs",
        "--config-dir", ROOT / "llamafactory_configs",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    first, second = (
        load_file(tmp_path / "runs" / name / "adapter_model.safetensors") for name in ("regression", "counting")
    )
    assert first.keys() == second.keys()
    assert {value.shape[0] for name, value in second.items() if "lora_A" in name} == {4}
    moved = max(float((first[name] - second[name]).abs().max()) for name in first)
    learned = max(float(value.abs().max()) for name, value in first.items() if "lora_B" in name)
    assert 0 < moved < 1e-7 < 1e-5 < learned  # at that learning rate it stays where it began, which is not at zero
