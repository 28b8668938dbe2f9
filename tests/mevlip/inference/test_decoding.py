"""Constrained decoding: only legal answers, the same ones that a naive search finds, each as cheap as it can be."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mevlip.answers import QuestionSpec
from mevlip.answers.grammar import Grammar, Lark, OneOf, SomeOf
from mevlip.checkpoints.checkpoint import Checkpoint
from mevlip.core.errors import ModelFailure
from mevlip.inference.completion import Completion, Request
from mevlip.inference.decoding import Grammars
from mevlip.inference.drafts import Draft
from mevlip.inference.model import VisionLanguageModel
from mevlip.inference.prompts import build_prompt
from mevlip.inference.reference import choose
from mevlip.reading import grammar_of
from mevlip.runs.report import RunReport
from mevlip.tasks import GENERALIST, TASKS, TaskType
from mevlip_training.demo.scenes import draw_scene
from mevlip_training.demo.wordings import DATASETS, DemoDataset
from tests.conftest import EXAMPLES, answer_folder

TOKENS = 60
UNDECIDED = "?"
"""Stands for the text of tokens that a grammar leaves undecided."""
END = 0


class Letters:
    """A tokenizer of single characters; token 0 ends."""

    all_special_ids = (END,)

    def get_added_vocab(self) -> dict[str, int]:
        return {"<end>": END}

    def __len__(self) -> int:
        return TOKENS

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(char) % 50 + 1 for char in text]}


def walk(
    grammars: Grammars, grammar: Grammar | None, seed: int, size: int = TOKENS, budget: int = 400
) -> tuple[Completion, list[int]]:
    """Follows random logits through a grammar, as `generate` would."""
    draft = grammars.draft(grammar, budget)
    source = torch.Generator().manual_seed(seed)
    while not draft.done:
        choose(draft, torch.randn(1, size, generator=source), grammars.words)
    return draft.completion(UNDECIDED), draft.tokens


def allowed(grammars: Grammars, draft: Draft) -> np.ndarray:
    """Which of the vocabulary's tokens may come next."""
    words = np.zeros(grammars.words, dtype=np.uint32)
    draft.fill(words)
    return np.unpackbits(words.view(np.uint8), bitorder="little")[: grammars._size].astype(bool)


@pytest.fixture(scope="module")
def letters() -> Grammars:
    return Grammars(Letters(), TOKENS, [END])


def test_letters_are_known_after_one_token(letters: Grammars) -> None:
    for seed in range(20):
        written, tokens = walk(letters, OneOf(("A", "B", "C")), seed)
        assert written.text in ("A", "B", "C")
        assert len(tokens) == written.tokens == 1
        assert sum(written.options.values()) == pytest.approx(1)
        assert written.options[written.text] == pytest.approx(written.probability) == max(written.options.values())


def test_an_option_that_begins_another_can_be_chosen(letters: Grammars) -> None:
    said = {walk(letters, OneOf(("ab", "abc", "d")), seed)[0].text for seed in range(60)}
    assert said == {"ab", "abc", "d"}


