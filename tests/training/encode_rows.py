"""Run by the training environment: writes what LLaMA-Factory would train on, for several configs.

Argument: a JSON file with the settings by the safetensors file that they fill.
"""

import json
import sys
from pathlib import Path

import torch
from llamafactory.data import SFTDataCollatorWith4DAttentionMask, get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer
from safetensors.torch import save_file


def encode(settings: dict[str, object], target: Path) -> None:
    model_args, data_args, training_args, _, _ = get_train_args(settings)
    parts = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(parts["tokenizer"], data_args)
    rows = get_dataset(template, model_args, data_args, training_args, stage="sft", **parts)["train_dataset"]
    collator = SFTDataCollatorWith4DAttentionMask(template=template, model=None, label_pad_token_id=-100, **parts)
    tensors: dict[str, torch.Tensor] = {}
    for index, row in enumerate(rows):
        batch = collator([dict(row)])
        length = int(batch["attention_mask"].sum())
        tensors[f"{index}.input_ids"] = batch["input_ids"][0, :length].clone()
        tensors[f"{index}.labels"] = batch["labels"][0, :length].clone()
        for key in ("pixel_values", "image_grid_thw", "token_type_ids"):
            if key in batch:
                tensors[f"{index}.{key}"] = (batch[key] if "ids" not in key else batch[key][0]).contiguous().clone()
    save_file(tensors, target)


if __name__ == "__main__":
    for target, variant in json.loads(Path(sys.argv[1]).read_bytes()).items():
        encode(variant, Path(target))
