"""Running batches: images and prompts in, typed answers out, and no question lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mevlip.answers import ParsedAnswer, QuestionSpec, Stage
from mevlip.checkpoints.routes import ImageSettings, Route
from mevlip.core.errors import MevlipError, ModelFailure, describe
from mevlip.flare.images import QuestionImages
from mevlip.flare.questions import Question
from mevlip.inference.batching import BATCH_TOKENS, Batch, split_by_tokens
from mevlip.inference.completion import Completion, Model, OutOfMemory
from mevlip.inference.prompts import Prompt, build_prompt, cut_middle
from mevlip.reading import fallback_answer, grammar_of, read_answer
from mevlip.routing.policy import RoutedQuestion
from mevlip.tasks import TaskType

ImageLoader = Callable[[Question, ImageSettings], QuestionImages]
"""Loads the images of a question as its route shows them; see `mevlip.flare.images.load_in_turn`."""


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
class Answer:
    """The answer to one question and how it came about.

    Attributes:
        position: The question's place in the output.
        task: The kind of answer.
        adapter: The adapter that answered.
        confidence: The router's confidence, 0 to 1; 1 where the declared task was believed.
        parsed: The Answer string and how it was read from the model's text.
        completion: What the model wrote; None where it was not asked, or broke.
        problems: What was wrong with its images, or that its text was cut; a question with one bad image of several is
            still answered.
        failed: Whether the model was never asked, or broke; a later run tries such a question again.
        asked: Whether the model was asked; not where the record has no text or none of its images can be used.
        corrected_from: The task that the router or the record named, where the question's form excludes it.
    """

    position: int
    task: TaskType
    adapter: str
    confidence: float
    parsed: ParsedAnswer
    completion: Completion | None = None
    problems: tuple[str, ...] = ()
    failed: bool = False
    asked: bool = True
    corrected_from: TaskType | None = None

    @property
    def routed_task(self) -> TaskType:
        """The task that the router or the record named."""
        return self.corrected_from or self.task

    @property
    def text(self) -> str:
        """The Answer string."""
        return self.parsed.text

    @property
    def stage(self) -> Stage:
        """How the model's text was read; see `mevlip.answers.ParsedAnswer`."""
        return self.parsed.stage

    @property
    def reason(self) -> str:
        """Why the model's text could not be taken as it was; empty otherwise."""
        return self.parsed.reason

    @property
    def probability(self) -> float | None:
        """How sure the model was of its text, 0 to 1; see `Completion`. None where it wrote nothing."""
        return self.completion.probability if self.completion else None

    @property
    def options(self) -> dict[str, float]:
        """The probability of each option, where the first token decides."""
        return self.completion.options if self.completion else {}


@dataclass(frozen=True)
class _Row:
    """A question that is ready to be asked.

    Attributes:
        item: The question and who answers it.
        loaded: Its images.
        prompt: Its prompt, which fits the model's window.
        tokens: Tokens of its prompt and the budget of its answer.
    """

    item: RoutedQuestion
    loaded: QuestionImages
    prompt: Prompt
    tokens: int