def test_labels_come_once_each_in_any_order(letters: Grammars) -> None:
    grammar = SomeOf(("red", "red; green", "blue"), "; ")
    said = {walk(letters, grammar, seed)[0].text for seed in range(300)}
    assert {"red", "blue", "red; green", "blue; red", "red; blue"} <= said
    for text in said:
        assert text
        rest = text
        for label in ("red; green", "blue", "red"):
            rest = rest.replace(label, "", 1)
        assert not rest.replace("; ", ""), text


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda one: one.name)
@pytest.mark.parametrize("space", ["norm1000", "pixel"])
def test_random_logits_give_legal_answers(model: VisionLanguageModel, dataset: DemoDataset, space: Any) -> None:
    spec = QuestionSpec(dataset.question(dataset.wordings[-1], dataset.targets[-1]), (640, 96), space, (0.0, 1000.0))
    grammar = grammar_of(dataset.task, spec)
    assert grammar is not None
    size = model.grammars._size
    for seed in range(6):
        written, tokens = walk(model.grammars, grammar, seed, size, budget=120)
        text = (
            model.encoder.tokenizer.decode(tokens, skip_special_tokens=True)
            if written.text == UNDECIDED
            else written.text
        )
        if dataset.task in (TaskType.DETECTION, TaskType.INSTANCE_DETECTION):
            # Random digits are often boxes without area, and often too many; but they are boxes and in the frame.
            whole = 1000 if space == "norm1000" else 640
            assert re.match(r'(\[|\{"([1-9]\d?|X|Y)": ?\[|\{\}$)', text)
            assert all(int(number) <= whole for number in re.findall(r"\d+", text))
            if len(tokens) < 120:
                json.loads(text)
        elif len(tokens) < 120:
            assert TASKS[dataset.task].answer.parse(text, spec).format()


def test_each_grammar_is_compiled_once(letters: Grammars, checkpoint: Checkpoint) -> None:
    fresh = Grammars(Letters(), TOKENS, [END])
    for grammar in (*[OneOf(("A", "B"))] * 8, SomeOf(("A", "B"), "; "), None):
        fresh.draft(grammar, 3)
    assert fresh.compiled == 2


@pytest.mark.parametrize("source", ["start: /[/", "start: nothing"])
def test_a_grammar_that_cannot_be_used_is_named(model: VisionLanguageModel, source: str) -> None:
    with pytest.raises(ModelFailure, match="llguidance cannot compile a grammar"):
        model.grammars.prove(Lark(source))


def test_an_answer_that_leaves_its_grammar_is_an_error(model: VisionLanguageModel) -> None:
    """The mask forbids such a token, so a library that refuses one that was allowed has gone wrong."""
    draft = model.grammars.draft(Lark("start: /[0-9]/"), 9)
    [letter] = model.encoder.tokenizer("a", add_special_tokens=False)["input_ids"]
    with pytest.raises(RuntimeError, match="llguidance: "):
        draft.take(letter, 0.0)


def test_an_option_cannot_plant_a_special_token(model: VisionLanguageModel) -> None:
    for grammar in (OneOf(("<|im_end|>", "Mass")), SomeOf(("Mass", "no <img>"), "; ")):
        assert allowed(model.grammars, model.grammars.draft(grammar, 9)).all()


def test_an_answer_without_a_grammar_says_what_it_likes(letters: Grammars) -> None:
    assert allowed(letters, letters.draft(None, 9)).all()
    assert letters.draft(OneOf(("A", "B")), 9).choices == letters.draft(OneOf(("B", "A")), 9).choices == (16, 17)
    assert [letters.decided_at_once(one) for one in (None, OneOf(("A", "B")), OneOf(("A", "AB")))] == [
        False,
        True,
        False,
    ]


def test_an_answer_ends_with_its_budget(letters: Grammars) -> None:
    _, tokens = walk(letters, None, 1, budget=7)
    assert len(tokens) == 7 or tokens[-1] == END


def _examples() -> Iterator[tuple[DemoDataset, str, Any]]:
    for dataset in (one for one in DATASETS if one.task is TaskType.CLASSIFICATION):
        rng = random.Random(f"decoding/{dataset.name}")
        for _ in range(2):
            scene = draw_scene(dataset, rng)
            target = rng.choice(sorted(scene.answers))
            yield dataset, dataset.question(rng.choice(dataset.wordings), target), scene.images


