"""Stands in for `llamafactory-cli train CONFIG`: leaves behind what the real one does, and counts its calls."""

import json
import sys
from pathlib import Path

import numpy as np
import yaml
from safetensors.numpy import save_file

settings = yaml.safe_load(Path(sys.argv[2]).read_text())
out = Path(settings["output_dir"])
with (out / "calls").open("a") as calls:
    calls.write(f"{sys.argv[1]}\n")
with (out / "trainer_log.jsonl").open("a") as log:
    for step in (1, 2):
        log.write(json.dumps({"current_steps": step, "total_steps": 2}) + "\n")
weights = {name: np.ones((2, 2), np.float32) for name in ("a.lora_A.weight", "a.lora_B.weight")}
save_file(weights, out / "adapter_model.safetensors")
config = {"base_model_name_or_path": "/secret/place", "r": 8, "target_modules": ["q", "k"]}
(out / "adapter_config.json").write_text(json.dumps(config))
if settings.get("load_best_model_at_end"):
    (out / "checkpoint-1").mkdir()
    save_file(weights, out / "checkpoint-1" / "adapter_model.safetensors")
    losses = [{"step": 1, "loss": 2.0}, {"step": 1, "eval_loss": 0.25}, {"step": 2, "eval_loss": 0.75}]
    state = {"best_global_step": 1, "best_metric": 0.25, "log_history": losses}
    (out / "trainer_state.json").write_text(json.dumps(state))
results = {"train_loss": 1.5, "train_runtime": 3723.2, "epoch": 3.0}
(out / "train_results.json").write_text(json.dumps(results))
