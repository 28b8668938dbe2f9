"""Sampling on the true vocabulary: what can be said, and with which probability."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mevlip.answers import QuestionSpec
from mevlip.answers.grammar import OneOf, SomeOf
from mevlip.checkpoints.routes import Route, read_route
from mevlip.inference.encoder import PromptEncoder
from mevlip.inference.prompts import Prompt
from mevlip.reading import grammar_of
from mevlip.tasks import TaskType
from mevlip_training.grpo.questions import Question
from mevlip_training.grpo.rewards.base import read
from mevlip_training.grpo.sampling import Held, Said, Sampler
from mevlip_training.grpo.settings import CONFIG, Settings, check_settings
from mevlip_training.runs import read_yaml
from tests.training.grpo.cases import CASES, LABELED, LABELS, LETTERED, REPORTED, Case

pytestmark = pytest.mark.model

THREE_LABELS = LABELED._replace(spec=QuestionSpec(f"Select all that apply, by semicolons: {'; '.join(LABELS[:3])}."))
LOGITS = 151_674
"""InternVL3-8B's, one fewer than its tokens."""


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def tokenizer(thin_checkpoint: Path) -> Any:
    return PromptEncoder("internvl", thin_checkpoint / "base").tokenizer


@pytest.fixture(scope="module")
def route(thin_checkpoint: Path) -> Route:
    return read_route(thin_checkpoint / "adapters" / "generalist")


def settings(**overlay: Any) -> Settings:
    return check_settings(read_yaml(CONFIG) | overlay, CONFIG)


def asking(case: Case) -> Question:
    return Question("1", case.task, Prompt("", "", 1), Path("image.png"), case.spec, case.truth)


def say(
    sampler: Sampler, questions: Sequence[Question], scores: Sequence[torch.Tensor]
) -> tuple[list[list[int]], list[Said]]:
    """The tokens of completions, as `generate` would have them, and what they said.

    Args:
        sampler: The sampler.
        questions: What is asked, one completion each.
        scores: The logits at each place, (completions, vocabulary).
    """
    sampler.begin(questions)
    ids = torch.zeros(len(questions), 1, dtype=torch.long)
    for one in scores:
        ids = torch.cat([ids, sampler(ids, one).softmax(-1).multinomial(1)], 1)
    return ids[:, 1:].tolist(), sampler.said()


def by_chance(count: int, places: int, seed: int = 0) -> list[torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    return [4 * torch.randn(count, LOGITS, generator=source) for _ in range(places)]


def towards(tokens: Sequence[int]) -> list[torch.Tensor]:
    """Logits by which one completion says these tokens, or what has to come in their place."""
    made = torch.zeros(len(tokens), 1, LOGITS)
    for place, token in enumerate(tokens):
        made[place, 0, token] = 1000
    return [*made]


@pytest.mark.parametrize("thinking", [0, 12])
def test_whatever_is_likely_only_allowed_answers_are_said(tokenizer: Any, route: Route, thinking: int) -> None:
    asked = route if not thinking else route.with_thinking(str(thinking))
    sampler = Sampler(tokenizer, LOGITS, asked, settings())
    _, said = say(sampler, [asking(case) for case in CASES], by_chance(len(CASES), 70))
    for case, own in zip(CASES, said, strict=True):
        if not own.is_cut:
            # No grammar knows that a box has its smaller end first.
            assert read(case.task, case.spec, own.answer).credit >= (0.5 if "x_min" in case.spec.question else 1), own
    assert {case.task for case, own in zip(CASES, said, strict=True) if own.is_cut} <= {
        TaskType.REPORT, TaskType.DETECTION, TaskType.INSTANCE_DETECTION, TaskType.REGRESSION,
    }  # fmt: skip
    assert min(own.tokens for own in said) > thinking


def test_without_constraints_anything_is_said_but_the_place_of_an_image(tokenizer: Any, route: Route) -> None:
    """The pass after sampling would look for a picture behind it; so it was, and ended the run."""
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special and token < LOGITS}
    scores = by_chance(1, 8)
    for one in scores:
        one[:, sorted(special - {tokenizer.eos_token_id})] = 100
        one[:, tokenizer.eos_token_id] = -100
    free = Sampler(tokenizer, LOGITS, route, settings(constrain=False))
    [tokens], [said] = say(free, [asking(REPORTED)], scores)
    assert special.isdisjoint(tokens) and said.tokens == len(tokens) == 8
    assert said.answer == tokenizer.decode(tokens) and said.is_cut


def test_a_completion_is_cut_at_its_own_tasks_budget(tokenizer: Any, route: Route) -> None:
    free = Sampler(tokenizer, LOGITS, route, settings(constrain=False))
    x = tokenizer(" x", add_special_tokens=False)["input_ids"]
    budget = route.max_new_tokens[LETTERED.task]
    [tokens], [said] = say(free, [asking(LETTERED)], towards(x * (budget + 2)))
    assert tokens == [*x * budget, tokenizer.eos_token_id, tokenizer.eos_token_id]
    assert said == Said(" x" * budget, budget, True)
    _, [ended] = say(free, [asking(LETTERED)], towards([*x, tokenizer.eos_token_id, *x]))
    assert ended == Said(" x", 1, False)


