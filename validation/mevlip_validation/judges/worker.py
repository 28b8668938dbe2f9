"""Scores pairs of reports with RadEval: `python worker.py NAME PAIRS.jsonl SCORES.json`, in RadEval's environment.

Each line of the input holds `reference` and `candidate`. The output holds `scorer`, what computed the scores, and
`scores`, one for each line, null where the scorer failed. It imports nothing of this project.
"""

from __future__ import annotations

import json
import math
import sys
from importlib.metadata import version
from pathlib import Path

# RadEval's name of the scorer, the key of its result, and the model whose revision matters most.
SCORERS = {
    "GREEN": ("green", "green", "StanfordAIMI/GREEN-radllama2-7b"),
    "CRIMSON": ("crimson", "crimson", "rajpurkarlab/medgemma-4b-it-crimson"),
    "RaTE": ("ratescore", "ratescore", "Angelakeke/RaTE-NER-Deberta"),
    "RadCliQ": ("radcliq", "radcliq_v1", ""),
}


def main(name: str, pairs_file: str, scores_file: str) -> None:
    """Reads pairs, scores them, writes the scores."""
    from radeval import RadEval

    metric, key, model = SCORERS[name]
    pairs = [json.loads(line) for line in Path(pairs_file).read_text("utf-8").splitlines()]
    evaluator = RadEval(metrics=[metric], per_sample=True, show_progress=False)
    found = evaluator(refs=[pair["reference"] for pair in pairs], hyps=[pair["candidate"] for pair in pairs])
    scores = [None if score is None or math.isnan(score) else float(score) for score in found[key]]
    scorer = f"radeval {version('radeval')}" + (f", {model} at {_revision(model)}" if model else "")
    Path(scores_file).write_text(json.dumps({"scorer": scorer, "scores": scores}), "utf-8")


def _revision(model: str) -> str:
    """The commit of the model that lies in the hub's cache, which is the one that was loaded."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(model, "config.json")
    return Path(path).parent.name if isinstance(path, str) else "an unknown revision"


if __name__ == "__main__":
    main(*sys.argv[1:4])
