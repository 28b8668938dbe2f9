"""Reads configs as `llamafactory-cli train` does and prints what it made of them as one line of JSON.

Runs in the training environment: `parse_configs.py CONFIG...`, in an empty folder, with the folder
`training/mevlip_training/cpu` on PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from llamafactory.data import get_template_and_fix_tokenizer
from llamafactory.hparams import get_ray_args, get_train_args, read_args
from llamafactory.model.adapter import init_adapter
from llamafactory.train.tuner import run_exp
from torch.utils.data import DataLoader
from transformers import AutoModelForImageTextToText, AutoTokenizer, Trainer

from mevlip_training.shapes.internvl3 import internvl3_8b
from mevlip_training.shapes.qwen3_5 import qwen3_5_9b

ROOT = Path(__file__).resolve().parents[2]
TOKENIZER = ROOT / "checkpoints" / "demo" / "base"
LOGGED_ROWS = 68_601


def command_line(config: str, *overrides: str) -> dict[str, Any]:
    """The merged settings of `llamafactory-cli train CONFIG KEY=VALUE...`."""
    sys.argv = ["llamafactory-cli", config, "use_cpu=true", *overrides]
    return read_args()


def error_of(function: Any, settings: dict[str, Any]) -> str:
    """What the function says when it refuses the settings; empty where it takes them."""
    try:
        function(settings)
    except Exception as error:  # noqa: BLE001 - the tests look at whatever comes
        return f"{type(error).__name__}: {error}"
    return ""


def optimizer_steps(arguments: Any, rows: int) -> int:
    """The Trainer's own count of optimizer steps on one device."""
    # The method's steps depend on the batches alone; the stand-ins feed its other results.
    stub = SimpleNamespace(get_total_train_batch_size=lambda _: 0, get_sp_size=lambda: 1, num_examples=lambda _: rows)
    batches = DataLoader(range(rows), batch_size=arguments.per_device_train_batch_size)
    return int(Trainer.set_initial_training_values(stub, arguments, batches)[-1])


def lora(settings: dict[str, Any], shape: Any = None) -> dict[str, Any]:
    """What LLaMA-Factory itself makes trainable in a model of a true shape that has no memory behind it."""
    model_args, _, _, finetuning, _ = get_train_args(settings)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(shape or internvl3_8b())
    base = model.num_parameters()
    adapted = init_adapter(model.config, model, model_args, finetuning, is_trainable=True)
    names = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    trainable = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    outside = [name for name in names if "language_model.layers" not in name or ".lora_" not in name]
    return {"base": base, "trainable": trainable, "outside": outside}


def parsed(settings: dict[str, Any]) -> dict[str, Any]:
    """The parser's five groups in one flat dictionary, and what follows from them."""
    groups = get_train_args(settings)
    flat = {key: value for group in groups for key, value in vars(group).items() if key in settings}
    model_args, data_args, arguments, _, _ = groups
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER, local_files_only=True)
    template = get_template_and_fix_tokenizer(tokenizer, data_args)
    turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    flat["prompt"] = tokenizer.decode(template.encode_oneturn(tokenizer, turns)[0])
    flat["compute_dtype"] = str(model_args.compute_dtype)
    flat["steps"] = optimizer_steps(arguments, LOGGED_ROWS)
    flat["warmup"] = arguments.get_warmup_steps(flat["steps"])
    flat["checkpointed"] = not model_args.disable_gradient_checkpointing
    return flat


def main(configs: list[str]) -> None:
    report: dict[str, Any] = {"parsed": {}, "needs_package": {}, "lora": {}, "hybrid": {}}
    for config in configs:
        settings = command_line(config)
        if "deepspeed" in settings:
            report["needs_package"][config] = error_of(get_train_args, settings)
            del settings["deepspeed"]
        report["parsed"][config] = parsed(settings)
        if settings["template"] == "intern_vl" and settings["lora_target"] not in report["lora"]:
            report["lora"][settings["lora_target"]] = lora(settings)
        if settings["template"] == "qwen3_5_nothink":
            for targets in (settings["lora_target"], "all"):
                report["hybrid"][targets] = lora({**settings, "lora_target": targets}, qwen3_5_9b())
    report["misspelled"] = error_of(get_train_args, command_line(configs[0], "lora_rnak=8"))
    report["ray_switch"] = error_of(get_train_args, command_line(configs[0], "use_ray=true"))

    ray = next(config for config in configs if "ray_num_workers" in command_line(config))
    os.environ["USE_RAY"] = "1"
    arguments = get_ray_args(command_line(ray, "ray_init_kwargs.address=auto"))
    report["ray"] = {key: getattr(arguments, key) for key in ("use_ray", "ray_num_workers", "ray_init_kwargs")}
    if "ray" not in sys.modules:  # where ray is installed this would start a cluster
        report["needs_package"][ray] = error_of(run_exp, command_line(ray))
    print(json.dumps(report, default=str))


if __name__ == "__main__":
    main(sys.argv[1:])
