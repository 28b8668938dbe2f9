"""A small input folder, and a model that sees its pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mevlip.inference.completion import Completion, Cost, Generation, Request
from mevlip.predictor import Predictor
from mevlip.routing.router import TaskPrediction
from mevlip.settings import PredictorSettings
from mevlip.tasks import TaskType
from mevlip_validation.ablation import read_folders
from mevlip_validation.perturbations.registry import find
from mevlip_validation.robustness.asking import Plan, Run, ask_perturbed
from mevlip_validation.robustness.sampling import Sample, draw_sample
from tests.conftest import DEMO, FakeEncoded, FakeModel

SIZE = (160, 120)
BOX = (50, 40, 110, 70)
LIT, BOXES, COUNT = (
    "Is it well lit? A: Yes, B: No",
    "Where is it, as [x_min, y_min, x_max, y_max]?",
    "How many are there?",
)
TASKS = {LIT: TaskType.CLASSIFICATION, BOXES: TaskType.DETECTION, COUNT: TaskType.COUNTING}
Answer = Callable[[str, np.ndarray[Any, Any]], str]
"""A question's text and the pixels of its first picture, (height, width, 3), to an answer."""


class SeeingModel(FakeModel):
    """Answers by a function of the question's text and its first picture's pixels."""

    def __init__(self, see: Answer) -> None:
        super().__init__()
        self.see = see

    def generate(self, requests: Sequence[Request]) -> Generation:
        written = []
        for request in requests:
            tiles = request.pictures[0].tiles
            assert tiles is not None and isinstance(request.prompt, FakeEncoded)
            written.append(Completion(self.see(request.prompt.text, tiles[0].transpose(1, 2, 0)), 1, 0.5))
        self.batches.append((self.adapter, [], [], len(requests)))
        return Generation(tuple(written), Cost())


class WordRouter:
    """Knows the questions above."""

    forwards = 0
    threshold = 0.5

    def classify(self, questions: Iterable[str]) -> dict[str, TaskPrediction]:
        return {text: TaskPrediction(TASKS[text], 0.9) for text in questions}


def see(text: str, pixels: np.ndarray[Any, Any]) -> str:
    """Reads the answer off the picture: its brightness, or the box around what is bright."""
    if BOXES in text:
        rows, columns = np.nonzero(pixels.mean(axis=2) >= 128)
        height, width = pixels.shape[:2]
        if not len(rows):
            return "[]"
        return boxes_in_thousandths((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), (width, height))
    if LIT in text:
        return "A" if 108 < pixels.mean() < 132 else "B"
    return "7"


def boxes_in_thousandths(box: Sequence[float], size: tuple[int, int]) -> str:
    """An answer in the demo model's own box space."""
    return json.dumps([[round(1000 * value / side) for value, side in zip(box, size * 2, strict=True)]])


def make_predictor(model: FakeModel) -> Predictor:
    settings = PredictorSettings(checkpoint=str(DEMO))
    return Predictor.find(settings, load_model=lambda *_: model, load_router=lambda *_: WordRouter())


def write_set(root: Path, folder: str, question: str, answer: str, pictures: Sequence[Image.Image]) -> None:
    """Writes one answered question for each picture."""
    target = root / folder
    (target / "imagesVal").mkdir(parents=True)
    records = []
    for number, picture in enumerate(pictures):
        name = f"imagesVal/{number}.png"
        picture.save(target / name)
        records.append({
            "TaskType": TASKS[question].value, "Modality": "", "ImageName": name, "Question": question,
            "Answer": answer, "Split": "val",
        })  # fmt: skip
    (target / f"{target.name}_questions_val.json").write_text(json.dumps(records))


def evenly_lit(seed: int, mean: int = 120) -> Image.Image:
    values = np.random.default_rng(seed).uniform(mean - 15, mean + 15, (SIZE[1], SIZE[0], 1))
    return Image.fromarray(np.broadcast_to(values, (SIZE[1], SIZE[0], 3)).round().astype(np.uint8))


def with_box(box: Sequence[int] = BOX, *, ellipse: bool = False) -> Image.Image:
    picture = Image.new("RGB", SIZE)
    pen = ImageDraw.Draw(picture)
    (pen.ellipse if ellipse else pen.rectangle)((box[0], box[1], box[2] - 1, box[3] - 1), fill="white")
    return picture


def write_folder(root: Path) -> Path:
    """Three kinds of questions about three kinds of pictures."""
    write_set(root, "Xray/lit", LIT, "A", [evenly_lit(seed) for seed in range(3)])
    write_set(root, "Xray/teeth", BOXES, json.dumps([BOX]), [with_box((50, 40, 110, 70 + one)) for one in (0, 0, 0)])
    write_set(root, "Ultrasound/lesions", BOXES, json.dumps([BOX]), [with_box(ellipse=True)])
    write_set(root, "Microscopy/cells", COUNT, "7", [evenly_lit(seed) for seed in (8, 9)])
    return root


def sample_of(root: Path, size: int = 100, seed: int = 1) -> Sample:
    return draw_sample(*read_folders(root, root, root.parent / "out"), size, seed)


def ask(
    root: Path, names: str, levels: Sequence[int] = (5,), model: FakeModel | None = None, out: Path | None = None,
    **options: Any,
) -> Run:  # fmt: skip
    """Asks about perturbations at their published levels."""
    chosen = tuple(find(name) for name in names.split())
    plan = Plan(chosen, tuple(levels), options.pop("systems", ("routed",)), mode="table")
    return ask_perturbed(make_predictor(model or SeeingModel(see)), sample_of(root), plan, out, **options)
