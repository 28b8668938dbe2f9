"""The questions that a run samples completions of: prepared rows, each with its true answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mevlip.answers import QuestionSpec
from mevlip.answers.base import Unparsable
from mevlip.checkpoints.routes import Route
from mevlip.core.errors import InputError
from mevlip.flare.pixels import fit_pixel_budget, to_rgb
from mevlip.inference.families import Family
from mevlip.inference.prompts import Prompt
from mevlip.tasks import TASKS, TaskType
from mevlip_training.written import REMEDY, WrittenRow, read_rows


@dataclass(frozen=True)
class Question:
    """A question, as the predictor would ask it.

    Attributes:
        id: Its row's id.
        task: Its task.
        prompt: Its prompt.
        image: Its image file.
        spec: The form of its answers.
        truth: Its true answer, in the form of predictions.
    """

    id: str
    task: TaskType
    prompt: Prompt
    image: Path
    spec: QuestionSpec
    truth: str

    def picture(self, route: Route) -> object:
        """Its image as the predictor would show it to the image processor."""
        from PIL import Image

        with Image.open(self.image) as image:
            return fit_pixel_budget(to_rgb(image), route.images.min_pixels, route.images.max_pixels)


def read_questions(file: Path, route: Route, family: Family) -> list[Question]:
    """Reads the rows of a prepared data set.

    Raises:
        InputError: A row is not one that completions can be sampled and scored for; all are counted.
    """
    rows = list(read_rows(file, route.prompt, family.image_gap))
    refused = Counter(filter(None, (_obstacle(row, route) for row in rows)))
    if refused:
        counts = "; ".join(f"{number} of {len(rows)} rows {cause}" for (cause, _), number in refused.items())
        raise InputError(f"{file}: {counts}", " ".join(dict.fromkeys(remedy for _, remedy in refused)))
    return [*_questions(rows, route, file)]


def _obstacle(row: WrittenRow, route: Route) -> tuple[str, str] | None:
    """Why a row is refused, and what to do; TRL gives each prompt's pixels to the model as one tile of one image."""
    if len(row.images) != 1:
        count = f"have {len(row.images)} images" if row.images else "have no image"
        return f"{count}, and GRPO samples answers to questions on one image", (
            "Prepare rows for it in a folder of their own, with --images first or explode, without volumes and films."
        )
    if row.task not in route.max_new_tokens:
        return "do not name a task of their adapter", REMEDY
    return None


def _questions(rows: list[WrittenRow], route: Route, file: Path) -> Iterator[Question]:
    from PIL import Image

    before, after = route.prompt.template.split("{question}")
    for row in rows:
        task, [path] = TaskType(row.task), row.images
        try:
            with Image.open(path) as image:
                size = image.size
        except OSError as error:
            raise InputError(f"{path}, an image of {file}, cannot be read ({type(error).__name__})", REMEDY) from error
        spec = route.spec(row.prompt.text.removeprefix(before).removesuffix(after), size)
        try:
            truth = TASKS[task].answer.parse(row.target, spec).format()
        except Unparsable as error:
            raise InputError(f"{file}: row {row.id}: its answer {error}", REMEDY) from error
        yield Question(row.id, task, row.prompt, path, spec, truth)
