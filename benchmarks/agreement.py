"""Whether the engine answers as one question at a time does: `python -m benchmarks.agreement [QUESTIONS]`.

New questions of the demo, equally many of each of its data sets, as in its validation split (1,080), go through the
engine and through the reference, in float32 and in bfloat16. In float32 every answer must be the same. In bfloat16 two
ways of adding up differ in the last digits, so that an answer whose rival is nearly as likely may change; for those the
table shows how sure float32 was. 1,080 questions take some 20 minutes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mevlip.checkpoints.checkpoint import find_checkpoint, open_checkpoint
from mevlip.core.progress import Progress
from mevlip.core.tables import table
from mevlip.flare.questions import InputFolder, read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.inference.engine import Answer, Counters
from mevlip.inference.model import VisionLanguageModel
from mevlip.predictor import Predictor
from mevlip.settings import AnswerSettings, PredictorSettings
from mevlip_training.demo.inputs import write_inputs
from mevlip_training.demo.wordings import DATASETS

QUESTIONS = 1_080
SEED = 77
"""Not a seed of anything that the demo was trained on or is tested with."""
_EXACT = "engine, float32"
_SYSTEMS = {
    _EXACT: (False, torch.float32),
    "reference, float32": (True, torch.float32),
    "engine, bfloat16": (False, torch.bfloat16),
    "reference, bfloat16": (True, torch.bfloat16),
}

Answers = Mapping[int, Answer]


def answer(folder: InputFolder, name: str, *, reference: bool, dtype: torch.dtype) -> Answers:
    """Answers all questions of a folder with the demo."""
    checkpoint = open_checkpoint(find_checkpoint("demo"))
    model = VisionLanguageModel.load(checkpoint, torch.device("cpu"), reference=reference, dtype=dtype)
    settings = PredictorSettings(checkpoint="demo", reference=reference)
    predictor = Predictor.find(settings, load_model=lambda *_: model)
    chosen, counters = AnswerSettings(), Counters()
    found: dict[int, Answer] = {}
    with ImageStore(folder.root) as store, Progress(name, len(folder.questions), "questions") as progress:
        routed = predictor.route(folder.questions, chosen, counters)
        with predictor.engine(routed, chosen, store.load, counters) as engine:
            for made in engine.run():
                found |= {one.position: one for one in made}
                progress.advance(len(made))
    return found


def compare(exact: Answers, other: Answers) -> tuple[int, str]:
    """How many answers are the same, and of the others the tasks with the range of float32's probabilities."""
    changed: dict[str, list[float]] = {}
    for position, one in exact.items():
        if one.text != other[position].text:
            changed.setdefault(one.task.value, []).append(one.probability or 0.0)
    told = [f"{len(found)} {task} ({min(found):.2f}-{max(found):.2f})" for task, found in sorted(changed.items())]
    return len(exact) - sum(map(len, changed.values())), ", ".join(told)


def main(questions: int) -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        asked = write_inputs(Path(scratch, "in"), SEED, -(-questions // len(DATASETS)))
        folder = read_input_folder(Path(scratch, "in"))
        found: dict[str, Any] = {
            name: answer(folder, name, reference=reference, dtype=dtype)
            for name, (reference, dtype) in _SYSTEMS.items()
        }
    exact = found.pop(_EXACT)
    lines = []
    for name, other in found.items():
        same, changed = compare(exact, other)
        apart = max(abs((one.probability or 0) - (other[place].probability or 0)) for place, one in exact.items())
        lines.append((name, f"{same} of {asked}", f"{apart:.6f}", changed))
    print(table((f"against {_EXACT}", "same answers", "probabilities apart", "others (float32's probability)"), lines))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else QUESTIONS)
