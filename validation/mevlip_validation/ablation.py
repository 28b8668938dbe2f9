"""What each part of the system is worth: the paper's comparison with and without the task classifier, in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mevlip.core.tables import table
from mevlip.flare.ground_truth import read_answered
from mevlip.flare.images import Perturbation
from mevlip.flare.predictions import answered
from mevlip.flare.questions import InputFolder, read_input_folder
from mevlip.predictor import Predictor
from mevlip.routing.policy import Routing
from mevlip.runs.folder import run_folder
from mevlip.settings import RunSettings
from mevlip.tasks import TASKS
from mevlip_validation.baselines import CONSTANT, constant_rows
from mevlip_validation.comparison import Comparison, compare_systems
from mevlip_validation.defaults import REFERENCE, RESAMPLES, SEED
from mevlip_validation.matching import Row, Truth, match, read_truth, truths_of
from mevlip_validation.output import NONE, number, show
from mevlip_validation.rewordings import REWORDINGS, Rewording
from mevlip_validation.score import Score, score
from mevlip_validation.withheld_images import BLANK_IMAGES, QUESTION_ONLY


@dataclass(frozen=True)
class System:
    """One way of answering the questions.

    Attributes:
        name: Its name, and its folder's.
        routing: How a question finds its adapter.
        perturbation: What is done to the images; None for nothing.
    """

    name: str
    routing: Routing
    perturbation: Perturbation | None = None


ROUTED = "TS by router"
"""The system as it is packed."""
SYSTEMS = (
    System("base", "none"),
    System("generalist", "generalist"),
    System(ROUTED, "router"),
    System("TS declared", "declared"),
    System(BLANK_IMAGES.name, "router", BLANK_IMAGES),
    System(QUESTION_ONLY.name, "router", QUESTION_ONLY),
)
PAIRS = (
    ("base", "generalist"),
    ("generalist", ROUTED),
    (ROUTED, "TS declared"),
    (BLANK_IMAGES.name, ROUTED),
)
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


def other(predictor: Predictor) -> System:
    """Another checkpoint as it is packed, which its own predictor answers for."""
    return System(f"TS of {predictor.checkpoint.folder.resolve().name}", "router")


def read_folders(inputs: Path, truth: Path, out: Path) -> tuple[InputFolder, tuple[Truth, ...]]:
    """Reads the questions and their true answers, a folder that has both only once.

    Args:
        inputs: The folder with the questions.
        truth: A file or folder with the answers.
        out: The output folder, whose files are not questions.

    Raises:
        InputError: There are no questions or no answers.
    """
    if inputs.resolve() == truth.resolve() and not out.resolve().is_relative_to(inputs.resolve()):
        both = read_answered(inputs)
        return both.questions, truths_of(both)
    return read_input_folder(inputs, out), read_truth(truth)


def answer_all(
    predictor: Predictor,
    settings: RunSettings,
    folder: InputFolder,
    truths: Sequence[Truth],
    systems: Sequence[System] = SYSTEMS,
    quiet: bool = False,
) -> dict[str, list[Row]]:
    """Has every system answer the same questions, with one predictor.

    Args:
        predictor: The loaded checkpoint.
        settings: Input, output folder and batch size; the routing is each system's own.
        folder: The input folder, read.
        truths: The true answers.
        systems: Which systems.
        quiet: Whether to show no progress.

    Returns:
        Each system's rows, in the same order; its predictions are in a folder of its own below the output folder.
    """
    found = {}
    for system in systems:
        own = {"output": settings.output / system.name.replace(" ", "-"), "routing": system.routing}
        report = run_folder(predictor, settings.model_copy(update=own), quiet, folder, system.perturbation)
        texts = (answer.text for answer in report.answers)
        predictions = [answered(*pair) for pair in zip(folder.questions, texts, strict=True)]
        found[system.name] = list(match(truths, predictions, report.explanations).rows)
    return found


def answer_reworded(
    predictor: Predictor,
    settings: RunSettings,
    folder: InputFolder,
    truths: Sequence[Truth],
    rewordings: Sequence[Rewording] = REWORDINGS,
    quiet: bool = False,
) -> dict[str, list[Row]]:
    """Has the routed system answer the same questions in other words.

    Args:
        predictor: The loaded checkpoint.
        settings: Input, output folder and batch size.
        folder: The input folder, read.
        truths: The true answers.
        rewordings: The ways of putting questions.
        quiet: Whether to show no progress.

    Returns:
        For each rewording the rows of the questions that it applies to, with answers restored to the original ones.
    """
    found: dict[str, list[Row]] = {}
    for rewording in rewordings:
        changed = [(question, made) for question in folder.questions if (made := rewording.change(question))]
        if not changed:
            continue
        asked = tuple(replace(made.question, position=place) for place, (_, made) in enumerate(changed))
        own = settings.model_copy(update={"output": settings.output / rewording.name.replace(" ", "-")})
        report = run_folder(predictor, own, quiet, replace(folder, questions=asked))
        predictions = [
            answered(question, made.restore(answer.text))
            for (question, made), answer in zip(changed, report.answers, strict=True)
        ]
        found[rewording.name] = [row for row in match(truths, predictions).rows if row.prediction is not None]
    return found


def ablate(
    answers: dict[str, list[Row]], known: Sequence[Row] | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> Ablation:
    """Scores each system and compares those that differ in one part, and other checkpoints with the one that is packed.

    Args:
        answers: What `answer_all` gave.
        known: Rows from which the constants are taken; the truth itself where there are none.
        resamples: Number of bootstrap resamples.
        seed: Random seed.
    """
    any_rows = next(iter(answers.values()))
    constant = {CONSTANT: constant_rows(any_rows, known or any_rows)}
    scores = {name: score(rows, constant, resamples, seed) for name, rows in answers.items()}
    others = [(ROUTED, name) for name in answers if name not in {system.name for system in SYSTEMS}]
    pairs = [pair for pair in (*PAIRS, *others) if set(pair) <= set(answers)]
    compared = compare_systems(answers, pairs, resamples, seed).pairs if pairs else ()
    return Ablation(scores, {pair: [one for one in compared if one.systems == pair] for pair in pairs})


def render(ablation: Ablation, protocol: str = REFERENCE) -> str:
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
