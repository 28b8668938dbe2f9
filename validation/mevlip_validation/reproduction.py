"""The ME-VLIP paper's Table 3 and Figure 5 from checkpoints at hand: measured scores beside printed ones.

A measured score stands beside a printed one only where both are the same measure under the protocol closest to the
paper's evaluator. Where that measure cannot be computed here, another one is named and stands by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from mevlip.checkpoints.checkpoint import Manifest
from mevlip.flare.questions import InputFolder, Question
from mevlip.predictor import Predictor
from mevlip.settings import RunSettings
from mevlip.tasks import TASKS, TaskType, parse_task_type
from mevlip_validation import ablation, published
from mevlip_validation.ablation import Ablation, System
from mevlip_validation.defaults import REFERENCE, RESAMPLES, SEED
from mevlip_validation.matching import Row, Truth, as_text
from mevlip_validation.provenance import Provenance
from mevlip_validation.score import Score

SetName = Literal["public", "hidden"]
SETS: tuple[SetName, ...] = ("public", "hidden")
PROTOCOL = published.BOARDS["2025"]
"""The protocol closest to the paper's evaluator."""
FIGURE_SYSTEM = "InternVL3-8B"
"""The system that Figure 5 shows, before and after fine-tuning."""
Status = Literal["measured", "not run", "no questions", "not judged"]

_BASE, _GENERALIST, _ROUTED = (
    next(one for one in ablation.SYSTEMS if one.name == name) for name in ("base", "generalist", ablation.ROUTED)
)


@dataclass(frozen=True)
class Column:
    """A column of Table 3.

    Attributes:
        name: The system's name among the published ones.
        checkpoint: The fine-tuned model that answers, as `--system` names it.
        system: How its questions find their adapters.
    """

    name: str
    checkpoint: str
    system: System


COLUMNS = (
    Column("Qwen2.5-VL-7B", "Qwen2.5-VL-7B", _GENERALIST),
    Column("MedGemma-4B", "MedGemma-4B", _GENERALIST),
    Column("InternVL3-8B", FIGURE_SYSTEM, _GENERALIST),
    Column("InternVL3-8B with classifier", FIGURE_SYSTEM, _ROUTED),
)
NAMES = tuple(dict.fromkeys(column.checkpoint for column in COLUMNS))
"""The fine-tuned models of Table 3."""


@dataclass(frozen=True)
class AnsweredSet:
    """A validation set, read.

    Attributes:
        root: The folder as it was named.
        folder: The questions to ask.
        truths: Their true answers.
    """

    root: Path
    folder: InputFolder
    truths: tuple[Truth, ...]


@dataclass(frozen=True)
class SetRun:
    """What one checkpoint scored on one set.

    Attributes:
        found: Scores and comparisons of its systems.
        provenance: What was scored.
    """

    found: Ablation
    provenance: Provenance


@dataclass(frozen=True)
class CheckpointRun:
    """What one checkpoint scored.

    Attributes:
        manifest: Who the checkpoint is; its kind and notice stand wherever its scores do.
        folder: The checkpoint's folder.
        identity: What its answers depend on: sha256 of its manifest, which pins every file, device and memory.
        sets: Its runs by set.
    """

    manifest: Manifest
    folder: Path
    identity: Mapping[str, Any]
    sets: Mapping[SetName, SetRun]


Runs = Mapping[str, CheckpointRun]
"""Runs by the name that `--system` gives."""


@dataclass(frozen=True)
class Cell:
    """One score of Table 3.

    Attributes:
        task: Its row.
        column: Its column.
        set: Which of the two scores in the cell.
        printed: What the paper prints; None for a dash.
        status: Whether there is a measured score, and why not.
        score: The same measure under the closest protocol, measured.
        instead: Where that measure was not computed, another one, which must not be compared with the printed score.
    """

    task: TaskType
    column: Column
    set: SetName
    printed: str | None
    status: Status
    score: Score | None = None
    instead: Score | None = None


@dataclass(frozen=True)
class Bars:
    """Base and fine-tuned model on one task of Figure 5, in one measure.

    Attributes:
        task: The task.
        measure: The measure's name.
        printed: Base and fine-tuned as the text about the figure prints them, else fine-tuned as Table 3 does where it
            has one of the sets only; None where neither does.
        status: Whether there are measured scores, and why not.
        measured: Base and fine-tuned as measured; None where not.
        sets: The sets of which the measured scores are the mean.
        is_papers: Whether it is the paper's measure; only then there may be printed scores beside measured ones.
    """

    task: TaskType
    measure: str
    printed: tuple[str | None, str | None]
    status: Status
    measured: tuple[float, float] | None = None
    sets: tuple[SetName, ...] = ()
    is_papers: bool = True


def read_set(root: Path, out: Path, limit: int | None = None) -> AnsweredSet:
    """Reads a validation set.

    Args:
        root: A folder with questions and their answers.
        out: The output folder, which lies elsewhere.
        limit: Ask only the first so many answered questions of each task; None for all.

    Raises:
        InputError: There are no questions or no answers.
    """
    folder, truths = ablation.read_folders(root, root, out)
    if limit is None:
        return AnsweredSet(root, folder, truths)
    seen: dict[TaskType, int] = {}
    kept: list[tuple[Question, Truth]] = []
    for question, truth in zip(folder.questions, truths, strict=True):
        task = parse_task_type(truth.record.get("TaskType"))
        if task is not None and as_text(truth.record.get("Answer")).strip() and seen.get(task, 0) < limit:
            seen[task] = seen.get(task, 0) + 1
            kept.append((replace(question, position=len(kept)), truth))
    questions = tuple(question for question, _ in kept)
    return AnsweredSet(root, replace(folder, questions=questions), tuple(truth for _, truth in kept))


