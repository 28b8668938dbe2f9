"""Files of scores for the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DIGEST = "sha256:" + "0" * 64


def make_score(value: float | str | None, protocol: str = "macro", **known: Any) -> dict[str, Any]:
    """A score of balanced accuracy, unless told otherwise."""
    score = {
        "task": "classification",
        "measure": "balanced accuracy",
        "protocol": protocol,
        "signature": f"{protocol}/balanced-accuracy|1",
        "better": "higher",
        "questions": 9,
        "value": value,
        "low": None,
        "high": None,
        "others": {"constant": 0.25},
    }
    return score | known


def counting(value: float | str | None, protocol: str = "macro", **known: Any) -> dict[str, Any]:
    """A mean absolute error of counts."""
    about = {"task": "counting", "measure": "mean absolute error", "better": "lower"}
    return make_score(value, protocol, **about, **{"signature": f"{protocol}/mae|1"} | known)


def write_scores(path: Path, *scores: dict[str, Any], digest: str = DIGEST, **known: Any) -> Path:
    """Writes a file as `mevlip score --json` does."""
    content = {
        "version": "0.1.0",
        "written": "2025-01-01T00:00:00+00:00",
        "predictions": f"{path.stem}/predictions.json",
        "truth": {"name": "split", "digest": digest, "questions": 9},
        "scores": list(scores),
        "missing": [],
        "duplicates": [],
        "surplus": [],
        "unscored": [],
        "datasets": {},
        "scorers": {},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | known))
    return path
