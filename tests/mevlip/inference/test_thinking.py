"""Thinking before an answer: what closes it, what follows, and what the answer may say then, token by token."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip.answers.grammar import Grammar, OneOf, SomeOf
from mevlip.core.errors import ModelFailure
from mevlip.inference.completion import Completion, Encoded, Request
from mevlip.inference.decoding import Grammars
from mevlip.inference.drafts import Draft
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.prompts import Prompt
from mevlip.inference.reference import choose
from mevlip.inference.steps import Recorder
from mevlip.inference.thinking import Marks
from mevlip.reading import grammar_of
from mevlip.tasks import TASKS, TaskType
from mevlip_training.demo.wordings import DATASETS
from tests.mevlip.inference.tape import record_tape

pytestmark = pytest.mark.model

LOGITS, END = 151_674, 151_645
CLOSED = "</think><answer>"
LETTERS = OneOf(("A", "B"))
QUESTIONS = {one.task: one for one in DATASETS}
BUDGET = 11


class Written:
    """An answer as it is written: the model wants some tokens first, whatever comes after.

    Attributes:
        draft: The answer.
        before: Its tokens before the answer itself, marks included.
        completion: What it came to.
    """

    def __init__(
        self, grammars: Grammars, grammar: Grammar | None, wanted: Iterable[int], seed: int = 0, budget: int = 120
    ) -> None:
        self.draft = draft = grammars.draft(grammar, budget, BUDGET)
        written: list[int] = []
        source, tokens = torch.Generator().manual_seed(seed), iter(wanted)
        while not draft.done:
            logits = torch.randn(1, LOGITS, generator=source)
            if (token := next(tokens, None)) is not None:
                logits[0, token] = 50.0
            choose(draft, logits, grammars.words)
            written.append(draft.last)
        self.before = written[: draft.taken - len(draft.tokens)]
        assert written == [*self.before, *draft.tokens]
        text = grammars._tokenizer.decode(draft.tokens, skip_special_tokens=True)
        self.completion: Completion = draft.completion(text)
        assert self.completion.tokens == draft.taken <= Request(Encoded((), 0), (), budget, grammar, BUDGET).new_tokens


@pytest.fixture(scope="module")
def tokenizer(thin_checkpoint: Path) -> Any:
    return PromptEncoder("internvl", thin_checkpoint / "base").tokenizer


@pytest.fixture(scope="module")
def grammars(tokenizer: Any) -> Grammars:
    """With the real vocabulary."""
    return Grammars(tokenizer, LOGITS, [END])


def spell(grammars: Grammars, *texts: str) -> list[int]:
    """Tokens of texts, each spelled by itself."""
    return [token for text in texts for token in grammars._tokenizer(text)["input_ids"]]


def allowed(grammars: Grammars, draft: Draft) -> np.ndarray:
    words = np.zeros(grammars.words, dtype=np.uint32)
    if draft.choices is None:
        draft.fill(words)
        return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
    return np.array(draft.choices)


WAYS: dict[str, tuple[tuple[str, ...], str]] = {
    "closes at once": (("</think>",), ""),
    "closes": (("<think>", "Round", ".", "</think>"), "<think>Round."),
    "names other marks": (("x", "</", "b", ">", "<", "think", "</", "answer", "</think>"), "x</b><think</answer"),
    "closes with a line break": (("Round", "</", "think", ">\n\n"), "Round"),
    "closes into the answer": (("Round", "</", "think", "><"), "Round"),
    "closes into a word": (("Round", "</", "think", ">The"), "Round"),
    "ends at once": (("<|im_end|>",), ""),
    "ends": (("Round", "<|im_end|>"), "Round"),
    "ends in the mark": (("Round", "</", "<|im_end|>"), "Round"),
    "ends before the mark's last character": (("Round", "</", "think", "<|im_end|>"), "Round"),
    "never closes": ((" x",) * 50, " x" * BUDGET),
    "uses up its budget in the mark": ((*(" x",) * (BUDGET - 2), "</", "think"), " x" * (BUDGET - 2)),
}
"""What a model wants to say, by tokens, and what it then has said before the mark."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task", TaskType)
def test_every_answer_is_legal_and_follows_the_marks_however_thinking_ends(
    grammars: Grammars, task: TaskType, way: str
) -> None:
    texts, said = WAYS[way]
    wanted = spell(grammars, *texts)
    assert len(wanted) >= len(texts) - 1
    dataset = QUESTIONS[task]
    spec = QuestionSpec(
        dataset.question(dataset.wordings[-1], dataset.targets[-1]), (640, 96), "norm1000", (0.0, 1000.0)
    )
    grammar = grammar_of(task, spec)
    assert grammar is not None
    made = Written(grammars, grammar, wanted, seed=len(way))
    assert grammars._tokenizer.decode(made.before) == said + CLOSED
    assert made.completion.thinking == said.removeprefix("<think>").strip()
    text = made.completion.text
    if len(made.draft.tokens) < 120:
        if task in (TaskType.DETECTION, TaskType.INSTANCE_DETECTION):
            json.loads(text)
            assert all(int(number) <= 1000 for number in re.findall(r"\d+", text))
        else:
            assert TASKS[task].answer.parse(text, spec).format()


