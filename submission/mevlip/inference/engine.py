"""Running batches: images and prompts in, typed answers out, and no question lost on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mevlip.answers import ParsedAnswer, QuestionSpec, Stage, fallback_answer, grammar_of, read_answer
from mevlip.answers.grammar import Grammar
from mevlip.checkpoints.routes import Route
from mevlip.core.errors import MevlipError, ModelFailure, describe
from mevlip.flare.images import QuestionImages, load_question_images
from mevlip.inference.batching import Batch, RoutedQuestion
from mevlip.inference.prompts import Prompt, build_prompt
from mevlip.tasks import TaskType

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Said:
    """A model's text and how sure it was of it.

    Attributes:
        text: The text, special tokens removed.
        probability: Of a closed choice its probability among the options, else the geometric mean of the tokens'.
        options: Of a closed choice that the first token decides, the probability of each option.
    """

    text: str
    probability: float = 0.0
    options: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Generation:
    """What one generate call returned and what it cost.

    Attributes:
        said: What the model said in each row.
        generated_tokens: Tokens generated, end tokens included.
        prefill_tokens: Prompt tokens, padding not counted.
        image_encodes: Image tiles that went through the vision tower.
        forwards: Passes through the language model; the first one is the prefill.
    """

    said: tuple[Said, ...]
    generated_tokens: int
    prefill_tokens: int
    image_encodes: int
    forwards: int


class OutOfMemory(RuntimeError):
    """A batch did not fit into memory; a smaller one may."""


class Model(Protocol):
    """What the engine needs of a model; `mevlip.inference.model.VisionLanguageModel` is the real one."""

    @property
    def reserved(self) -> frozenset[str]:
        """Strings that the tokenizer turns into special tokens."""

    def use(self, adapter: str) -> None:
        """Selects the adapter of the next generate calls, or the base model alone."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        images: Sequence[Sequence[Image.Image]],
        route: Route,
        max_new_tokens: int,
        grammars: Sequence[Grammar | None],
    ) -> Generation:
        """Answers a batch of prompts, each within its grammar.

        Raises:
            OutOfMemory: The batch does not fit into memory.
            MevlipError: No batch can be answered: the checkpoint, the device or a library is at fault.
        """

    def release_memory(self) -> None:
        """Frees what a failed batch left behind.

        Raises:
            ModelFailure: The device no longer works.
        """


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
    generated_tokens: int = 0


@dataclass(frozen=True)
class Result:
    """The answer to one question and how it came about.

    Attributes:
        position: The question's place in the output.
        task: The kind of answer.
        adapter: The adapter that answered.
        confidence: The router's confidence, 0 to 1.
        answer: The Answer string.
        stage: How the answer came about; see `mevlip.answers.ParsedAnswer`.
        reason: Why the model's text could not be taken as it was; empty otherwise.
        problems: What was wrong with its images; a question with one bad image of several is still answered.
        failed: Whether the model was never asked, or broke; a later run tries such a question again.
        probability: How sure the model was of its text, 0 to 1; see `Said`. None where it said nothing.
        options: The probability of each option, where the first token decides.
        asked: Whether the model was asked; not where the record has no text or none of its images can be used.
    """

    position: int
    task: TaskType
    adapter: str
    confidence: float
    answer: str
    stage: Stage
    reason: str = ""
    problems: tuple[str, ...] = ()
    failed: bool = False
    probability: float | None = None
    options: dict[str, float] = field(default_factory=dict)
    asked: bool = True


_Row = tuple[RoutedQuestion, QuestionImages]

_PROBE = "Which is it? A: This, B: That"
_PROBE_TOKENS = 4
_RESUME = "Finished answers are kept: fix the cause, which `mevlip doctor` may name, and run the same command again."


@dataclass(frozen=True)
class _Failure:
    """Why a batch broke, without the error itself, whose tracebacks keep tensors alive."""

    cause: str
    out_of_memory: bool

    @classmethod
    def of(cls, error: Exception) -> _Failure:
        """Keeps what an error says."""
        return cls(describe(error), isinstance(error, OutOfMemory))


