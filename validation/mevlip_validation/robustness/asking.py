"""Having systems answer the same questions about clean and perturbed pictures, with one loaded model."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from pathlib import Path

from mevlip import __version__
from mevlip.checkpoints.routes import ImageSettings
from mevlip.core import interrupts
from mevlip.core.progress import Progress
from mevlip.flare.images import spaced_indices
from mevlip.flare.pixels import ImageError
from mevlip.flare.store import ImageStore
from mevlip.inference.engine import Answer, Counters
from mevlip.predictor import Predictor
from mevlip.routing.policy import RoutedQuestion
from mevlip.runs.output import output_folder
from mevlip.settings import AnswerSettings
from mevlip.tasks import GENERALIST, NO_ADAPTER
from mevlip_validation.defaults import CLEAN, LEVELS, SEED, SYSTEMS
from mevlip_validation.perturbations.registry import Mode, Perturbation, perturbations
from mevlip_validation.perturbations.severity import Calibrations
from mevlip_validation.robustness.calibrating import Calibrator, Picture, calibrating
from mevlip_validation.robustness.cells import NO_BOX_LEFT, Cell, CellStore, Outcome
from mevlip_validation.robustness.pictures import PerturbedPictures, move_truth
from mevlip_validation.robustness.sampling import Item, Sample

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What is asked.

    Attributes:
        perturbations: The perturbations.
        levels: Their levels, 1 to 5.
        systems: The systems, by names of `SYSTEMS`.
        seed: Seed of the perturbations' random numbers.
        mode: How severity is set; None for each perturbation's own way.
        settings: How questions are answered; the routing is each system's own.
    """

    perturbations: tuple[Perturbation, ...] = field(default_factory=lambda: tuple(perturbations().values()))
    levels: tuple[int, ...] = LEVELS
    systems: tuple[str, ...] = tuple(SYSTEMS)
    seed: int = SEED
    mode: Mode | None = None
    settings: AnswerSettings = AnswerSettings()  # noqa: RUF009 - frozen

    def steps(self, sample: Sample) -> tuple[Step, ...]:
        """The perturbations at their levels, those first that say the most, if not all can be asked.

        The clean pictures come first. Then a level in the middle for all perturbations, the strongest, the weakest, and
        the others; within a level, one perturbation of each group after another.
        """
        groups: dict[str, list[Perturbation]] = {}
        for one in self.perturbations:
            if any(item.asked.is_reached_by(one) for item in sample.items):
                groups.setdefault(one.group, []).append(one)
        ordered = [one for round_ in zip_longest(*groups.values()) for one in round_ if one is not None]
        levels = sorted(set(self.levels))
        first = dict.fromkeys((levels[len(levels) // 2], levels[-1], levels[0], *levels)) if levels else ()
        return (Step(None, 0), *(Step(one, level) for level in first for one in ordered))


@dataclass(frozen=True)
class Step:
    """A perturbation at a level, which all systems are asked about together, so that each picture is made once.

    Attributes:
        perturbation: The perturbation; None for clean pictures.
        level: 1 to 5; 0 for clean pictures.
    """

    perturbation: Perturbation | None
    level: int

    @property
    def name(self) -> str:
        """The perturbation's name, or `CLEAN`."""
        return self.perturbation.name if self.perturbation else CLEAN

    def items(self, sample: Sample) -> list[Item]:
        """The questions that it reaches."""
        one = self.perturbation
        return [item for item in sample.items if one is None or item.asked.is_reached_by(one)]


@dataclass(frozen=True)
class Run:
    """What was asked.

    Attributes:
        sample: The questions.
        plan: What was to be asked.
        cells: The answers, by step and system.
        left: The steps that there was no time for.
        answers: Number of answers that were made now; others were there from an earlier run.
        seconds: What that took, without loading the model.
    """

    sample: Sample
    plan: Plan
    cells: tuple[Cell, ...]
    left: tuple[Step, ...] = ()
    answers: int = 0
    seconds: float = 0.0


def ask_perturbed(
    predictor: Predictor,
    sample: Sample,
    plan: Plan | None = None,
    out: Path | None = None,
    *,
    budget: float | None = None,
    workers: int = 1,
    quiet: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> Run:
    """Has each system answer every question of a sample, about clean pictures and about perturbed ones.

    Args:
        predictor: The loaded checkpoint.
        sample: The questions.
        plan: What to ask; None for every perturbation at five levels, and three systems.
        out: Folder of finished cells and of parameters that were searched for, from which a later call goes on; None
            to keep nothing.
        budget: Seconds after which no further step is begun; None for no limit. Clean pictures are asked about always.
        workers: Number of processes that search for parameters.
        quiet: Whether to show no progress.
        clock: What tells the time, in seconds.

    Raises:
        CheckpointError: The checkpoint is incomplete or altered.
        EnvironmentProblem: The folder or the device cannot be used, or another run writes into the folder.
        ModelFailure: The model, its device or a library broke; finished cells are kept.
        RuntimeError: A question took another route than about the clean picture, which is a fault of the program.
    """
    chosen = plan or Plan()
    calibrations = Calibrations(out / "calibrations.json" if out else None)
    with (
        output_folder(out) if out else nullcontext(),
        ImageStore(sample.root) as store,
        calibrating(calibrations, workers, chosen.seed, chosen.mode) as calibrator,
    ):
        identity = {
            "version": __version__,
            **predictor.identity,
            **chosen.settings.model_dump(mode="json", exclude={"routing"}),
            "sample": sample.digest(),
            "seed": chosen.seed,
            "mode": chosen.mode,
        }
        cells = CellStore(out / "cells" if out else None, sample, identity)
        return _Asking(predictor, sample, chosen, store, calibrator, calibrations, cells).run(budget, quiet, clock)


class _Asking:
    """One call of `ask_perturbed`."""

    def __init__(
        self,
        predictor: Predictor,
        sample: Sample,
        plan: Plan,
        store: ImageStore,
        calibrator: Calibrator,
        calibrations: Calibrations,
        cells: CellStore,
    ) -> None:
        self._predictor = predictor
        self._sample = sample
        self._plan = plan
        self._store = store
        self._calibrator = calibrator
        self._calibrations = calibrations
        self._cells = cells
        self._routed: dict[str, list[RoutedQuestion]] = {}
        self._calibrated: set[Perturbation] = set()

    def run(self, budget: float | None, quiet: bool, clock: Callable[[], float]) -> Run:
        """Takes one step after another, as long as there is time."""
        steps = self._plan.steps(self._sample)
        found = {(step, system): self._read(step, system) for step in steps for system in self._plan.systems}
        missing = {step: [name for name in self._plan.systems if found[step, name] is None] for step in steps}
        todo = {step: len(names) * len(step.items(self._sample)) for step, names in missing.items()}
        if any(todo.values()):
            _ = self._predictor.model
            self._route()
        answers, left, start = 0, [], clock()
        with Progress("asking", max(sum(todo.values()), 1), "answers", quiet) as progress:
            for step in steps:
                if not todo[step]:
                    continue
                spent = clock() - start
                expected = spent / answers * todo[step] if answers else 0.0
                if budget is not None and answers and spent + expected > budget:
                    left.append(step)
                    continue
                for cell in self._take(step, missing[step], progress):
                    found[step, cell.system] = cell
                answers += todo[step]
        cells = tuple(cell for cell in found.values() if cell is not None)
        _check_routes(cells)
        return Run(self._sample, self._plan, cells, tuple(left), answers, clock() - start)

    def _read(self, step: Step, system: str) -> Cell | None:
        return self._cells.read(system, SYSTEMS[system], step.name, step.level)

    def _route(self) -> None:
        """Finds the adapter of each question once: no picture plays a part in it."""
        for number, system in enumerate(self._plan.systems):
            # Positions tell the systems' questions apart.
            shift = number * len(self._sample.items)
            questions = [replace(one.question, position=shift + one.question.position) for one in self._sample.items]
            settings = self._plan.settings.model_copy(update={"routing": SYSTEMS[system]})
            self._routed[system] = self._predictor.route(questions, settings, Counters())

    def _take(self, step: Step, systems: Sequence[str], progress: Progress) -> list[Cell]:
        """Asks some systems all questions of a step."""
        items = step.items(self._sample)
        asked = {name: [self._routed[name][item.question.position] for item in items] for name in systems}
        if step.perturbation and step.perturbation not in self._calibrated:
            self._calibrate(step.perturbation, items)
            self._calibrated.add(step.perturbation)
        load = PerturbedPictures(
            self._store, step.perturbation, step.level, self._plan.seed, self._plan.mode, self._calibrations,
            self._sample.box_pictures,
        )  # fmt: skip
        # All systems in one engine: it remembers what the vision tower, which no adapter changes, makes of a picture.
        everything = [one for routed in asked.values() for one in routed]
        answers: dict[int, Answer] = {}
        with self._predictor.engine(everything, self._plan.settings, load, Counters()) as engine:
            for made in engine.run():
                answers |= {answer.position: answer for answer in made}
                progress.advance(len(made))
                interrupts.check()
        cells = []
        for name, routed in asked.items():
            mine = [answers[one.question.position] for one in routed]
            parts = zip(items, routed, mine, strict=True)
            cell = Cell(name, step.name, step.level, tuple(self._outcome(*part, load) for part in parts))
            cells.append(cell)
            if not any(answer.failed and answer.asked for answer in mine):  # else a later run tries again
                self._cells.write(cell, SYSTEMS[name])
        return cells

    def _outcome(self, item: Item, routed: RoutedQuestion, answer: Answer, load: PerturbedPictures) -> Outcome:
        made = load.of(item.question, self._images(routed.adapter))
        truth = move_truth(item, made.boxes) if made else item.row.truth
        fault = "; ".join([answer.reason, *answer.problems]) if answer.failed else ""
        if truth is None:
            truth, fault = item.row.truth, NO_BOX_LEFT
        row = replace(item.row, answers=(answer.text,), turn=0, truth=truth)
        severity = made.severity if made else None
        number = item.question.position
        return Outcome(number, row, answer.adapter, answer.task.value, answer.stage, severity, fault)

    def _calibrate(self, one: Perturbation, items: Sequence[Item]) -> None:
        """Searches for the parameters of all levels, as the routes of all systems show the pictures."""
        if (self._plan.mode or one.mode) != "ssim":
            return
        routed = chain.from_iterable(self._routed.values())
        settings = dict.fromkeys(self._images(question.adapter) for question in routed)
        pictures: dict[tuple[object, ...], Picture] = {}
        for item in items:
            names = item.question.image_names
            for_boxes = item.question.pictures in self._sample.box_pictures
            for how in settings:
                for index in spaced_indices(len(names), how.max_count):
                    try:
                        key = (self._store.place(item.question, names[index]), how, for_boxes)
                        if key not in pictures:
                            content = self._store.content(item.question, names[index])
                            pictures[key] = Picture(content, how.min_pixels, how.max_pixels, for_boxes)
                    except ImageError:  # the engine says so where the question is asked
                        continue
        self._calibrator.calibrate(one.name, list(pictures.values()))

    def _images(self, adapter: str) -> ImageSettings:
        """The image settings of an adapter's route; the base is asked as the generalist is."""
        return self._predictor.checkpoint.routes[GENERALIST if adapter == NO_ADAPTER else adapter].images


def _check_routes(cells: Sequence[Cell]) -> None:
    """Compares each question's route with that about the clean picture: its text is the same, so the route must be.

    Raises:
        RuntimeError: One differs.
    """
    clean = {
        (cell.system, one.number): (one.adapter, one.task)
        for cell in cells
        if cell.perturbation == CLEAN
        for one in cell.outcomes
    }
    for cell in cells:
        for one in cell.outcomes:
            expected = clean[cell.system, one.number]
            if (one.adapter, one.task) != expected:
                raise RuntimeError(
                    f"{one.row.place}: {cell.system} took adapter {one.adapter!r} for {one.task} under "
                    f"{cell.perturbation}, and {expected[0]!r} for {expected[1]} with the clean picture"
                )