def orders(case: Case) -> list[str]:
    """All that the question allows."""
    grammar = grammar_of(case.task, case.spec)
    if isinstance(grammar, OneOf):
        return [*grammar.texts]
    assert isinstance(grammar, SomeOf)
    counts = range(1, len(grammar.texts) + 1)
    return [grammar.separator.join(texts) for count in counts for texts in permutations(grammar.texts, count)]


@pytest.mark.parametrize("case", [LETTERED, THREE_LABELS], ids=["letters", "labels"])
def test_the_probabilities_of_all_that_may_be_said_add_up_to_one(case: Case, tokenizer: Any, route: Route) -> None:
    """Where a text may be spelled in one way alone; so what is learned is the distribution that is sampled from."""
    roomy = route.model_copy(update={"max_new_tokens": {**route.max_new_tokens, case.task: 99}})
    sampler = Sampler(tokenizer, LOGITS, roomy, settings())
    likely = torch.randn(1, 99, LOGITS, generator=torch.Generator().manual_seed(5))
    total = 0.0
    for text in orders(case):
        wanted = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        [tokens], [said] = say(sampler, [asking(case)], towards(wanted))
        assert said.answer == text
        # The sum is over ways through the same tree, so each place's logits are those of its place in the text.
        chances = sampler.hold([0], likely[:, : len(tokens)].clone()).log_softmax(-1)
        total += float(chances[0, range(len(tokens)), tokens].sum().exp())
    assert total == pytest.approx(1, abs=1e-4)


def test_a_token_that_the_draft_decides_is_certain_and_teaches_nothing(tokenizer: Any, route: Route) -> None:
    sampler = Sampler(tokenizer, LOGITS, route.with_thinking("3"), settings())
    a, x = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("A", " x"))
    marks = [*tokenizer("</think>", add_special_tokens=False)["input_ids"], *tokenizer("<answer>")["input_ids"]]
    end = tokenizer.eos_token_id
    [tokens], [said] = say(sampler, [asking(LETTERED)], towards([*x * 3, *marks, *a, end, end]))
    assert said.answer == "A" and tokens == [*x * 3, *marks, *a, end, end]
    logits = torch.randn(1, len(tokens), LOGITS).requires_grad_()
    chances = sampler.hold([0], logits * 1.0).log_softmax(-1)[0, range(len(tokens)), tokens]
    chances.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    taught = logits.grad[0].abs().sum(-1) > 0
    assert taught.tolist() == [True] * 3 + [False] * len(marks) + [True, False, True]  # after the end nothing is held


def test_a_stop_in_thinking_is_replaced_and_not_learned(tokenizer: Any, route: Route) -> None:
    sampler = Sampler(tokenizer, LOGITS, route.with_thinking("9"), settings())
    stop, [x] = tokenizer.eos_token_id, tokenizer(" x", add_special_tokens=False)["input_ids"]
    [tokens], _ = say(sampler, [asking(LETTERED)], towards([x, stop, *[0] * 9]))
    assert tokenizer.decode(tokens).startswith(" x</think><answer>")
    held = sampler.hold([0], torch.zeros(1, len(tokens), LOGITS)).log_softmax(-1)[0]
    assert held[1, tokens[1]] == 0 and held[0, x] < -1


def test_batches_hold_their_own_completions_however_they_are_divided(tokenizer: Any, route: Route) -> None:
    sampler = Sampler(tokenizer, LOGITS, route, settings())
    say(sampler, [asking(case) for case in CASES], by_chance(len(CASES), 12))
    order = [5, 0, 3, 6, 1]
    apart = [sampler.hold([row], torch.zeros(1, 12, LOGITS)) for row in order]
    held = Held(lambda rows: SimpleNamespace(logits=torch.zeros(rows, 12, LOGITS)), sampler, order)
    together = torch.cat([held(rows=2).logits, held(rows=3).logits])
    assert torch.equal(together, torch.cat(apart))


def test_what_comes_after_the_end_is_not_held(tokenizer: Any, route: Route) -> None:
    sampler = Sampler(tokenizer, LOGITS, route, settings())
    [tokens], _ = say(sampler, [asking(LETTERED)], by_chance(1, 9))
    end = tokens.index(tokenizer.eos_token_id)
    held = sampler.hold([0], torch.zeros(1, 9, LOGITS))
    assert (held[0, : end + 1] < 0).any(-1).all() and not held[0, end + 1 :].any()


def test_equal_seeds_say_the_same_and_the_likeliest_are_likelier(tokenizer: Any, route: Route) -> None:
    scores = by_chance(len(CASES), 12)
    asked = [asking(case) for case in CASES]
    sampler = Sampler(tokenizer, LOGITS, route, settings())
    made = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        made.append(say(sampler, asked, scores)[0])
    assert made[0] == made[1] != made[2]
    cool = Sampler(tokenizer, LOGITS, route, settings(temperature=1e-4))
    assert say(cool, asked, scores)[0] == say(cool, asked, scores)[0]
