"""Attacking a model's pictures question by question, and asking it about them as it is asked about any others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image, ImageDraw

from mevlip.checkpoints.routes import ImageSettings
from mevlip.core import interrupts
from mevlip.core.errors import InputError
from mevlip.core.progress import Progress
from mevlip.flare.images import QuestionImages
from mevlip.flare.questions import InputFolder, Question
from mevlip.flare.store import ImageStore
from mevlip.inference.engine import Counters
from mevlip.inference.model import VisionLanguageModel
from mevlip.predictor import Predictor
from mevlip.settings import AnswerSettings
from mevlip.tasks import GENERALIST, TaskType
from mevlip_validation.attacks.gradient import Attacked, Method, Tiles, attack
from mevlip_validation.attacks.questions import (
    Case,
    NotAttackable,
    Posed,
    as_picture,
    check_routes,
    has_options,
    prepare,
    sample,
)
from mevlip_validation.defaults import SYSTEMS
from mevlip_validation.matching import Row, Truth, rows_of_questions

_GAP = 6  # pixels between the panels of a strip
_CAPTION = 20


@dataclass(frozen=True)
class Plan:
    """How questions are attacked.

    Attributes:
        system: Which system answers, by a name of `SYSTEMS`.
        method: The method.
        epsilons: By how many levels of 255 each value of a pixel may change, ascending, each once.
        iterations: Steps of PGD.
        targeted: Whether the model is to answer another option, rather than anything but the truth.
        sample: How many questions of each task; None for all.
        seed: Seed of the sample and of PGD's starts.
    """

    system: str = "routed"
    method: Method = "pgd"
    epsilons: tuple[int, ...] = (2, 4, 6, 8, 10)
    iterations: int = 10
    targeted: bool = False
    sample: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class AttackedQuestion:
    """One question, clean and attacked.

    Attributes:
        place: File and record number of its true answer.
        task: The task that the truth states.
        adapter: The adapter that answered.
        goal: The answer whose loss was attacked.
        losses: Its loss, clean and at each epsilon.
        answers: What the model answered.
    """

    place: str
    task: TaskType
    adapter: str
    goal: str
    losses: tuple[float, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Attacks:
    """What attacks came to.

    Attributes:
        plan: How the questions were attacked.
        questions: The questions.
        rows: Their rows for scoring: clean, then at each epsilon.
        skipped: One line for each question that could not be attacked.
        strips: For the first question of each task, its first picture: clean, attacked most strongly, and the change.
    """

    plan: Plan
    questions: tuple[AttackedQuestion, ...]
    rows: tuple[tuple[Row, ...], ...]
    skipped: tuple[str, ...]
    strips: dict[TaskType, Image.Image]

    @property
    def strengths(self) -> tuple[int, ...]:
        """Every epsilon, 0 for the clean pictures first."""
        return 0, *self.plan.epsilons


def attack_folder(
    predictor: Predictor, folder: InputFolder, truths: Sequence[Truth], plan: Plan, quiet: bool = False
) -> Attacks:
    """Attacks the pictures of questions, each for its own question, and has the model answer about every result.

    Args:
        predictor: The loaded system; see `mevlip.predictor.load_model` for one that is exact.
        folder: The questions.
        truths: Their true answers.
        plan: How.
        quiet: Whether to show no progress.

    Raises:
        CheckpointError: The checkpoint's pictures cannot be attacked.
        InputError: No question can be.
    """
    check_routes(predictor.checkpoint.routes.values())
    chosen = sample(rows_of_questions(truths, folder.questions), plan.sample, plan.seed)
    settings = AnswerSettings(routing=SYSTEMS[plan.system])
    routed = predictor.route([folder.questions[place] for place in chosen], settings, Counters())
    posed = [Posed(item, row) for item, row in zip(routed, chosen.values(), strict=True)]
    posed = [one for one in posed if not plan.targeted or has_options(one)]
    model = predictor.model
    if not isinstance(model, VisionLanguageModel):
        raise TypeError(f"{type(model).__name__} has no loss")
    found: list[AttackedQuestion] = []
    kept: list[Posed] = []
    skipped: list[str] = []
    strips: dict[TaskType, Image.Image] = {}
    with ImageStore(folder.root) as store, Progress("attacking", len(posed), "questions", quiet) as progress:
        for one in posed:
            route = predictor.checkpoint.routes.get(one.item.adapter) or predictor.checkpoint.routes[GENERALIST]
            try:
                case = prepare(one, model, route, store, plan.targeted)
            except NotAttackable as error:
                skipped.append(f"{one.row.place}: {error}")
            else:
                series = attack_case(case, model, plan)
                texts = answer_series(predictor, case, [each.tiles for each in series], settings)
                losses = tuple(each.loss for each in series)
                found.append(AttackedQuestion(one.row.place, one.row.task, one.item.adapter, case.goal, losses, texts))
                kept.append(one)
                strips.setdefault(one.row.task, draw_strip(case.tiles[0], series[-1]))
            progress.advance()
            interrupts.check()
    if not found:
        why = f" ({skipped[0]})" if skipped else ""
        what = "choice questions with options" if plan.targeted else "answered questions with readable images"
        raise InputError(f"{folder.root} has no question that can be attacked{why}", f"Name a folder with {what}.")
    rows = tuple(
        tuple(replace(one.row, answers=(each.answers[at],), turn=0) for one, each in zip(kept, found, strict=True))
        for at in range(len(plan.epsilons) + 1)
    )
    return Attacks(plan, tuple(found), rows, tuple(skipped), strips)


def attack_case(case: Case, model: VisionLanguageModel, plan: Plan) -> tuple[Attacked, ...]:
    """Attacks the pictures of one question; those of a question with several change together."""
    model.use(case.posed.item.adapter)

    def loss(pixels: torch.Tensor) -> torch.Tensor:
        return model.answer_loss(case.prompt, pixels, case.goal).cpu()

    random = np.random.default_rng((plan.seed, *case.posed.row.place.encode()))
    return attack(
        loss, case.tiles, plan.epsilons, method=plan.method, iterations=plan.iterations, falling=plan.targeted,
        random=random,
    )  # fmt: skip


def answer_series(
    predictor: Predictor, case: Case, series: Sequence[Tiles], settings: AnswerSettings
) -> tuple[str, ...]:
    """What the model answers about each version of a question's pictures, asked as the predictor asks."""
    versions = [case.shown(tiles) for tiles in series]
    item = case.posed.item
    routed = [
        replace(item, question=replace(item.question, position=place, given=shown.images))
        for place, shown in enumerate(versions)
    ]

    def load(question: Question, _: ImageSettings) -> QuestionImages:
        return versions[question.position]

    with predictor.engine(routed, settings, load, Counters()) as engine:
        texts = {answer.position: answer.text for answers in engine.run() for answer in answers}
    return tuple(texts[place] for place in range(len(versions)))


def draw_strip(clean: Tiles, attacked: Attacked) -> Image.Image:
    """A picture clean and attacked, and how it was changed: gray where it was not, black and white where by epsilon.

    Args:
        clean: The clean picture, (3, height, width).
        attacked: The attacked ones, of which the first is shown.
    """
    changed = attacked.tiles[0]
    change = (changed.astype(np.float32) - clean) * (127 / attacked.epsilon) + 128
    captions = ("clean", f"epsilon {attacked.epsilon}/255", f"change x {127 / attacked.epsilon:.3g}")
    panels = [as_picture(one) for one in (clean, changed, change.round().astype(np.uint8))]
    width, height = panels[0].size
    strip = Image.new("RGB", (3 * (width + _GAP) - _GAP, height + _CAPTION), "white")
    pen = ImageDraw.Draw(strip)
    for place, (panel, caption) in enumerate(zip(panels, captions, strict=True)):
        strip.paste(panel, (place * (width + _GAP), _CAPTION))
        pen.text((place * (width + _GAP) + 2, 4), caption, fill="black")
    return strip