def test_the_grammar_begins_right_after_the_marks_and_nowhere_else(grammars: Grammars) -> None:
    """Each step's tokens: all but added ones, then each mark's only, then the grammar's own."""
    free = set(np.flatnonzero(np.unpackbits(grammars.marks.allowed.view(np.uint8), bitorder="little")).tolist())
    number = grammar_of(TaskType.COUNTING, QuestionSpec("How many?"))
    for grammar in (LETTERS, SomeOf(("red", "blue"), "; "), number):
        plain = set(allowed(grammars, grammars.draft(grammar, 9)).tolist())
        for texts, said in WAYS.values():
            draft = grammars.draft(grammar, 9, BUDGET)
            wanted = iter(spell(grammars, *texts))
            tokens: list[int] = []
            while not grammars._tokenizer.decode(tokens).endswith(CLOSED):
                now = allowed(grammars, draft).tolist()
                assert set(now) == free or len(now) == 1
                if len(now) > 1:
                    draft.take(next(wanted), -1.0)
                else:
                    draft.decide(now[0], {now[0]: 0}, [1.0])
                tokens.append(draft.last)
            assert grammars._tokenizer.decode(tokens) == said + CLOSED
            assert set(allowed(grammars, draft).tolist()) == plain and not draft.tokens


def test_what_closes_the_thinking_ends_where_a_token_does(grammars: Grammars) -> None:
    made = Written(grammars, LETTERS, spell(grammars, "Round", "</", "think", ">\n\n"))
    texts = [grammars.marks.text(token) for token in made.before]
    assert texts == ["Round", "</", "think", ">", "<", "answer", ">"]
    whole = Written(grammars, LETTERS, spell(grammars, "Round", "</", "think", ">"))
    assert whole.before == made.before


def test_an_added_token_cannot_be_thought_but_an_end_may_be_wanted(grammars: Grammars, tokenizer: Any) -> None:
    free = allowed(grammars, grammars.draft(LETTERS, 9, BUDGET)).tolist()
    added = {*tokenizer.get_added_vocab().values(), *tokenizer.all_special_ids}
    assert len(added) >= 32 and added & set(free) == {END}
    assert len(free) == LOGITS - len(added - {LOGITS}) + 1, "the last token has no logit"


