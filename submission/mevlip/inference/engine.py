"""Running batches: images and prompts in, typed answers out, and no question lost on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Self

from mevlip.answers import ParsedAnswer, QuestionSpec, Stage
from mevlip.answers.grammar import Grammar
from mevlip.checkpoints.routes import Route
from mevlip.core.errors import MevlipError, ModelFailure, describe
from mevlip.inference.batching import Batch, Budget, Size, plan, split
from mevlip.inference.completion import Completion, Cost, Model, OutOfMemory, Request, thinking_room
from mevlip.inference.pictures import Gallery, ImageLoader, Shown, overflow
from mevlip.inference.prompts import build_prompt
from mevlip.inference.windows import check_room, fit
from mevlip.reading import fallback_answer, grammar_of, read_answer
from mevlip.routing.policy import RoutedQuestion
from mevlip.tasks import TaskType


@dataclass
class Counters(Cost):
    """What a run cost.

    Attributes:
        questions: Questions that were laid out in batches.
        router_forwards: Passes through the router.
        adapter_switches: How often an adapter was selected.
        batches: Batches as planned.
        pictures_decoded: Images that were read.
        budget_halvings: How often memory ran out.
    """

    questions: int = 0
    router_forwards: int = 0
    adapter_switches: int = 0
    batches: int = 0
    pictures_decoded: int = 0
    budget_halvings: int = 0

    def add(self, cost: Cost) -> None:
        """Adds what a generate call cost."""
        for name, number in asdict(cost).items():
            setattr(self, name, getattr(self, name) + number)


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
        shown: Its pictures.
        spec: What it allows as an answer.
        request: What the model is asked; its prompt fits the model's window.
        size: What that takes.
    """

    item: RoutedQuestion
    shown: Shown
    spec: QuestionSpec
    request: Request
    size: Size


