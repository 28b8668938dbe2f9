"""LLaMA-Factory's cache of tokenized rows: when a later start reuses it, and when it must not."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mevlip_training.runs import read_yaml
from tests.conftest import DEMO, HANG, ROOT, TRAIN_PYTHON, needs_training_environment

pytestmark = [pytest.mark.slow, needs_training_environment]

VARIANTS: dict[str, tuple[dict[str, Any], str]] = {
    "first": ({}, "3"),
    "again": ({"seed": 7, "learning_rate": 1.0e-5, "output_dir": "elsewhere"}, "3"),
    "cutoff": ({"cutoff_len": 1024}, "3"),
    "system": ({"default_system": "Be brief."}, "3"),
    "pixels": ({"image_max_pixels": 4096}, "3"),
    "tiles": ({"crop_to_patches": True}, "3"),
    "rows": ({}, "4"),
}


def test_tokenized_rows_are_found_again_and_never_taken_for_others(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "<image>\nHow many?"}, {"from": "gpt", "value": "3"}]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"conversations": turns, "images": ["one.png"]}) + "\n", "utf-8")
    Image.new("RGB", (80, 60), "gray").save(tmp_path / "one.png")
    columns = {"messages": "conversations", "images": "images"}
    info = {"rows": {"file_name": "rows.jsonl", "formatting": "sharegpt", "columns": columns}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info), "utf-8")
    settings = read_yaml(ROOT / "llamafactory_configs" / "counting.yaml") | {
        "model_name_or_path": str(DEMO / "base"),
        "dataset_dir": str(tmp_path),
        "dataset": "rows",
        "preprocessing_num_workers": 1,
        "use_cpu": True,
    }
    (tmp_path / "variants.json").write_text(
        json.dumps([(settings | change, answer) for change, answer in VARIANTS.values()]), "utf-8"
    )
    done = subprocess.run(
        [TRAIN_PYTHON, Path(__file__).with_name("tokenize_rows.py"), tmp_path / "variants.json"],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(ROOT / "training" / "mevlip_training" / "cpu"), "HF_HOME": str(tmp_path / "hf")},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    cached = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("CACHED ")]
    files = dict(zip(VARIANTS, cached, strict=True))
    assert files["again"] == files["first"]
    assert len(set(files.values())) == len(files) - 1, files