_LEAST_TEXT = 1024
"""Tokens of a prompt that are not taken from its text, however many its images take."""
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
        load: Loads the images of a question, each within its route's pixel budget.
        counters: Where costs are added up.
        constrain: Whether the model may only say what the question allows.
        batch_tokens: Most tokens of the questions that go through the model together.
    """

    def __init__(
        self,
        model: Model,
        routes: Mapping[str, Route],
        load: ImageLoader,
        counters: Counters | None = None,
        constrain: bool = True,
        batch_tokens: int = BATCH_TOKENS,
    ) -> None:
        self._model = model
        self._constrain = constrain
        self._batch_tokens = batch_tokens
        self._selected: str | None = None
        self._routes = routes
        self._load = load
        self.counters = counters or Counters()

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Answer, ...]]:
        """Yields the answers of each batch as soon as it is done; every question of every batch gets one."""
        for batch in batches:
            yield self.answer(batch)

    def answer(self, batch: Batch) -> tuple[Answer, ...]:
        """Answers the questions of one batch; each gets an answer.

        Raises:
            MevlipError: No question is to blame.
        """
        if batch.adapter != self._selected:
            self._model.use(batch.adapter)
            self.counters.adapter_switches += 1
            self._selected = batch.adapter
        self.counters.batches += 1
        self.counters.questions += len(batch.items)
        return tuple(self._run_batch(batch))

    def _run_batch(self, batch: Batch) -> Iterator[Answer]:
        route = self._routes[batch.adapter]
        rows = [(item, self._load(item.question, route.images)) for item in batch.items]
        ready = []
        for item, loaded in rows:
            if not item.question.text:
                yield _failure(item, loaded, route, "the record has no Question text", asked=False)
            elif loaded.named and not loaded.images:
                yield _failure(item, loaded, route, "no image could be used", asked=False)
            else:
                ready.append(self._prepare(item, loaded, route))
        for part in split_by_tokens([row.tokens for row in ready], self._batch_tokens):
            yield from self._answer(ready[part], batch.task, route)

    def _prepare(self, item: RoutedQuestion, loaded: QuestionImages, route: Route) -> _Row:
        """Builds a question's prompt; a text that does not fit the model's window is cut in its middle."""
        text, budget = item.question.text, route.max_new_tokens[item.task]

        def prompt(question: str) -> Prompt:
            return build_prompt(question, len(loaded.images), route.prompt, self._model.reserved)

        def count(question: str) -> int:
            return self._model.count_tokens(prompt(question), loaded.images, route)

        if count(text) > self._model.window - budget:
            room = max(self._model.window - budget, count("") + _LEAST_TEXT)
            kept = cut_middle(text, QuestionSpec(text).options_start, lambda part: count(part) <= room)
            if kept != text:
                problem = (
                    f"the question's text is too long for the model: {len(kept)} of {len(text)} characters are shown"
                )
                loaded, text = replace(loaded, problems=(*loaded.problems, problem)), kept
        return _Row(item, loaded, prompt(text), count(text) + budget)

    def _answer(self, rows: Sequence[_Row], task: TaskType, route: Route) -> Iterator[Answer]:
        """Asks the model; a batch that breaks is halved until the question that breaks it stands alone.

        Raises:
            MevlipError: No question is to blame.
        """
        if not rows:
            return
        specs = [_spec(row.item, row.loaded, route) for row in rows]
        grammars = [grammar_of(task, spec) if self._constrain else None for spec in specs]
        failure: _Failure | None = None
        try:
            made = self._model.generate(
                [row.prompt for row in rows],
                [row.loaded.images for row in rows],
                route,
                route.max_new_tokens[task],
                grammars,
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
        for row, spec, completion in zip(rows, specs, made.completions, strict=True):
            yield _answer(row.item, row.loaded, read_answer(task, completion.text, spec), completion)

    def _answer_in_halves(
        self, rows: Sequence[_Row], task: TaskType, route: Route, failure: _Failure
    ) -> Iterator[Answer]:
        if len(rows) == 1:
            if not failure.out_of_memory:
                self._prove_innocence(task, route, failure)
            yield _failure(rows[0].item, rows[0].loaded, route, f"the model failed ({failure.cause})")
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


def give_up(item: RoutedQuestion, cause: str, *, asked: bool) -> Answer:
    """The fallback answer of a question that the model is not asked any more, or not at all; nothing is loaded.

    Args:
        item: The question.
        cause: Why.
        asked: Whether the model was asked, in an earlier run.
    """
    parsed = fallback_answer(item.task, QuestionSpec(item.question.text), cause)
    return _answer(item, QuestionImages((), (), 0, ()), parsed, asked=asked, failed=True)


def _spec(item: RoutedQuestion, loaded: QuestionImages, route: Route) -> QuestionSpec:
    size = loaded.sizes[0] if loaded.sizes else None
    return QuestionSpec(item.question.text, size, route.box_space, route.value_range)


def _failure(item: RoutedQuestion, loaded: QuestionImages, route: Route, cause: str, *, asked: bool = True) -> Answer:
    parsed = fallback_answer(item.task, _spec(item, loaded, route), cause)
    return _answer(item, loaded, parsed, asked=asked, failed=True)


def _answer(
    item: RoutedQuestion,
    loaded: QuestionImages,
    parsed: ParsedAnswer,
    completion: Completion | None = None,
    *,
    asked: bool = True,
    failed: bool = False,
) -> Answer:
    return Answer(
        item.question.position,
        item.task,
        item.adapter,
        item.confidence,
        parsed,
        completion,
        loaded.problems,
        failed,
        asked,
        item.corrected_from,
    )
