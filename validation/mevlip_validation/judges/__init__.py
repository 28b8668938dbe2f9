"""Model-based scorers of reports: GREEN, CRIMSON, RaTE and RadCliQ, each run in an environment of its own.

They need models of up to eight billion parameters and versions of libraries that conflict with the predictor's, so
they are called through files: pairs of reports go in, a score for each comes out, with the scorer's name and version.
"""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mevlip.core.errors import EnvironmentProblem
from mevlip.tasks import TaskType
from mevlip_validation.matching import Row
from mevlip_validation.metrics.report_generation import JUDGES

WORKER = Path(__file__).with_name("worker.py")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JudgeScores:
    """The scores of one scorer.

    Attributes:
        name: GREEN, CRIMSON, RaTE or RadCliQ.
        scorer: Package, version and model that computed it.
        scores: One for each pair, in order; NaN where the scorer failed.
    """

    name: str
    scorer: str
    scores: tuple[float, ...]

    @property
    def failed(self) -> int:
        """How many pairs have no score."""
        return sum(map(math.isnan, self.scores))


def judge_reports(rows: Sequence[Row], name: str, python: Path) -> tuple[list[Row], JudgeScores]:
    """Has a model judge every report that was written; a missing one is judged as an empty text.

    Args:
        rows: Rows of any task; only reports are judged.
        name: The scorer.
        python: The Python of the environment that has it.

    Returns:
        All rows, the reports with their judgment, and the scorer's scores.

    Raises:
        EnvironmentProblem: It cannot be run, or its answer cannot be used.
    """
    places = [index for index, row in enumerate(rows) if row.task is TaskType.REPORT]
    pairs = [{"reference": rows[index].target, "candidate": rows[index].prediction or ""} for index in places]
    judgment = run_judge(name, pairs, python)
    judged = list(rows)
    for index, score in zip(places, judgment.scores, strict=True):
        judged[index] = replace(rows[index], judgments={**rows[index].judgments, name: score})
    if judgment.failed:
        logger.warning("%s gave no score for %d of %d reports; they are left out", name, judgment.failed, len(places))
    return judged, judgment


def run_judge(name: str, pairs: Sequence[Mapping[str, str]], python: Path) -> JudgeScores:
    """Runs one scorer over pairs of reports; see `judge_reports`."""
    if name not in JUDGES:
        raise EnvironmentProblem(f"No scorer is called {name}", f"Name one of {', '.join(JUDGES)}.")
    with tempfile.TemporaryDirectory(prefix="mevlip-") as scratch:
        pairs_file, scores_file = Path(scratch, "pairs.jsonl"), Path(scratch, "scores.json")
        pairs_file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), "utf-8")
        command = [str(python), str(WORKER), name, str(pairs_file), str(scores_file)]
        logger.warning("%s judges %d pairs of reports in %s; a model may take hours", name, len(pairs), python)
        # Its own packages, not ours: a PYTHONPATH would mix the two.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        except OSError as error:
            raise EnvironmentProblem(
                f"{python} cannot be run ({error.strerror})", f"Name the Python of the environment that holds {name}."
            ) from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise EnvironmentProblem(
                f"{name} failed with status {done.returncode}: {last}", "See docs/scoring.md for its environment."
            )
        return _read_scores(name, scores_file, len(pairs))


def _read_scores(name: str, path: Path, pairs: int) -> JudgeScores:
    try:
        content: Any = json.loads(path.read_bytes())
        scorer = str(content["scorer"])
        scores = tuple(math.nan if score is None else float(score) for score in content["scores"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentProblem(
            f"{name} wrote no usable scores ({type(error).__name__})", "See docs/scoring.md for what it should write."
        ) from error
    if len(scores) != pairs:
        raise EnvironmentProblem(f"{name} wrote {len(scores)} scores for {pairs} reports", "Run it again.")
    return JudgeScores(name, scorer, scores)
