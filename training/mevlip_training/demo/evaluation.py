"""What the demo's adapters have learned: `python -m mevlip_training.demo.evaluation [CHECKPOINT]` prints the tables."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mevlip.predictor import Predictor
from mevlip.settings import PredictorSettings, RunSettings
from mevlip_training.demo.inputs import write_inputs
from mevlip_validation.ablation import SYSTEMS, Ablation, System, ablate, answer_all, read_folders, render

PER_DATASET = 60
SEED = 77
"""Neither the examples' seed nor the training data's."""


def evaluate(
    checkpoint: Path, folder: Path, per_dataset: int = PER_DATASET, systems: Sequence[System] = SYSTEMS
) -> Ablation:
    """Compares systems on newly drawn images and on wordings that were never trained on.

    Args:
        checkpoint: The checkpoint folder.
        folder: Where inputs and predictions go.
        per_dataset: Questions of each of the eighteen data sets.
        systems: Which systems.
    """
    inputs = folder / "inputs"
    write_inputs(inputs, SEED, per_dataset)
    settings = RunSettings(input=inputs, output=folder / "out")
    predictor = Predictor.find(PredictorSettings(checkpoint=str(checkpoint)), quiet=False)
    return ablate(answer_all(predictor, settings, *read_folders(inputs, inputs, folder / "out"), systems))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("checkpoints/demo")
        print(render(evaluate(chosen, Path(temporary))))  # noqa: T201 - a command's result
