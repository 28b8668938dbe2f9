"""The configs of Fleming-VL's first three stages hold its Table 2, and each trains the parts that it should."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from tests.conftest import DEMO, HANG, ROOT, TRAIN_PYTHON, needs_training_environment

FOLDER = ROOT / "llamafactory_configs" / "fleming_stages"
STAGES = {f"stage{number}": FOLDER / f"stage{number}.yaml" for number in (1, 2, 3)}
TABLE_2 = {
    "finetuning_type": "full",
    "weight_decay": 0.05,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.03,
    "num_train_epochs": 1,
    "optim": "adamw_torch",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "bf16": True,
    "crop_to_patches": True,
    "trust_remote_code": False,
    "use_fast_tokenizer": False,
    "default_system": "",
    "freeze_vision_tower": False,
    "freeze_multi_modal_projector": False,
}
GPUS, BATCH, ACCUMULATED = 8, 128, 2
RATES = {"stage1": 1e-5, "stage2": 1e-5, "stage3": 2e-5}
PARTS = ("vision_tower", "multi_modal_projector", "language_model")


def load(name: str) -> dict[str, Any]:
    settings = yaml.safe_load(STAGES[name].read_text("utf-8"))
    assert isinstance(settings, dict)
    return settings


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_holds_the_papers_settings(name: str) -> None:
    settings = load(name)
    assert {key: settings[key] for key in TABLE_2} == TABLE_2
    assert settings["learning_rate"] == RATES[name]
    assert settings["freeze_language_model"] == (name == "stage2")
    assert settings["gradient_accumulation_steps"] == ACCUMULATED
    assert settings["per_device_train_batch_size"] * ACCUMULATED * GPUS == BATCH


def test_a_stage_goes_on_from_the_one_before_it_and_they_differ_in_nothing_else() -> None:
    first, second, third = map(load, STAGES)
    generalist = yaml.safe_load((ROOT / "llamafactory_configs/generalist.yaml").read_text("utf-8"))
    assert first.pop("model_revision") == generalist["model_revision"]
    for before, after in ((first, second), (second, third)):
        assert after["model_name_or_path"] == before["output_dir"]
        differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert differing <= {"model_name_or_path", "output_dir", "dataset", "freeze_language_model", "learning_rate"}


def test_headers_and_readme_name_them() -> None:
    for path in STAGES.values():
        what, needs, command = path.read_text("utf-8").splitlines()[:3]
        assert what.startswith("# Trains ") and "eight GPUs" in needs and "never run on a GPU" in needs
        assert command.endswith(f"llamafactory-cli train {path.relative_to(ROOT)}")
        zero = json.loads((ROOT / load(path.stem)["deepspeed"]).read_bytes())
        assert zero["zero_optimization"]["stage"] == 3
        assert zero["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] is True
    assert "`fleming_stages/`" in (ROOT / "llamafactory_configs/README.md").read_text("utf-8")


def write_rows(folder: Path) -> None:
    """Four rows of each stage's kind, with pictures of noise."""
    folder.mkdir()
    noise = torch.randint(0, 256, (2, 120, 90, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for number, one in enumerate(noise):
        Image.fromarray(one.numpy()).save(folder / f"{number}.png")
    turns = {
        "interleaved": [("<image>", "A first paragraph."), ("<image>", "What follows it.")],
        "captions": [("<image>", "A field of cells.")],
        "instructions": [("<image>How many cells?", "12")],
    }
    info = {}
    for name, own in turns.items():
        talk = [{"from": who, "value": text} for pair in own for who, text in zip(("human", "gpt"), pair, strict=True)]
        row = {"conversations": talk, "images": [str(folder / f"{number}.png") for number in range(len(own))]}
        (folder / f"{name}.jsonl").write_text(f"{json.dumps(row)}\n" * 4, "utf-8")
        columns = {"messages": "conversations", "images": "images"}
        info[name] = {"file_name": f"{name}.jsonl", "formatting": "sharegpt", "columns": columns}
    (folder / "dataset_info.json").write_text(json.dumps(info))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder in which all stages ran for two steps on the demo's base, and what LLaMA-Factory read of each."""
    folder = tmp_path_factory.mktemp("stages")
    shutil.copytree(DEMO / "base", folder / "base")
    (folder / "data").mkdir()
    write_rows(folder / "data/fleming")
    overlay = {
        "use_cpu": True,
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-2,  # visible in bfloat16
        "warmup_ratio": 0.0,
        "crop_to_patches": False,
        "flash_attn": "disabled",
        "preprocessing_num_workers": 1,
        "dataloader_num_workers": 0,
        "plot_loss": False,
    }
    (folder / "overlay.json").write_text(json.dumps(overlay))
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "training" / "mevlip_training" / "cpu"),
        "HF_HUB_OFFLINE": "1",
        "LLAMAFACTORY_VERBOSITY": "WARN",
    }
    done = subprocess.run(
        [TRAIN_PYTHON, Path(__file__).with_name("run_stages.py"), folder / "overlay.json", *STAGES.values()],
        capture_output=True, text=True, check=False, timeout=HANG, env=environment, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.model
@needs_training_environment
def test_llamafactory_reads_every_value_as_written(ran: tuple[Path, dict[str, Any]]) -> None:
    for name in STAGES:
        written = load(name)
        del written["deepspeed"]
        written |= {"dataset": [written["dataset"]], "report_to": []}
        assert {key: ran[1][name][key] for key in written} == written


@pytest.mark.model
@needs_training_environment
def test_each_stage_changes_the_parts_that_it_trains_and_no_other(ran: tuple[Path, dict[str, Any]]) -> None:
    folders = [ran[0] / "base", *(ran[0] / "runs/fleming" / name for name in STAGES)]
    weights = [
        {name: one.bfloat16() for file in folder.glob("model*.safetensors") for name, one in load_file(file).items()}
        for folder in folders
    ]
    for number, name in enumerate(STAGES):
        before, after = weights[number : number + 2]
        assert before.keys() == after.keys()
        changed = {key.split(".")[0] for key, one in after.items() if not torch.equal(one, before[key])}
        assert changed == set(PARTS) - ({"language_model"} if name == "stage2" else set())