_FRAME_TOKENS = 16
_CHARACTERS_PER_TOKEN = 3
"""Of a question's text, for planning: rather too few, so that what is planned together also fits."""
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
    """Answers batches of routed questions with a model. Use it as a context manager, which ends its threads.

    Args:
        model: The model.
        routes: The route of each adapter.
        load: Loads the images of a question, each within its route's pixel budget.
        routed: All questions that will be asked, in any order.
        counters: Where costs are added up.
        constrain: Whether the model may only say what the question allows.
        batch_tokens: Most prompt tokens of one pass through the model; None for what memory has room for.

    Attributes:
        batches: The questions as they should be answered: in this order, together.

    Raises:
        CheckpointError: A route's thinking leaves no room for a prompt.
    """

    def __init__(
        self,
        model: Model,
        routes: Mapping[str, Route],
        load: ImageLoader,
        routed: Sequence[RoutedQuestion],
        counters: Counters | None = None,
        constrain: bool = True,
        batch_tokens: int | None = None,
    ) -> None:
        self._model = model
        self._constrain = constrain
        self._budget = model.budget
        if batch_tokens is not None:
            self._budget = Budget(min(batch_tokens, self._budget.computed), self._budget.cached)
        self._selected: str | None = None
        self._routes = routes
        check_room(routes.values(), model.window)
        self._gallery = Gallery(load, model, (item.question for item in routed))
        self.counters = counters or Counters()
        self.batches = plan(routed, self._budget, self._estimate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._gallery.close()

    def run(self) -> Iterator[tuple[Answer, ...]]:
        """Yields the answers of each batch as soon as it is done; every question gets one."""
        for batch, following in zip(self.batches, [*self.batches[1:], None], strict=True):
            yield self.answer(batch, following)

    def answer(self, batch: Batch, following: Batch | None = None) -> tuple[Answer, ...]:
        """Answers the questions of one batch; each gets an answer.

        Args:
            batch: The questions.
            following: The batch that comes next, as far as is known; its images are prepared meanwhile.

        Raises:
            MevlipError: No question is to blame.
        """
        for coming in filter(None, (batch, following)):
            self._gallery.prepare(coming.questions, self._routes[coming.adapter].images)
        if batch.adapter != self._selected:
            self._model.use(batch.adapter)
            self.counters.adapter_switches += 1
            self._selected = batch.adapter
        self.counters.batches += 1
        self.counters.questions += len(batch.items)
        answers = tuple(self._run_batch(batch))
        self._gallery.forget(batch.questions, self._routes[batch.adapter].images)
        self.counters.pictures_decoded = self._gallery.decoded
        return answers

    def _estimate(self, item: RoutedQuestion) -> Size:
        """What a question takes, before its images are known; of tiles, as many as there may be."""
        route = self._routes[item.adapter]
        count = min(len(item.question.pictures), route.images.max_count)
        shared = count * self._model.image_tokens(route.images)
        prompt = len(route.prompt.preset) + len(route.prompt.template) + count * len(route.prompt.image_mark)
        own = _FRAME_TOKENS + (len(item.question.text) + prompt) // _CHARACTERS_PER_TOKEN
        new = self._new_tokens(item, route, self._grammar(item, route.spec(item.question.text, None)))
        return Size(item if route.mix else item.question.pictures, shared, own, new)

    def _grammar(self, item: RoutedQuestion, spec: QuestionSpec) -> Grammar | None:
        return grammar_of(item.task, spec) if self._constrain else None

    def _new_tokens(self, item: RoutedQuestion, route: Route, grammar: Grammar | None) -> int:
        thinking = thinking_room(route.prompt.thinking_tokens)
        at_once = not thinking and self._model.decided_at_once(grammar)
        return 0 if at_once else route.max_new_tokens[item.task] + thinking

    def _run_batch(self, batch: Batch) -> Iterator[Answer]:
        route = self._routes[batch.adapter]
        ready = []
        for item in batch.items:
            shown = self._gallery.show(item.question, route.images)
            if shown.fault:
                self._prove_innocence(item, route, shown.fault)
                yield _failure(item, shown, route, f"the model failed ({shown.fault})")
            elif not item.question.text:
                yield _failure(item, shown, route, "the record has no Question text", asked=False)
            elif shown.named and not shown.pictures:
                yield _failure(item, shown, route, "no image could be used", asked=False)
            else:
                row = self._prepare(item, shown, route)
                if cause := overflow(shown, row.size.shared, self._model.window, route.adapter):
                    yield _failure(item, shown, route, cause)
                else:
                    ready.append(row)
        yield from self._ask(ready, route)

    def _prepare(self, item: RoutedQuestion, shown: Shown, route: Route) -> _Row:
        """Encodes a question's prompt; a text that does not fit the model's window is cut in its middle."""
        budget, thinking = route.max_new_tokens[item.task], route.prompt.thinking_tokens
        encoded, problems = fit(item.question.text, shown.pictures, route.prompt, self._model, budget)
        shown = replace(shown, problems=(*shown.problems, *problems))
        spec = _spec(item, shown, route)
        grammar = self._grammar(item, spec)
        own, new = len(encoded.tokens) - encoded.shared, self._new_tokens(item, route, grammar)
        size = Size(item if route.mix else shown.key or item, encoded.shared, own, new)
        return _Row(item, shown, spec, Request(encoded, shown.pictures, budget, grammar, thinking), size)

    def _ask(self, rows: Sequence[_Row], route: Route) -> Iterator[Answer]:
        """Asks the model, as many questions at a time as memory has room for.

        A part that breaks is halved until the question that breaks it stands alone. Where memory runs out, the budget
        is halved with it, and stays so.

        Raises:
            MevlipError: No question is to blame.
        """
        waiting = self._parts(rows)
        while waiting:
            part = waiting.pop(0)
            failure: _Failure | None = None
            try:
                made = self._model.generate([row.request for row in part])
            except MevlipError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever one question does, the others are answered
                failure = _Failure.of(error)
            if failure is None:
                self.counters.add(made.cost)
                for row, completion in zip(part, made.completions, strict=True):
                    parsed = read_answer(row.item.task, completion.text, row.spec)
                    yield _answer(row.item, row.shown, parsed, completion)
                continue
            # Only here has the error let go of the tensors that its traceback kept alive.
            self._model.release_memory()
            if len(part) == 1:
                [row] = part
                if not failure.out_of_memory:
                    self._prove_innocence(row.item, route, failure.cause)
                yield _failure(row.item, row.shown, route, f"the model failed ({failure.cause})")
            elif failure.out_of_memory:
                waiting = self._smaller_parts(part, [row for later in waiting for row in later])
            else:
                middle = len(part) // 2
                waiting[:0] = [part[:middle], part[middle:]]

    def _parts(self, rows: Sequence[_Row]) -> list[Sequence[_Row]]:
        return [rows[part] for part in split([row.size for row in rows], self._budget)]

    def _smaller_parts(self, part: Sequence[_Row], later: Sequence[_Row]) -> list[Sequence[_Row]]:
        """Halves the budget until a part that did not fit falls into several."""
        while True:
            self._budget = self._budget.halved()
            self.counters.budget_halvings += 1
            parts = self._parts(part)
            if len(parts) > 1:
                return [*parts, *self._parts(later)]

    def _prove_innocence(self, item: RoutedQuestion, route: Route, cause: str) -> None:
        """Asks something harmless in a question's place, to learn whether the question or the program is to blame.

        Raises:
            ModelFailure: The harmless question fails, too.
        """
        from PIL import Image

        image = Image.new("RGB", (64, 64), (128, 128, 128))
        prompt = build_prompt(_PROBE, 1, route.prompt, self._model.reserved)
        grammar = self._grammar(item, route.spec(_PROBE, image.size))
        try:
            picture = self._model.picture(image, route.images)
            budget, thinking = (
                min(most, _PROBE_TOKENS) for most in (route.max_new_tokens[item.task], route.prompt.thinking_tokens)
            )
            encoded = self._model.encode(prompt, [picture])
            self._model.generate([Request(encoded, (picture,), budget, grammar, thinking)])
        except OutOfMemory:
            return
        except MevlipError:
            raise
        except Exception as error:
            raise ModelFailure(
                f"The model cannot answer any question of adapter {route.adapter!r} ({cause})", _RESUME
            ) from error


def give_up(item: RoutedQuestion, cause: str, *, asked: bool) -> Answer:
    """The fallback answer of a question that the model is not asked any more, or not at all; nothing is loaded.

    Args:
        item: The question.
        cause: Why.
        asked: Whether the model was asked, in an earlier run.
    """
    parsed = fallback_answer(item.task, QuestionSpec(item.question.text), cause)
    return _answer(item, Shown(), parsed, asked=asked, failed=True)


def _spec(item: RoutedQuestion, shown: Shown, route: Route) -> QuestionSpec:
    return route.spec(item.question.text, shown.sizes[0] if shown.sizes else None)


def _failure(item: RoutedQuestion, shown: Shown, route: Route, cause: str, *, asked: bool = True) -> Answer:
    parsed = fallback_answer(item.task, _spec(item, shown, route), cause)
    return _answer(item, shown, parsed, asked=asked, failed=True)


def _answer(
    item: RoutedQuestion,
    shown: Shown,
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
        shown.problems,
        failed,
        asked,
        item.corrected_from,
    )