def _naive(model: VisionLanguageModel, prompt: Any, images: Any, route: Any, texts: tuple[str, ...]) -> str:
    """Constrained greedy decoding as one would write it first: no cache, no trie, token after token to the end."""
    tokenizer = model.encoder.tokenizer
    endings = {
        text: [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id] for text in texts
    }
    inputs = model.encoder.encode([prompt], [images], route.images)
    said: list[int] = []
    while True:
        allowed = sorted({one[len(said)] for one in endings.values() if one[: len(said)] == said})
        with torch.inference_mode():
            logits = model._model(**inputs).logits[0, -1]
        token = allowed[int(logits[allowed].argmax())]
        said.append(token)
        if token == tokenizer.eos_token_id:
            return next(text for text, one in endings.items() if one == said)
        for key, value in (("input_ids", token), ("attention_mask", 1)):
            inputs[key] = torch.cat([inputs[key], torch.tensor([[value]])], dim=1)


def test_a_closed_choice_costs_one_forward_and_equals_naive_constrained_decoding(
    model: VisionLanguageModel, reference: VisionLanguageModel, checkpoint: Checkpoint
) -> None:
    route = checkpoint.routes[GENERALIST]
    model.use(GENERALIST)
    reference.use(GENERALIST)
    for dataset, question, images in _examples():
        spec = QuestionSpec(question)
        grammar = grammar_of(dataset.task, spec)
        assert isinstance(grammar, OneOf)
        prompt = build_prompt(question, len(images), route.prompt, model.reserved)
        pictures = tuple(model.picture(image, route.images) for image in images)
        made = model.generate([Request(model.encode(prompt, pictures), pictures, 32, grammar)])
        assert made.completions[0].text == _naive(reference, prompt, images, route, grammar.texts)
        if spec.options:
            cost = made.cost
            assert (cost.forwards, cost.generated_tokens, cost.vocabulary_rows, cost.synchronizations) == (1, 1, 0, 1)
            assert sum(made.completions[0].options.values()) == pytest.approx(1, abs=1e-4)


@pytest.fixture(scope="module")
def held(model: VisionLanguageModel, tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    """The example questions answered within their grammars, with explanations beside the predictions."""
    out = tmp_path_factory.mktemp("held")
    model.forget_pictures()
    return answer_folder(EXAMPLES, out, model, routing="declared", explanations=out / "why.jsonl")


def test_where_free_decoding_is_legal_constraints_change_nothing(
    model: VisionLanguageModel, held: RunReport, tmp_path: Path
) -> None:
    free = answer_folder(EXAMPLES, tmp_path, model, routing="declared", constrain=False)
    for one, other in zip(free.answers, held.answers, strict=True):
        # Floating-point numbers and identities that no chromosome has are legal but outside the grammars.
        if one.stage == "strict":
            assert one.text == other.text, one.task
    assert sum(result.stage == "strict" for result in held.answers) >= sum(
        result.stage == "strict" for result in free.answers
    )
    assert held.counters.forwards < free.counters.forwards
    assert held.counters.generated_tokens < free.counters.generated_tokens


def test_every_answer_has_a_probability(held: RunReport) -> None:
    lines = [json.loads(line) for line in held.predictions.with_name("why.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == len(held.answers)
    for line, result in zip(lines, held.answers, strict=True):
        assert 0 < line["probability"] <= 1
        assert (line["answer"], line["stage"]) == (result.text, result.stage)
        if line["task"] == "classification" and line["option_probabilities"]:
            assert sum(line["option_probabilities"].values()) == pytest.approx(1, abs=1e-3)
            assert line["option_probabilities"][result.text] == max(line["option_probabilities"].values())


def test_the_budgets_hold_the_longest_legal_answer_of_a_closed_question(
    model: VisionLanguageModel, checkpoint: Checkpoint
) -> None:
    for dataset in DATASETS:
        spec = QuestionSpec(dataset.question(dataset.wordings[0], dataset.targets[0]))
        if dataset.task is TaskType.MULTI_LABEL:
            longest = spec.separator.join(spec.labels)
            tokens = model.encoder.tokenizer(longest)["input_ids"]
            assert len(tokens) < TASKS[dataset.task].max_new_tokens
