"""What a question takes besides the model, in folders of any size: `python -m benchmarks.scale [QUESTIONS ...]`.

A model that answers at once stands in for the real one; reading, planning, images, journal, checks and writing are the
predictor's, on two questions for each small picture. Each folder has a process of its own, so that its peak of memory
is its own; the peak with ten questions is taken off.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mevlip.answers.grammar import Grammar, OneOf
from mevlip.checkpoints.routes import ImageSettings
from mevlip.core import memory
from mevlip.core.tables import table
from mevlip.inference.batching import Budget
from mevlip.inference.completion import Completion, Cost, Encoded, Generation, Picture, Request
from mevlip.inference.prompts import Prompt
from mevlip.predictor import Predictor
from mevlip.runs.folder import run
from mevlip.settings import PredictorSettings
from mevlip.tasks import TaskType

SIZES = (1_000, 5_000, 50_000)
_LEAST = 10
_WORDS = {
    TaskType.CLASSIFICATION: "Which finding is shown? A: Cyst, B: Tumor",
    TaskType.MULTI_LABEL: "Which of these are shown? Choose from: Caries; Crown; Filling",
}


class _Instant:
    """A model that says the same to every question, at once."""

    reserved: frozenset[str] = frozenset()
    window = 4096
    workers = 1
    budget = Budget(8_000, 60_000)

    def image_tokens(self, settings: ImageSettings) -> int:
        return 256

    def picture(self, image: Image.Image, settings: ImageSettings) -> Picture:
        pixels = np.asarray(image).transpose(2, 0, 1)[None]
        return Picture.of(str(hash(pixels.tobytes())), pixels)

    def remembers(self, key: str) -> bool:
        return False

    def forget(self, keys: Iterable[str]) -> None:
        """Nothing was kept."""

    def encode(self, prompt: Prompt, pictures: Sequence[Picture]) -> Encoded:
        return Encoded((0,) * (256 + len(prompt.text.split())), 256)

    def decided_at_once(self, grammar: Grammar | None) -> bool:
        return isinstance(grammar, OneOf)

    def use(self, adapter: str) -> None:
        """All adapters are the same."""

    def generate(self, requests: Sequence[Request]) -> Generation:
        return Generation((Completion("A", 2, 0.5),) * len(requests), Cost())

    def release_memory(self) -> None:
        """Nothing was taken."""


def write_folder(root: Path, questions: int) -> None:
    """Writes a folder with half as many pictures, all different, and questions of all tasks."""
    images = root / "Xray" / "set" / "imagesVal"
    images.mkdir(parents=True)
    records = []
    for number in range(questions):
        name = f"imagesVal/{number // 2}.png"
        if number % 2 == 0:
            Image.new("RGB", (8, 8), (number & 255, number >> 8 & 255, number >> 16)).save(images.parent / name)
        task = list(TaskType)[number // 2 % len(TaskType)]
        words = _WORDS.get(task, "What is shown?")
        records.append({
            "TaskType": task.value, "Modality": "X-ray", "ImageName": name, "Split": "val", "Answer": "",
            "Question": f"Case {number}. {words}",
        })  # fmt: skip
    (images.parent / "set_questions_val.json").write_text(json.dumps(records), "utf-8")


def measure(questions: int) -> dict[str, float]:
    """CPU seconds and peak bytes of a run in this process."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "in")
        write_folder(root, questions)
        predictor = Predictor.find(PredictorSettings(checkpoint="demo"), load_model=lambda *_: _Instant())
        run(predictor, root, Path(scratch, "warm-up"), routing="declared", limit=1)
        start = time.process_time()
        report = run(predictor, root, Path(scratch, "out"), routing="declared")
        return {"seconds": time.process_time() - start, "peak": memory.peak(), "answers": len(report.answers)}


def main(sizes: Sequence[int]) -> None:
    """Prints the table."""
    program = "import sys, json; from benchmarks.scale import measure; print(json.dumps(measure(int(sys.argv[1]))))"
    measured = {}
    for size in (_LEAST, *sizes):
        done = subprocess.run([sys.executable, "-c", program, str(size)], capture_output=True, text=True, check=True)
        measured[size] = json.loads(done.stdout)
    first, least = measured[sizes[0]], measured[_LEAST]
    lines = []
    for size in sizes:
        found = measured[size]
        growth = math.log(found["seconds"] / first["seconds"]) / math.log(size / sizes[0]) if size != sizes[0] else None
        kilobytes = (found["peak"] - least["peak"]) / size / 1000
        exponent = "" if growth is None else f"{growth:.3f}"
        lines.append(
            (size, f"{found['seconds']:.1f}", f"{1000 * found['seconds'] / size:.2f}", exponent, f"{kilobytes:.1f}")
        )
    print(table(("questions", "CPU seconds", "ms each", "exponent", "kB each"), lines))


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or SIZES)
