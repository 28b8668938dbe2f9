"""What each part of the system is worth: the paper's comparison with and without the task classifier, in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mevlip.checkpoints.checkpoint import Checkpoint
from mevlip.core.tables import table
from mevlip.inference.engine import Model
from mevlip.predictor import ModelLoader, load_real_model, predict
from mevlip.run.explanations import read_explanations
from mevlip.run.settings import Routing, Settings
from mevlip.tasks import TASKS
from mevlip_validation.baselines import CONSTANT, constant_rows
from mevlip_validation.controls import Control, write_control
from mevlip_validation.defaults import RESAMPLES, SEED
from mevlip_validation.matching import By, Row, Truth, match, read_records
from mevlip_validation.output import NONE, number, show
from mevlip_validation.score import Comparison, Score, compare, score


@dataclass(frozen=True)
class System:
    """One way of answering the questions.

    Attributes:
        name: Its name, and its folder's.
        routing: How a question finds its adapter.
        control: What is done to the images; None for nothing.
    """

    name: str
    routing: Routing
    control: Control | None = None


SYSTEMS = (
    System("base", "base"),
    System("MT", "generalist"),
    System("TS by router", "router"),
    System("TS declared", "declared"),
    System("blank images", "router", "blank"),
    System("question only", "router", "question-only"),
)
PAIRS = (("base", "MT"), ("MT", "TS by router"), ("TS by router", "TS declared"), ("blank images", "TS by router"))
"""Systems to compare: whether the second is better than the first."""


@dataclass(frozen=True)
class Ablation:
    """The systems' answers, scored.

    Attributes:
        scores: The scores of each system, by its name.
        comparisons: Paired comparisons of two systems.
    """

    scores: dict[str, list[Score]]
    comparisons: dict[tuple[str, str], list[Comparison]]


def answer_all(
    settings: Settings,
    truths: Sequence[Truth],
    systems: Sequence[System] = SYSTEMS,
    load_model: ModelLoader = load_real_model,
    quiet: bool = False,
) -> dict[str, list[Row]]:
    """Has every system answer the same questions; the model is loaded once.

    Args:
        settings: Input, output folder, checkpoint, device and batch size; the routing is each system's own.
        truths: The true answers, in the order of the input's questions.
        systems: Which systems.
        load_model: Loads the model.
        quiet: Whether to show no progress.

    Returns:
        Each system's rows, in the same order.
    """
    load = _Once(load_model)
    found = {}
    for system in systems:
        out = settings.output / system.name.replace(" ", "-")
        source = settings.input
        if system.control:
            source = out / "inputs"
            write_control(settings.input, source, system.control)
        explained = out / "explanations.jsonl"
        mine = {"input": source, "output": out, "routing": system.routing, "explanations": explained}
        report = predict(settings.model_copy(update=mine), load, quiet)
        predictions = read_records(report.predictions)
        # A control's image names may differ, its order does not.
        by: By = "position" if system.control else "question"
        found[system.name] = list(match(truths, predictions, read_explanations(explained), by).rows)
    return found


def ablate(
    answers: dict[str, list[Row]], known: Sequence[Row] | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> Ablation:
    """Scores each system and compares those that differ in one part.

    Args:
        answers: What `answer_all` gave.
        known: Rows from which the constants are taken; the truth itself where there are none.
        resamples: Number of bootstrap resamples.
        seed: Random seed.
    """
    any_rows = next(iter(answers.values()))
    constant = {CONSTANT: constant_rows(any_rows, known or any_rows)}
    scores = {name: score(rows, constant, resamples, seed) for name, rows in answers.items()}
    pairs = [pair for pair in PAIRS if set(pair) <= set(answers)]
    compared = {pair: compare(answers[pair[0]], answers[pair[1]], resamples, seed) for pair in pairs}
    return Ablation(scores, compared)


def render(ablation: Ablation, protocol: str = "macro") -> str:
    """Two tables: each system's score of each task, and which differences are real."""
    return "\n\n".join([table(*score_table(ablation, protocol)), table(*comparison_table(ablation, protocol))])


def score_table(ablation: Ablation, protocol: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows: the constant's and each system's score of each task's first measure."""
    rows = []
    for one in next(iter(ablation.scores.values())):
        if one.scoring.protocol != protocol or not one.is_main:
            continue
        same = {name: _same(scores, one) for name, scores in ablation.scores.items()}
        cells = [show(other.estimate) if other else NONE for other in same.values()]
        rows.append((TASKS[one.task].title, str(one.questions), one.measure.name, number(one.others[CONSTANT]), *cells))
    return ("task", "questions", "measure", CONSTANT, *ablation.scores), rows


def comparison_table(ablation: Ablation, protocol: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows: by how much one system is better than another, and whether that is more than chance."""
    pairs = list(ablation.comparisons)
    rows = []
    for task in TASKS:
        cells = []
        for pair in pairs:
            found = [c for c in ablation.comparisons[pair] if (c.task, c.scoring.protocol) == (task, protocol)]
            cells += [f"{c.verdict} {show(c.gain, signed=True)}" for c in found]
        if cells:
            rows.append((TASKS[task].title, *cells))
    return ("task", *(f"{second} over {first}" for first, second in pairs)), rows


def _same(scores: Sequence[Score], one: Score) -> Score | None:
    wanted = (one.task, one.measure, one.scoring)
    return next((other for other in scores if (other.task, other.measure, other.scoring) == wanted), None)


class _Once:
    """Loads a model at the first call and gives the same one at the next."""

    def __init__(self, load: ModelLoader) -> None:
        self._load = load
        self._model: Model | None = None

    def __call__(self, checkpoint: Checkpoint, device: str) -> Model:
        if self._model is None:
            self._model = self._load(checkpoint, device)
        return self._model
