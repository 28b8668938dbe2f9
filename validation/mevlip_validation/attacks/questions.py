"""What is attacked: questions, their pictures as the vision tower gets them, and the answer whose loss is meant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from mevlip.answers import QuestionSpec
from mevlip.answers.choice import Choice
from mevlip.checkpoints.routes import Route
from mevlip.core.errors import CheckpointError, MevlipError, describe
from mevlip.flare.images import QuestionImages
from mevlip.flare.store import ImageStore
from mevlip.inference.completion import Encoded
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.prompts import build_prompt
from mevlip.routing.policy import RoutedQuestion
from mevlip.tasks import TASKS, TaskType
from mevlip_validation.attacks.gradient import Tiles
from mevlip_validation.matching import Row
from mevlip_validation.targets import TargetError, write_target


@dataclass(frozen=True)
class Posed:
    """A question with its true answer, before its pictures are read.

    Attributes:
        item: The question and who answers it.
        row: Its true answer.
    """

    item: RoutedQuestion
    row: Row


@dataclass(frozen=True)
class Case:
    """A question that can be attacked.

    Attributes:
        posed: The question.
        loaded: Its images as they were loaded.
        prompt: Its prompt.
        tiles: Its pictures as the vision tower gets them, (pictures, 3, height, width).
        goal: The answer whose loss is attacked, as training writes it.
    """

    posed: Posed
    loaded: QuestionImages
    prompt: Encoded
    tiles: Tiles
    goal: str

    def shown(self, tiles: Tiles) -> QuestionImages:
        """Its images with these pixels; boxes still refer to the sizes of the originals."""
        return replace(self.loaded, images=tuple(map(as_picture, tiles)))


class NotAttackable(ValueError):
    """A question that cannot be attacked; its text is the cause."""


def sample(rows: Mapping[int, Row], count: int | None, seed: int) -> dict[int, Row]:
    """So many questions of each task, drawn at random, in their order; all where `count` is None.

    Args:
        rows: The questions by their places.
        count: How many of each task.
        seed: Random seed.
    """
    if count is None:
        return dict(rows)
    groups: defaultdict[TaskType, list[int]] = defaultdict(list)
    for place, row in rows.items():
        groups[row.task].append(place)
    random = np.random.default_rng(seed)
    kept = {int(place) for own in groups.values() for place in random.permutation(own)[:count]}
    return {place: row for place, row in rows.items() if place in kept}


def has_options(posed: Posed) -> bool:
    """Whether one of several options is to be chosen, so that another one can be aimed at."""
    return TASKS[posed.row.task].answer is Choice and len(_options(posed)) > 1


def check_routes(routes: Iterable[Route]) -> None:
    """Refuses routes whose pictures are not one tile each, and those that let the model think before it answers.

    Raises:
        CheckpointError: A route cuts its pictures into tiles, or has thinking.
    """
    for route in routes:
        if route.images.crop_to_patches:
            raise CheckpointError(
                f"adapter {route.adapter!r} cuts pictures into tiles, which cannot be joined again once changed",
                "Attack a checkpoint whose routes have crop_to_patches off.",
            )
        if route.prompt.thinking:
            raise CheckpointError(
                f"adapter {route.adapter!r} thinks before it answers, so that no answer follows its prompt",
                "Attack a checkpoint whose routes have no prompt.thinking.",
            )


def prepare(posed: Posed, model: VisionLanguageModel, route: Route, store: ImageStore, targeted: bool) -> Case:
    """Reads a question's pictures and writes its prompt, as the predictor does, and the answer that is meant.

    Args:
        posed: The question.
        model: The model.
        route: The route that answers it.
        store: Where its images are.
        targeted: Whether the answer that is meant is the option after the true one, the first after the last.

    Raises:
        NotAttackable: It has no readable image, no true answer that can be taught, or a prompt that is too long.
    """
    question = posed.item.question
    loaded = store.load(question, route.images)
    if not loaded.images:
        raise NotAttackable("no image could be used")
    spec = route.spec(question.text, loaded.sizes[0])
    try:
        goal = write_target(posed.row.task, posed.row.truth, spec)
    except TargetError as error:
        raise NotAttackable(f"its true answer cannot be taught ({error.code})") from error
    if targeted:
        options = _options(posed)
        if goal not in options:
            raise NotAttackable("its true answer is none of its options")
        goal = options[(options.index(goal) + 1) % len(options)]
    try:
        pictures = [model.picture(image, route.images) for image in loaded.images]
    except MevlipError:
        raise
    except Exception as error:  # whatever one image does, the other questions are attacked
        raise NotAttackable(f"an image cannot be prepared ({describe(error)})") from error
    tiles = np.concatenate([picture.tiles for picture in pictures if picture.tiles is not None])
    prompt = model.encode(build_prompt(question.text, len(pictures), route.prompt, model.reserved), pictures)
    budget = route.max_new_tokens[posed.item.task]
    if len(prompt.tokens) + budget > model.window:
        raise NotAttackable("its text is too long for the model")
    return Case(posed, loaded, prompt, tiles, goal)


def as_picture(tile: Tiles) -> Image.Image:
    """A tile, (3, height, width), as a picture."""
    return Image.fromarray(np.ascontiguousarray(tile.transpose(1, 2, 0)))


def _options(posed: Posed) -> list[str]:
    """The options of a question as they are answered: their marks, else their words."""
    spec = QuestionSpec(posed.item.question.text)
    return list(spec.options) or list(spec.labels)
