"""What TRL samples from is what the predictor asks: token ids and pixels are equal."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from mevlip.checkpoints.checkpoint import read_checkpoint
from mevlip.checkpoints.routes import read_route
from mevlip.flare.questions import read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.prompts import build_prompt
from mevlip_training.data.prepare import Choices, prepare
from mevlip_training.demo.inputs import write_training
from mevlip_training.demo.wordings import DATASETS
from mevlip_training.grpo.curriculum import closed_first
from mevlip_training.grpo.plan import GrpoRun, plan_grpo
from mevlip_training.grpo.settings import CONFIG
from tests.conftest import DEMO, HANG, ROOT, TRAIN_PYTHON, needs_training_environment
from tests.training.grpo.conftest import SMALL
from tests.training.parity import write_odd_images

pytestmark = [needs_training_environment, pytest.mark.model]


def sampled_from(run: GrpoRun, folder: Path) -> dict[str, torch.Tensor]:
    """What TRL gives the model."""
    run.output.mkdir(parents=True)
    config, kept = folder / "config.yaml", folder / "kept.safetensors"
    config.write_text(yaml.safe_dump(run.config), "utf-8")
    sources = [str(ROOT / one) for one in ("training/mevlip_training/cpu", "submission", "validation", "training")]
    command = [str(TRAIN_PYTHON), str(ROOT / "tests" / "training" / "encode_grpo.py"), str(config), str(kept)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sources)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return load_file(kept)


@pytest.mark.parametrize("name", ["demo", "thin"])
def test_ids_and_pixels_are_those_of_the_predictor(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    checkpoint = read_checkpoint(DEMO if name == "demo" else request.getfixturevalue("thin_checkpoint"))
    base, made = checkpoint.folder / "base", checkpoint.manifest.base
    source = tmp_path / "flare" / "training"
    write_training(source, 6, {one.name: 2 for one in DATASETS})
    write_odd_images(source / "Xray" / "odd")
    choices = Choices("first", tokenizer=base, base_model=made.name, base_revision=made.revision)
    prepare(tmp_path / "flare", tmp_path / "data", choices, quiet=True)
    file = tmp_path / "data" / "generalist.jsonl"
    lines = [line for line in file.read_text("utf-8").splitlines() if len(json.loads(line)["images"]) == 1]  # no volume
    file.write_text("\n".join(lines), "utf-8")
    rows = len(lines)
    overlay = SMALL | {"num_generations": 2, "per_device_train_batch_size": 2 * rows, "steps_per_generation": 1}
    run = plan_grpo(
        "generalist", CONFIG, tmp_path / "data", checkpoint.folder / "adapters", tmp_path / "runs", overlay, str(base)
    )

    seen = sampled_from(run, tmp_path)

    questions = {
        f"{Path(one.file).parent.name}/{Path(one.file).stem}/{one.index}": one
        for one in read_input_folder(tmp_path / "flare").questions
    }
    encoder, route = PromptEncoder("internvl", base), read_route(tmp_path / "data" / "routes" / "generalist")
    store = ImageStore((tmp_path / "flare").resolve())
    order = closed_first([one.spec for one in run.questions], run.settings.seed)
    assert len(seen["input_ids"]) == 2 * rows
    for place, index in enumerate(order):
        question = questions[run.questions[index].id]
        loaded = store.load(question, route.images)
        prompt = build_prompt(question.text, 1, route.prompt, encoder.reserved)
        asked: Any = encoder.encode([prompt], [loaded.images], route.images)
        for twin in (2 * place, 2 * place + 1):
            ids = seen["input_ids"][twin][seen["attention_mask"][twin].bool()]
            assert ids.tolist() == asked["input_ids"][0].tolist()
            assert torch.equal(seen["pixel_values"][twin], asked["pixel_values"][0].to(seen["pixel_values"].dtype))
