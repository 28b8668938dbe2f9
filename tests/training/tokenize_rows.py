"""Run by the training environment: tokenizes rows as LLaMA-Factory does, and prints which cached file each result is.

Argument: a JSON file with a list of settings and the answer that the only row is to have.
"""

import json
import sys
from pathlib import Path

from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer

for settings, answer in json.loads(Path(sys.argv[1]).read_bytes()):
    file = Path(settings["dataset_dir"], f"{settings['dataset']}.jsonl")
    row = json.loads(file.read_bytes())
    if row["conversations"][1]["value"] != answer:
        row["conversations"][1]["value"] = answer
        file.write_text(json.dumps(row) + "\n", "utf-8")
    model_args, data_args, training_args, _, _ = get_train_args(settings)
    parts = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(parts["tokenizer"], data_args)
    rows = get_dataset(template, model_args, data_args, training_args, stage="sft", **parts)["train_dataset"]
    print("CACHED", rows.cache_files[0]["filename"])
