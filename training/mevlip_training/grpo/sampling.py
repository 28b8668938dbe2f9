"""Sampling completions as answers are predicted, by chance in place of the likeliest token.

A completion goes through the same draft as an answer: it keeps to what its question allows, is thought about first and
ends as there. So what is trained is what predicts, and what a draft decides by itself is not learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mevlip.checkpoints.routes import Route
from mevlip.inference.decoding import Grammars
from mevlip.inference.drafts import Draft
from mevlip.inference.tries import Words, set_bits
from mevlip.reading import grammar_of
from mevlip_training.grpo.questions import Question
from mevlip_training.grpo.settings import Settings

_TOP = 50
"""How many of the likeliest tokens are sampled from, as transformers does by itself."""
_IMPOSSIBLE = -1e30
"""The logit of what cannot be said; times a probability of zero it is zero, which infinity is not."""


@dataclass(frozen=True)
class Said:
    """A completion.

    Attributes:
        answer: Its answer, without what was thought before it and the tokens that end it.
        tokens: Its length in tokens, without the one that ends it.
        is_cut: Whether it was at its limit of tokens before it ended.
    """

    answer: str
    tokens: int
    is_cut: bool


class Sampler:
    """Samples the completions of one generation after another; a logits processor of transformers' `generate`.

    It chooses tokens itself, since a draft may take another one than was sampled, and leaves `generate` no other. Of
    each place it remembers which tokens might have stood there.

    Args:
        tokenizer: The base's tokenizer.
        size: Number of logits.
        route: How the adapter is asked.
        settings: The run's settings.
    """

    def __init__(self, tokenizer: Any, size: int, route: Route, settings: Settings) -> None:
        self._tokenizer, self._route, self._settings = tokenizer, route, settings
        self._end = int(tokenizer.eos_token_id)
        self._grammars = Grammars(tokenizer, size, [self._end])
        special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
        bits = np.ones(32 * self._grammars.words, dtype=np.uint8)
        bits[size:] = 0
        # The pass after sampling would look for a picture behind the place of one, and no prediction has them either.
        bits[[one for one in {*special, *tokenizer.all_special_ids} - {self._end} if one < size]] = 0
        self._sayable: Words = np.packbits(bits, bitorder="little").view(np.uint32)
        self._drafts: list[Draft] = []
        self._budgets: list[int] = []
        self._possible: list[list[Words]] = []
        self._known: dict[bytes, Words] = {}
        self._ended: list[bool] = []

    def begin(self, questions: Sequence[Question]) -> None:
        """Begins a generation of one completion for each question; the one before is forgotten."""
        thinking = self._route.prompt.thinking_tokens
        self._budgets = [self._route.max_new_tokens[one.task] for one in questions]
        grammars = [grammar_of(one.task, one.spec) if self._settings.constrain else None for one in questions]
        self._drafts = [
            self._grammars.draft(grammar, budget, thinking)
            for grammar, budget in zip(grammars, self._budgets, strict=True)
        ]
        self._possible, self._known = [[] for _ in questions], {}
        self._ended = [False] * len(questions)

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Samples the next token of each completion.

        Args:
            ids: The tokens so far, (completions, tokens); not looked at.
            scores: The logits of the next one, (completions, vocabulary).

        Returns:
            The same in shape, one token of each completion possible.
        """
        words = np.zeros((len(self._drafts), self._grammars.words), dtype=np.uint32)
        few = [self._next(draft, row) for draft, row in zip(self._drafts, words, strict=True)]
        logits = (scores.float() / self._settings.temperature).masked_fill(_impossible(words, scores), -torch.inf)
        least = logits.topk(min(_TOP, logits.shape[1])).values[:, -1:]
        chances = logits.masked_fill(logits < least, -torch.inf).softmax(-1)
        taken = chances.multinomial(1)[:, 0].tolist()
        for row, (draft, token) in enumerate(zip(self._drafts, taken, strict=True)):
            if not draft.done:
                if (choices := few[row]) is not None:
                    columns = {choice: column for column, choice in enumerate(choices)}
                    draft.decide(token, columns, chances[row, list(choices)].tolist())
                else:
                    draft.take(token, float(chances[row, token].log()))
                if draft.last != token:  # the draft decided, not the model
                    words[row] = 0
                    set_bits(words[row], (draft.last,))
                taken[row] = draft.last
            if self._ended[row]:
                continue
            self._ended[row] = taken[row] == self._end
            self._possible[row].append(self._known.setdefault(words[row].tobytes(), words[row].copy()))
        return torch.full_like(scores, -torch.inf).scatter(1, torch.tensor(taken, device=scores.device)[:, None], 0.0)

    def _next(self, draft: Draft, words: Words) -> Sequence[int] | None:
        """Sets the bits of the tokens that may come next, and returns them where they are few."""
        few = (self._end,) if draft.done else draft.choices
        if few is None:
            draft.fill(words)
            words &= self._sayable
        else:
            set_bits(words, few)
        return few

    def said(self) -> list[Said]:
        """The completions of the generation."""
        return [self._said(draft, budget) for draft, budget in zip(self._drafts, self._budgets, strict=True)]

    def _said(self, draft: Draft, budget: int) -> Said:
        ended = draft.last == self._end
        text = str(self._tokenizer.decode(draft.tokens, skip_special_tokens=True))
        is_cut = not draft.done or (len(draft.tokens) >= budget and not ended)
        return Said(draft.completion(text).text, draft.taken - ended, is_cut)

    def hold(self, rows: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        """Takes away, in place, the probability of tokens that could not have been sampled.

        Args:
            rows: Which completions of the generation.
            logits: Those of their tokens, (completions, tokens, vocabulary); places after the last token stay.
        """
        words = np.full((*logits.shape[:2], self._grammars.words), 0xFFFFFFFF, dtype=np.uint32)
        for own, row in zip(words, rows, strict=True):
            possible = self._possible[row][: len(own)]
            own[: len(possible)] = possible
        return logits.masked_fill_(_impossible(words, logits), _IMPOSSIBLE)


class Held:
    """A model that gives tokens which could not have been sampled no probability.

    Args:
        model: The model.
        sampler: What sampled the completions that it is given.
        rows: Which completions, in the order in which they are given, in one call or several.
    """

    def __init__(self, model: Any, sampler: Sampler, rows: Sequence[int]) -> None:
        self._model, self._sampler = model, sampler
        self._rows = list(rows)

    def __call__(self, **inputs: Any) -> Any:
        """Runs the model once, on the next completions."""
        made = self._model(**inputs)
        rows, self._rows = self._rows[: len(made.logits)], self._rows[len(made.logits) :]
        made.logits = self._sampler.hold(rows, made.logits)
        return made


def _impossible(words: Words, logits: torch.Tensor) -> torch.Tensor:
    """Which tokens have no bit set, in the shape of their logits."""
    bits = np.unpackbits((~words).view(np.uint8), axis=-1, bitorder="little")[..., : logits.shape[-1]]
    return torch.from_numpy(bits.view(np.bool_)).to(logits.device)