def test_marks_that_are_tokens_of_their_own_can_be_thought(tokenizer: Any, thin_checkpoint: Path) -> None:
    """As in Qwen3's vocabulary."""
    other = PromptEncoder("internvl", thin_checkpoint / "base").tokenizer
    other.add_tokens(["<think>", "</think>", "<tool>"])
    opens, closes, tool = other.convert_tokens_to_ids(["<think>", "</think>", "<tool>"])
    size = len(other)
    marks = Marks(other, size, [END], {*other.get_added_vocab().values()})
    free = np.flatnonzero(np.unpackbits(marks.allowed.view(np.uint8), bitorder="little"))
    assert {opens, closes} <= set(free.tolist()) and tool not in free
    draft = Grammars(other, size, [END]).draft(LETTERS, 9, BUDGET)
    draft.take(closes, -1.0)
    assert draft.choices == (marks.opening[0],)


def test_a_tokenizer_that_cannot_spell_the_marks_is_refused() -> None:
    class Lower:
        def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
            return {"input_ids": [ord(char) for char in text]}

        def decode(self, tokens: list[int], **_: Any) -> str:
            return "".join(map(chr, tokens)).replace("/", " ")

    with pytest.raises(ModelFailure, match="cannot spell '</think>'"):
        Marks(Lower(), 256, [0], ())


@given(
    st.lists(st.sampled_from(["</", "think", ">", ">\n\n", "><", " x", "</", "think", "<|im_end|>", "é"]), max_size=14)
)
@hypothesis_settings(max_examples=60)
def test_whatever_is_thought_the_mark_stands_once_at_the_end(grammars: Grammars, texts: list[str]) -> None:
    draft = grammars.draft(LETTERS, 9, BUDGET)
    wanted: Iterator[int] = iter([*spell(grammars, *texts), *repeat(END, 9)])
    tokens: list[int] = []
    while draft.choices is None or len(draft.choices) == 1:
        few = draft.choices
        if few is None:
            draft.take(next(wanted), -1.0)
        else:
            draft.decide(few[0], {few[0]: 0}, [1.0])
        tokens.append(draft.last)
    text = grammars._tokenizer.decode(tokens)
    assert text.endswith(CLOSED) and text.count("</think>") == 1
    assert END not in tokens and len(tokens) <= BUDGET + 6
    assert draft.choices == tuple(sorted(spell(grammars, "A", "B")))


def test_a_budget_of_one_token_is_one_token(grammars: Grammars) -> None:
    draft = grammars.draft(LETTERS, 9, 1)
    draft.take(spell(grammars, " x")[0], -1.0)
    assert draft.choices == (spell(grammars, "</think>")[0],)


def test_what_begins_to_close_the_answer_ends_it(grammars: Grammars) -> None:
    """A model that was trained to write marks goes on with one: it must not be held to further digits."""
    number = grammar_of(TaskType.COUNTING, QuestionSpec("How many?"))
    marked = ["</think>", "12", "</", "answer", ">", "<|im_end|>"]
    wanted = spell(grammars, "</think>", "<answer>", *marked[1:])
    made = Written(grammars, number, wanted)
    assert made.completion.text == "12"
    assert grammars._tokenizer.decode(made.draft.tokens) == "12</"
    report = grammar_of(TaskType.REPORT, QuestionSpec("Write a report."))
    wanted = spell(grammars, "</think>", "<answer>", "Nothing", ".</", "answer", ">", "<|im_end|>")
    made = Written(grammars, report, wanted)
    assert made.completion.text == "Nothing."


def test_an_option_with_what_looks_like_a_mark_is_said_whole(grammars: Grammars) -> None:
    labels = SomeOf(("x</b", "x</c", "z"), "; ")
    wanted = spell(grammars, "</think>", "<answer>", "x", "</", "c", ";", " x", "</", "b", "<|im_end|>")
    assert Written(grammars, labels, wanted).completion.text == "x</c; x</b"
    for seed in range(20):
        said = Written(grammars, labels, spell(grammars, "</think>"), seed).completion.text
        assert set(said.split("; ")) <= {"x</b", "x</c", "z"}
    wanted = spell(grammars, "</think>", "<answer>", "red", "</")
    assert Written(grammars, SomeOf(("red", "blue"), "; "), wanted).completion.text == "red"


