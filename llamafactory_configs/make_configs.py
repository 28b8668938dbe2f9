"""Writes the eight configs of every other base from those of InternVL3-8B; `--check` only compares.

A base's folder is named after it, for `mevlip train adapters --config-dir`. What differs is listed here, nowhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
_PAPER = "Paper: one A100 with 40 GB and these hyper-parameters for all three bases; no log of it was published."
_NOT_IN_PAPER = "Not in the paper: its hyper-parameters, on a base that it does not have."


@dataclass(frozen=True)
class Base:
    """A base model.

    Attributes:
        title: Its name in the headers.
        prepare: Options of `mevlip data prepare` for its rows.
        lines: What stands in place of the line of a key; empty for nothing.
        in_paper: Whether it is one of the paper's three.
    """

    title: str
    prepare: str
    lines: Mapping[str, str]
    in_paper: bool = True


BASES = {
    "qwen2_5_vl_7b": Base(
        "Qwen2.5-VL-7B",
        "--max-pixels 200704 --tokenizer BASE --base-model Qwen/Qwen2.5-VL-7B-Instruct --base-revision REVISION",
        {
            "model_name_or_path": "model_name_or_path: Qwen/Qwen2.5-VL-7B-Instruct",
            "model_revision": "model_revision: cc594898137f460bfe9f0759e9844b3ce807cfb5",
            "template": "template: qwen2_vl",
            "default_system": 'default_system: "" # without this line LLaMA-Factory adds an English system turn',
            "image_max_pixels": "image_max_pixels: 200704 # 448 x 448, 256 tokens as with InternVL's one tile; "
            "at 589824 three overflow cutoff_len",
            "crop_to_patches": "",
        },
    ),
    "qwen3_vl_8b": Base(
        "Qwen3-VL-8B",
        "--max-pixels 262144 --tokenizer BASE --base-model Qwen/Qwen3-VL-8B-Instruct --base-revision REVISION",
        {
            "model_name_or_path": "model_name_or_path: Qwen/Qwen3-VL-8B-Instruct",
            "model_revision": "model_revision: 0c351dd01ed87e9c1b53cbc748cba10e6187ff3b",
            "template": "template: qwen3_vl_nothink",
            "image_max_pixels": "image_max_pixels: 262144 # 512 x 512, 256 tokens as with InternVL's one tile; "
            "at 589824 four overflow cutoff_len",
            "crop_to_patches": "",
        },
        in_paper=False,
    ),
    "qwen3_5_9b": Base(
        "Qwen3.5-9B",
        "--max-pixels 262144 --tokenizer BASE --base-model Qwen/Qwen3.5-9B --base-revision REVISION",
        {
            "model_name_or_path": "model_name_or_path: Qwen/Qwen3.5-9B",
            "model_revision": "model_revision: c202236235762e1c871ad0ccb60c8ee5ba337b9a",
            "template": "template: qwen3_5_nothink",
            # The paper's seven would leave 24 of 32 layers with their feed-forward part alone.
            "lora_target": "lora_target: q_proj,k_proj,v_proj,o_proj,up_proj,gate_proj,down_proj,"
            "in_proj_qkv,in_proj_z,in_proj_b,in_proj_a,out_proj "
            "# the last five are of the layers without attention, three of four",
            "image_max_pixels": "image_max_pixels: 262144 # 512 x 512, 256 tokens as with InternVL's one tile; "
            "at 589824 four overflow cutoff_len",
            "crop_to_patches": "",
        },
        in_paper=False,
    ),
    "fleming_vl_8b": Base(
        "Fleming-VL-8B",
        "--tokenizer BASE --base-model UbiquantAI/Fleming-VL-8B --base-revision REVISION",
        {
            "model_name_or_path": "model_name_or_path: bases/fleming-vl-8b # as `mevlip checkpoint convert` writes it",
            "model_revision": "",
        },
        in_paper=False,
    ),
    "fleming_vl_38b": Base(
        "Fleming-VL-38B",
        "--tokenizer BASE --base-model UbiquantAI/Fleming-VL-38B --base-revision REVISION",
        {
            "model_name_or_path": "model_name_or_path: bases/fleming-vl-38b # as `mevlip checkpoint convert` writes it",
            "model_revision": "",
            "per_device_train_batch_size": "per_device_train_batch_size: 1 # by arithmetic 31 GB at 2,048 tokens, "
            "and 37 for two rows",
            "gradient_accumulation_steps": "gradient_accumulation_steps: 8 # keeps the global batch at 8",
        },
        in_paper=False,
    ),
    "medgemma_4b": Base(
        "MedGemma-4B",
        "--tokenizer BASE --base-model google/medgemma-4b-it --base-revision REVISION",
        {
            "model_name_or_path": "model_name_or_path: google/medgemma-4b-it # accept its terms on the hub first",
            "model_revision": "model_revision: 290cda5eeccbee130f987c4ad74a59ae6f196408",
            "template": "template: gemma3",
            "default_system": 'default_system: ""',
            "crop_to_patches": "image_do_pan_and_scan: false # one view, so 256 tokens per image",
        },
    ),
}


def render(name: str, adapter: str) -> str:
    """The text of a base's config of an adapter."""
    what, _, _, *rest = (FOLDER / f"{adapter}.yaml").read_text("utf-8").splitlines()
    base = BASES[name]
    lines = {**base.lines, "output_dir": f"output_dir: runs/{name}/{adapter}"}
    header = [
        f"{what} Base: {base.title}; written by make_configs.py.",
        f"# {_PAPER if base.in_paper else _NOT_IN_PAPER} Rows: mevlip data prepare FLARE {base.prepare}",
        f"# llamafactory-cli train llamafactory_configs/{name}/{adapter}.yaml",
    ]
    changed = [lines.get(line.partition(":")[0], line) for line in rest]
    kept = [new for old, new in zip(rest, changed, strict=True) if new or not old]
    return "\n".join([*header, *kept, ""])


def files() -> Iterator[tuple[Path, str]]:
    """Every file with its text."""
    for name in BASES:
        for source in sorted(FOLDER.glob("*.yaml")):
            yield FOLDER / name / source.name, render(name, source.stem)


if __name__ == "__main__":
    for path, text in files():
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
        elif not path.is_file() or path.read_text("utf-8") != text:
            sys.exit(f"{path} is out of date: run python llamafactory_configs/make_configs.py")
