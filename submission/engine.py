"""Running batches: images and prompts in, typed answers out, and no question lost on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from submission.answers import Form, Outcome, fallback_answer, read_answer
from submission.flare.images import QuestionImages, load_question_images
from submission.planner import Batch, RoutedQuestion
from submission.prompts import Prompt, build_prompt
from submission.routes import Route
from submission.tasks import TaskType

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Generation:
    """What one generate call returned and what it cost.

    Attributes:
        texts: The model's text of each row, special tokens removed.
        prefill_tokens: Prompt tokens, padding not counted.
        image_encodes: Image tiles that went through the vision tower.
        forwards: Passes through the language model; the first one is the prefill.
    """

    texts: tuple[str, ...]
    prefill_tokens: int
    image_encodes: int
    forwards: int


class Model(Protocol):
    """What the engine needs of a model; `submission.model.VisionLanguageModel` is the real one."""

    @property
    def reserved(self) -> frozenset[str]:
        """Strings that the tokenizer turns into special tokens."""

    def use(self, adapter: str) -> None:
        """Selects the adapter of the next generate calls, or the base model alone."""

    def generate(
        self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image.Image]], route: Route, max_new_tokens: int
    ) -> Generation:
        """Answers a batch of prompts."""

    def release_memory(self) -> None:
        """Frees what a failed batch left behind."""


@dataclass
class Counters:
    """What a run cost, independent of the machine; tests assert these numbers."""

    questions: int = 0
    router_forwards: int = 0
    adapter_switches: int = 0
    batches: int = 0
    forwards: int = 0
    prefill_tokens: int = 0
    image_encodes: int = 0


@dataclass(frozen=True)
class Result:
    """The answer to one question and how it came about.

    Attributes:
        position: The question's place in the output.
        task: The kind of answer.
        adapter: The adapter that answered.
        confidence: The router's confidence, 0 to 1.
        answer: The Answer string.
        stage: `strict` for the model's own answer, `fallback` for a legal stand-in.
        reason: Why a fallback was needed; empty otherwise.
        problems: What was wrong with its images; a question with one bad image of several is still answered.
        failed: Whether the model was never asked, or broke; a later run tries such a question again.
    """

    position: int
    task: TaskType
    adapter: str
    confidence: float
    answer: str
    stage: Literal["strict", "fallback"]
    reason: str = ""
    problems: tuple[str, ...] = ()
    failed: bool = False


_Row = tuple[RoutedQuestion, QuestionImages]


class Engine:
    """Runs batches through a model.

    Args:
        model: The model.
        routes: The route of each adapter.
        root: The input folder, which no image path leaves.
        counters: Where costs are added up.
    """

    def __init__(self, model: Model, routes: Mapping[str, Route], root: Path, counters: Counters | None = None) -> None:
        self._model = model
        self._routes = routes
        self._root = root
        self.counters = counters or Counters()

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Result, ...]]:
        """Yields the results of each batch as soon as it is done; every question of every batch gets one."""
        selected = None
        for batch in batches:
            if batch.adapter != selected:
                self._model.use(batch.adapter)
                self.counters.adapter_switches += 1
                selected = batch.adapter
            self.counters.batches += 1
            self.counters.questions += len(batch.items)
            yield tuple(self._run_batch(batch))

    def _run_batch(self, batch: Batch) -> Iterator[Result]:
        route = self._routes[batch.adapter]
        rows = [(item, load_question_images(item.question, self._root, route.images.max_count)) for item in batch.items]
        ready = []
        for item, loaded in rows:
            if not item.question.text:
                yield _failure(item, loaded, route, "the record has no Question text")
            elif not loaded.images:
                yield _failure(item, loaded, route, "no image could be used")
            else:
                ready.append((item, loaded))
        yield from self._answer(ready, batch.task, route)

    def _answer(self, rows: Sequence[_Row], task: TaskType, route: Route) -> Iterator[Result]:
        """Asks the model; a batch that breaks is halved until the question that breaks it stands alone."""
        if not rows:
            return
        prompts = [
            build_prompt(item.question.text, len(loaded.images), route.prompt, self._model.reserved)
            for item, loaded in rows
        ]
        failure, made = "", None
        try:
            made = self._model.generate(
                prompts, [loaded.images for _, loaded in rows], route, route.max_new_tokens[task]
            )
        except Exception as error:  # noqa: BLE001 - whatever one question does, the others are answered
            failure = f"the model failed ({type(error).__name__}: {_first_line(error)})"
        if made is None:
            # Only now has the error let go of the tensors that its traceback held.
            self._model.release_memory()
            yield from self._answer_in_halves(rows, task, route, failure)
            return
        self.counters.forwards += made.forwards
        self.counters.prefill_tokens += made.prefill_tokens
        self.counters.image_encodes += made.image_encodes
        for (item, loaded), text in zip(rows, made.texts, strict=True):
            outcome = read_answer(task, text, _form(item, loaded, route))
            yield _result(item, loaded, outcome)

    def _answer_in_halves(self, rows: Sequence[_Row], task: TaskType, route: Route, failure: str) -> Iterator[Result]:
        if len(rows) == 1:
            yield _failure(*rows[0], route, failure)
            return
        middle = len(rows) // 2
        yield from self._answer(rows[:middle], task, route)
        yield from self._answer(rows[middle:], task, route)


def _form(item: RoutedQuestion, loaded: QuestionImages, route: Route) -> Form:
    size = loaded.images[0].size if loaded.images else None
    return Form(item.question.text, size, route.box_space)


def _failure(item: RoutedQuestion, loaded: QuestionImages, route: Route, cause: str) -> Result:
    return _result(item, loaded, fallback_answer(item.task, _form(item, loaded, route), cause), failed=True)


def _result(item: RoutedQuestion, loaded: QuestionImages, outcome: Outcome, *, failed: bool = False) -> Result:
    return Result(
        item.question.position,
        item.task,
        item.adapter,
        item.confidence,
        outcome.text,
        outcome.stage,
        outcome.reason,
        loaded.problems,
        failed,
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]