def test_how_sure_the_model_was_is_said_of_the_answer_alone(grammars: Grammars) -> None:
    draft = grammars.draft(LETTERS, 9, BUDGET)
    for token in spell(grammars, " x", " x", "</think>"):
        draft.take(token, -7.0)
    while len(few := draft.choices or ()) == 1:
        draft.decide(few[0], {few[0]: 0}, [1.0])
    first, second = draft.choices or ()
    draft.decide(second, {first: 0, second: 1}, [0.25, 0.75])
    made = draft.completion("")
    assert (made.text, made.probability) == ("B", pytest.approx(0.75))
    assert made.options == {"A": 0.25, "B": 0.75} and made.thinking == "x x"


@pytest.mark.parametrize(
    ("texts", "thinking", "answer"),
    [
        (("<think>", "Hm", "</think>", "<answer>", "B", "</answer>", "<|im_end|>"), "Hm", "B"),
        (("Hm", "</", "think", ">\n\n", "<answer>", "B", "</answer>", "<|im_end|>"), "Hm", "B"),
        (("Hm", "</think>", "B", "<|im_end|>"), "Hm", "B"),
        (("It is B", "<|im_end|>"), "", "It is B"),
        (("<answer>", "B", "</answer>", "<|im_end|>"), "", "B"),
        (("<|im_end|>",), "", ""),
        ((*(" x",) * BUDGET, "</think>", "<answer>", "B", "<|im_end|>"), " ".join("x" * BUDGET), "B"),
    ],
    ids=["marked", "line break", "no answer marks", "ends", "answers", "says nothing", "never closes"],
)
def test_a_free_answer_is_only_closed_by_its_budget(
    grammars: Grammars, texts: tuple[str, ...], thinking: str, answer: str
) -> None:
    wanted = spell(grammars, *texts)
    made = Written(grammars, None, wanted)
    assert (made.completion.thinking, made.completion.text) == (thinking, answer)
    assert [*made.before, *made.draft.tokens] == wanted, "nothing else was said"
    assert made.completion.probability > 0


def test_without_thinking_no_token_is_turned_into_text(grammars: Grammars, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = Grammars(grammars._tokenizer, LOGITS, [END])
    monkeypatch.setattr(Marks, "__init__", lambda *_: pytest.fail("marks are spelled"))
    for grammar in (None, LETTERS):
        draft = fresh.draft(grammar, 9)
        assert type(draft) is Draft
        choose(draft, torch.zeros(1, LOGITS), fresh.words)


def test_the_generator_goes_on_from_what_was_taken_in_place_of_what_was_said(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo ends early, so that marks take the place of its end token; probabilities are those after the marks."""
    model.use("generalist")
    texts = ("Which? A: Cat, B: Dog", "How many cells?", "Is it round or is it not? A: It is, B: It is not")
    prompts = [model.encode(Prompt(text, "", 0), []) for text in texts]
    marks = model.encoder.tokenizer(CLOSED[:8])["input_ids"] + model.encoder.tokenizer(CLOSED[8:])["input_ids"]
    single = model.generate([Request(prompt, (), 1, None) for prompt in prompts])
    asked = [Request(prompt, (), 5, LETTERS, 1) for prompt in prompts]
    for record in (None, record_tape):
        monkeypatch.setattr(model._generator, "_record", Recorder(record))
        made = model.generate(asked)
        assert made.cost.recorded_passes == (record is not None)
        assert made.cost.generated_tokens == sum(one.tokens for one in made.completions)
        for prompt, first, one in zip(prompts, single.completions, made.completions, strict=True):
            said = model.encoder.tokenizer(first.text)["input_ids"]
            assert one.thinking == first.text.strip() and one.tokens == len(said) + len(marks) + 1
            after = Encoded((*prompt.tokens, *said, *marks), 0)
            [plain] = model.generate([Request(after, (), 5, LETTERS)]).completions
            assert one.text == plain.text and one.options == pytest.approx(plain.options, abs=2e-2)