class Engine:
    """Runs batches through a model.

    Args:
        model: The model.
        routes: The route of each adapter.
        root: The input folder, which no image path leaves.
        counters: Where costs are added up.
        constrain: Whether the model may only say what the question allows.
    """

    def __init__(
        self,
        model: Model,
        routes: Mapping[str, Route],
        root: Path,
        counters: Counters | None = None,
        constrain: bool = True,
    ) -> None:
        self._model = model
        self._constrain = constrain
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
                yield _failure(item, loaded, route, "the record has no Question text", asked=False)
            elif not loaded.images and item.question.image_names:
                yield _failure(item, loaded, route, "no image could be used", asked=False)
            else:
                ready.append((item, loaded))
        yield from self._answer(ready, batch.task, route)

    def _answer(self, rows: Sequence[_Row], task: TaskType, route: Route) -> Iterator[Result]:
        """Asks the model; a batch that breaks is halved until the question that breaks it stands alone.

        Raises:
            MevlipError: No question is to blame.
        """
        if not rows:
            return
        prompts = [
            build_prompt(item.question.text, len(loaded.images), route.prompt, self._model.reserved)
            for item, loaded in rows
        ]
        specs = [_form(item, loaded, route) for item, loaded in rows]
        grammars = [grammar_of(task, spec) if self._constrain else None for spec in specs]
        failure: _Failure | None = None
        try:
            made = self._model.generate(
                prompts, [loaded.images for _, loaded in rows], route, route.max_new_tokens[task], grammars
            )
        except MevlipError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one question does, the others are answered
            failure = _Failure.of(error)
        if failure is not None:
            # Only here has the error let go of the tensors that its traceback kept alive.
            self._model.release_memory()
            yield from self._answer_in_halves(rows, task, route, failure)
            return
        self.counters.forwards += made.forwards
        self.counters.prefill_tokens += made.prefill_tokens
        self.counters.image_encodes += made.image_encodes
        self.counters.generated_tokens += made.generated_tokens
        for (item, loaded), spec, said in zip(rows, specs, made.said, strict=True):
            yield _result(item, loaded, read_answer(task, said.text, spec), said)

    def _answer_in_halves(
        self, rows: Sequence[_Row], task: TaskType, route: Route, failure: _Failure
    ) -> Iterator[Result]:
        if len(rows) == 1:
            if not failure.out_of_memory:
                self._prove_innocence(task, route, failure)
            yield _failure(*rows[0], route, f"the model failed ({failure.cause})")
            return
        middle = len(rows) // 2
        yield from self._answer(rows[:middle], task, route)
        yield from self._answer(rows[middle:], task, route)

    def _prove_innocence(self, task: TaskType, route: Route, failure: _Failure) -> None:
        """Asks something harmless in a question's place, to learn whether the question or the program is to blame.

        Raises:
            ModelFailure: The harmless question fails, too.
        """
        from PIL import Image

        picture = Image.new("RGB", (64, 64), (128, 128, 128))
        prompt = build_prompt(_PROBE, 1, route.prompt, self._model.reserved)
        spec = QuestionSpec(_PROBE, picture.size, route.box_space, route.value_range)
        grammar = grammar_of(task, spec) if self._constrain else None
        budget = min(route.max_new_tokens[task], _PROBE_TOKENS)
        try:
            self._model.generate([prompt], [[picture]], route, budget, [grammar])
        except OutOfMemory:
            return
        except MevlipError:
            raise
        except Exception as error:
            raise ModelFailure(
                f"The model cannot answer any question of adapter {route.adapter!r} ({failure.cause})", _RESUME
            ) from error


def _form(item: RoutedQuestion, loaded: QuestionImages, route: Route) -> QuestionSpec:
    size = loaded.images[0].size if loaded.images else None
    return QuestionSpec(item.question.text, size, route.box_space, route.value_range)


def _failure(item: RoutedQuestion, loaded: QuestionImages, route: Route, cause: str, *, asked: bool = True) -> Result:
    outcome = fallback_answer(item.task, _form(item, loaded, route), cause)
    return _result(item, loaded, outcome, asked=asked, failed=True)


def _result(
    item: RoutedQuestion,
    loaded: QuestionImages,
    outcome: ParsedAnswer,
    said: Said | None = None,
    *,
    asked: bool = True,
    failed: bool = False,
) -> Result:
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
        said.probability if said else None,
        said.options if said else {},
        asked,
    )
