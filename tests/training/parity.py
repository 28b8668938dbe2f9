"""Rows as LLaMA-Factory trains on them, and what the predictor asks, side by side."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from mevlip.checkpoints.routes import PromptSettings, Route, read_route
from mevlip.flare.questions import Question, read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.prompts import build_prompt
from mevlip.tasks import GENERALIST
from mevlip_training.data.prepare import Choices, prepare
from mevlip_training.demo.inputs import write_training
from mevlip_training.demo.wordings import DATASETS
from mevlip_training.lengths import find_meter, written_rows
from mevlip_training.runs import read_yaml
from tests.conftest import HANG, ROOT, TRAIN_PYTHON, record


def write_odd_images(folder: Path) -> None:
    """Pictures that plain Pillow and the predictor could see differently: large, tiny, deep, see-through, turned."""
    noise = np.random.default_rng(0)
    images = folder / "imagesTr"
    images.mkdir(parents=True)
    Image.fromarray(noise.integers(0, 255, (900, 1300, 3), dtype=np.uint8)).save(images / "large.png")
    Image.fromarray(noise.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(images / "tiny.png")
    Image.fromarray(noise.integers(0, 60000, (90, 70), dtype=np.uint16)).save(images / "deep.png")
    Image.fromarray(noise.integers(0, 255, (90, 70, 4), dtype=np.uint8)).save(images / "seethrough.png")
    Image.fromarray(noise.integers(0, 255, (90, 70), dtype=np.uint8)).save(images / "gray.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise.integers(0, 255, (90, 70, 3), dtype=np.uint8)).save(images / "turned.jpg", exif=exif)
    rows = [record(f"What is {path.stem}? A: This, B: That", f"imagesTr/{path.name}", Answer="B", Split="train")
            for path in sorted(images.iterdir())]  # fmt: skip
    names = [f"imagesTr/{name}" for name in ("gray.png", "turned.jpg", "tiny.png", "deep.png")]
    volume = noise.normal(size=(13, 64, 64)).cumsum(axis=0).astype(np.float32)
    np.save(images / "volume.npy", volume)
    Image.fromarray(noise.integers(0, 255, (48, 48), dtype=np.uint8)).save(
        images / "film.gif", save_all=True, append_images=[Image.new("L", (48, 48), level) for level in (90, 180)]
    )
    rows += [
        record("Does it grow? A: Yes, B: No", "imagesTr/volume.npy", Answer="A", Split="train"),
        record("Do both? A: Yes, B: No", ["imagesTr/film.gif", "imagesTr/volume.npy"], Answer="A", Split="train"),
    ]
    rows.append(record("Do these four agree? A: Yes, B: No", names, Answer="A", Split="train"))
    (folder / "odd_questions_train.json").write_text(json.dumps(rows), "utf-8")


class Rows:
    """One prepared data set, its questions, and what LLaMA-Factory makes of it under several configs.

    `train` lets it make that, of several data sets in one process.

    Args:
        folder: Where to work.
        base: Folder of the base model, of which only tokenizer and image processor are used.
        variants: Changes to the published config, by name.
        each: Questions of each of the demo's data sets, besides those about odd images.
        prompt: The prompt's wording.
    """

    def __init__(
        self,
        folder: Path,
        base: Path,
        variants: Mapping[str, Mapping[str, Any]],
        each: int = 2,
        prompt: PromptSettings = PromptSettings(),  # noqa: B008 - frozen
    ) -> None:
        source = folder / "flare"
        write_training(source / "training", 6, {dataset.name: each for dataset in DATASETS})
        write_odd_images(source / "training" / "Xray" / "odd")
        prepare(source, folder / "data", Choices(tokenizer=base, prompt=prompt), quiet=True)
        self.route: Route = read_route(folder / "data" / "routes" / GENERALIST)
        lines = (folder / "data" / "generalist.jsonl").read_text("utf-8").splitlines()
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.root = source.resolve()
        self.questions = {
            f"{Path(question.file).parent.name}/{Path(question.file).stem}/{question.index}": question
            for question in read_input_folder(source).questions
        }
        self.settings = {
            **read_yaml(ROOT / "llamafactory_configs" / "generalist.yaml"),
            "model_name_or_path": str(base),
            "dataset_dir": str(folder / "data"),
            "output_dir": str(folder / "out"),
            "use_cpu": True,
            "preprocessing_num_workers": 1,
            "overwrite_cache": True,
        }
        self.folder = folder
        self.variants = {
            name: {key: value for key, value in {**self.settings, **change}.items() if value is not None}
            for name, change in variants.items()
        }
        self.trained: dict[str, dict[str, torch.Tensor]] = {}

    def asked(self, row: dict[str, Any], route: Route, encoder: PromptEncoder) -> Any:
        """The predictor's model inputs for a row's question."""
        question: Question = self.questions[row["id"]]
        loaded = ImageStore(self.root).load(question, route.images)
        prompt = build_prompt(question.text, len(loaded.images), route.prompt, encoder.reserved)
        return encoder.encode([prompt], [loaded.images], route.images)


def train(*several: Rows) -> None:
    """Takes data sets through LLaMA-Factory's own reading, templates and collator."""
    folder = several[0].folder
    targets = {
        str(rows.folder / f"{name}.safetensors"): settings
        for rows in several
        for name, settings in rows.variants.items()
    }
    (folder / "variants.json").write_text(json.dumps(targets), "utf-8")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "training" / "mevlip_training" / "cpu"),
        "HF_HOME": str(folder / "hf"),
    }
    command = [str(TRAIN_PYTHON), str(Path(__file__).with_name("encode_rows.py")), str(folder / "variants.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for rows in several:
        rows.trained = {name: load_file(rows.folder / f"{name}.safetensors") for name in rows.variants}


def length_differences(rows: Rows, variant: str, route: Route, base: Path) -> list[tuple[str, int, int]]:
    """Rows with other lengths than LLaMA-Factory's: id, tokens that were counted, its own number."""
    meter = find_meter(base)
    assert meter is not None
    found = []
    measured = written_rows(rows.folder / "data" / "generalist.jsonl", route.prompt, meter.image_gap)
    for index, row in enumerate(measured):
        tokens, true = meter.exact(row, route.images), len(rows.trained[variant][f"{index}.input_ids"])
        assert tokens <= meter.most(row, route.images)
        if tokens != true:
            found.append((row.id, tokens, true))
    return found


def differences(rows: Rows, variant: str, route: Route, encoder: PromptEncoder, end: str = "<|im_end|>") -> set[str]:
    """In what training and prediction differ, over all rows; an answer ends with a token of the family's."""
    found: set[str] = set()
    trained = rows.trained[variant]
    for index, row in enumerate(rows.rows):
        asked = rows.asked(row, route, encoder)
        prompt = asked["input_ids"][0].tolist()
        # Chat formats break the line after an end token; LLaMA-Factory trains on that break too.
        answer = encoder.tokenizer(f"{row['conversations'][1]['value']}{end}\n", add_special_tokens=False)["input_ids"]
        ids, labels = trained[f"{index}.input_ids"].tolist(), trained[f"{index}.labels"].tolist()
        if ids != prompt + answer:
            found.add("ids")
        if labels != [-100] * (len(labels) - len(answer)) + answer:
            found.add("mask")
        for key in ("pixel_values", "image_grid_thw"):
            seen = trained.get(f"{index}.{key}")
            if (seen is None) != (key not in asked) or (seen is not None and not torch.equal(seen, asked[key])):
                found.add("pixels")
        kinds = trained.get(f"{index}.token_type_ids")
        if kinds is not None and kinds[: len(prompt)].tolist() != asked["token_type_ids"][0].tolist():
            found.add("kinds")
    return found