def systems_of(name: str) -> tuple[System, ...]:
    """The systems that one checkpoint runs: those of its columns, and for Figure 5 its base alone."""
    own = tuple(column.system for column in COLUMNS if column.checkpoint == name)
    return (_BASE, *own) if name == FIGURE_SYSTEM else own


def run_checkpoint(
    name: str,
    predictor: Predictor,
    sets: Mapping[SetName, AnsweredSet],
    out: Path,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    quiet: bool = False,
) -> CheckpointRun:
    """Has one checkpoint answer every set in each of its ways, and scores the answers.

    Args:
        name: Which of the paper's fine-tuned models it stands for.
        predictor: The checkpoint.
        sets: The sets, read.
        out: Its predictions go to a folder for each set and system below this one.
        resamples: Number of bootstrap resamples.
        seed: Random seed.
        quiet: Whether to show no progress.
    """
    found: dict[SetName, SetRun] = {}
    for set_name, one in sets.items():
        place = out / name / set_name
        settings = RunSettings(input=one.root, output=place)
        answers = ablation.answer_all(predictor, settings, one.folder, one.truths, systems_of(name), quiet)
        rows: Sequence[Row] = next(iter(answers.values()))
        scored = ablation.ablate(answers, None, resamples, seed)
        found[set_name] = SetRun(scored, Provenance.of(place, one.root, rows))
    checkpoint = predictor.checkpoint
    return CheckpointRun(checkpoint.manifest, checkpoint.folder, predictor.identity, found)


def table3(runs: Runs) -> list[Cell]:
    """Every score of Table 3, task by task, column by column, public before hidden."""
    return [_cell(runs, task, column, name) for task in TASKS for column in COLUMNS for name in SETS]


def _cell(runs: Runs, task: TaskType, column: Column, name: SetName) -> Cell:
    printed = _printed(column.name, name).scores.get(task)
    run = runs.get(column.checkpoint)
    if run is None or name not in run.sets:
        return Cell(task, column, name, printed, "not run")
    scores = run.sets[name].found.scores[column.system.name]
    if not any(one.task is task for one in scores):
        return Cell(task, column, name, printed, "no questions")
    same, instead = same_measure(scores, task), other_measure(scores, task)
    return Cell(task, column, name, printed, "measured" if same else "not judged", same, None if same else instead)


def same_measure(scores: Sequence[Score], task: TaskType) -> Score | None:
    """The score of a task that may stand beside the paper's: its measure under `PROTOCOL`."""
    wanted = (task, PROTOCOL, published.TABLE3_MEASURES.get(task))
    return next((one for one in scores if (one.task, one.scoring.protocol, one.measure.name) == wanted), None)


def other_measure(scores: Sequence[Score], task: TaskType) -> Score | None:
    """The score of a task that stands by itself where the paper's measure was not computed."""
    return next((one for one in scores if one.task is task and one.is_main and one.scoring.protocol == REFERENCE), None)


def figure5(runs: Runs) -> list[Bars]:
    """Base and fine-tuned model of each task; scores are means of the sets that were run, as in the paper.

    Where the paper's measure was not computed, another one follows by itself.
    """
    run = runs.get(FIGURE_SYSTEM)
    sets = run.sets if run else {}
    return [bars for task in TASKS for bars in _bars(sets, task)]


def _bars(sets: Mapping[SetName, SetRun], task: TaskType) -> list[Bars]:
    paper = published.TABLE3_MEASURES.get(task, "")
    printed = published.FIGURE5.get(task, (None, _only_in_table3(task)))
    if same := _both(sets, task, same_measure):
        _, values, names = same
        return [Bars(task, paper, printed, "measured", values, names)]
    if other := _both(sets, task, other_measure):
        measure, values, names = other
        alone = Bars(task, measure, (None, None), "measured", values, names, is_papers=False)
        return [Bars(task, paper, printed, "not judged"), alone]
    return [Bars(task, paper, printed, "no questions" if sets else "not run")]


def _both(
    sets: Mapping[SetName, SetRun], task: TaskType, choose: Callable[[Sequence[Score], TaskType], Score | None]
) -> tuple[str, tuple[float, float], tuple[SetName, ...]] | None:
    """The measure, base and fine-tuned as means of the sets that have both, and these sets."""
    found: dict[SetName, tuple[Score, Score]] = {}
    for name, one in sets.items():
        base, tuned = (choose(one.found.scores[system.name], task) for system in (_BASE, _GENERALIST))
        if base and tuned:
            found[name] = base, tuned
    if not found:
        return None
    bases, all_tuned = zip(*found.values(), strict=True)
    means = fmean(one.estimate.value for one in bases), fmean(one.estimate.value for one in all_tuned)
    return bases[0].measure.name, means, tuple(found)


def _only_in_table3(task: TaskType) -> str | None:
    """The score of the fine-tuned model where Table 3 has it for one set, so that it is the mean."""
    values = [value for name in SETS if (value := _printed(FIGURE_SYSTEM, name).scores.get(task))]
    return values[0] if len(values) == 1 else None


def _printed(system: str, name: SetName) -> published.Published:
    data = f"{name} validation"
    return next(one for one in published.PUBLISHED["2025"] if (one.system, one.data) == (system, data))
