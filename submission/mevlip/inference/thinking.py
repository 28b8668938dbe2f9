"""Thinking before an answer: free text up to its closing mark, then the answer within its grammar.

The marks are several tokens to most tokenizers, and a token such as `>` with a line break may cross the end of one. So
what closes the thinking and opens the answer always ends where a token does: a token that would cross it is replaced by
those that are left of the mark.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mevlip.core.errors import ModelFailure
from mevlip.inference.completion import Completion
from mevlip.inference.drafts import Draft, Walk
from mevlip.inference.tries import Choices, Words
from mevlip.reading import ANSWER_CLOSES, ANSWER_OPENS, THINK_CLOSES, THINK_OPENS, split_thinking


class Marks:
    """The marks around thinking and answer in the tokens of a tokenizer.

    Args:
        tokenizer: The model's Hugging Face tokenizer.
        size: Number of logits.
        ends: Tokens that end an answer.
        reserved: Added and special tokens.

    Attributes:
        opening: The tokens that open an answer.
        closing: The token that begins to close it; none where that may be the beginning of something else.
        allowed: What thinking may hold, as bits like those of `Walk.fill`: no added token but the marks' own, and the
            ends, by which a model says that it would stop.

    Raises:
        ModelFailure: The tokenizer spells a mark otherwise than it is.
    """

    def __init__(self, tokenizer: Any, size: int, ends: Sequence[int], reserved: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._texts: dict[int, str] = {}
        self._rests = [self._spell(THINK_CLOSES[known:]) for known in range(len(THINK_CLOSES))]
        self.opening = self._spell(ANSWER_OPENS)
        first = self._spell(ANSWER_CLOSES)[0]
        self.closing = (first,) if self.text(first).startswith(ANSWER_CLOSES[:2]) else ()
        own = {*self._rests[0], *self._spell(THINK_OPENS), *self.opening, *self._spell(ANSWER_CLOSES), *ends}
        bits = np.zeros(32 * -(-size // 32), dtype=np.uint8)
        bits[: min(size, len(tokenizer))] = 1
        bits[[token for token in reserved if token < size and token not in own]] = 0
        self.allowed: Words = np.packbits(bits, bitorder="little").view(np.uint32)

    def text(self, token: int) -> str:
        """A token's text."""
        if token not in self._texts:
            self._texts[token] = self.decode([token])
        return self._texts[token]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones included."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def rest(self, text: str) -> Sequence[int]:
        """The tokens that close the thinking after a text, which may end within the mark."""
        return self._rests[next(n for n in range(len(THINK_CLOSES) - 1, -1, -1) if text.endswith(THINK_CLOSES[:n]))]

    def _spell(self, mark: str) -> list[int]:
        tokens = list(self._tokenizer(mark, add_special_tokens=False)["input_ids"])
        if "".join(map(self.text, tokens)) != mark:
            raise ModelFailure(
                f"The tokenizer cannot spell {mark!r}, which closes the thinking or opens the answer",
                "Predict with --thinking off, or use another base.",
            )
        return tokens


class ThinkingDraft(Draft):
    """An answer that comes after thinking.

    A token that would cross the end of the thinking, an end token and a budget that is used up are replaced by the
    tokens that close the thinking, and those that open the answer follow. What is written freely is only closed where
    the budget is used up.

    Args:
        walk: The answer's position in its grammar, or None where anything goes.
        ends: Tokens that end what a model says.
        budget: Most tokens of the answer.
        thinking: Most tokens of the thinking, 1 or more.
        marks: The marks around both.
        closing: Tokens that end the answer as well; None where marks are written as the model likes.
    """

    def __init__(
        self,
        walk: Walk | None,
        ends: Sequence[int],
        budget: int,
        thinking: int,
        marks: Marks,
        closing: Sequence[int] | None,
    ) -> None:
        self._free = closing is None
        super().__init__(
            walk, (*ends, *(closing or ())), budget + len(ANSWER_OPENS + ANSWER_CLOSES) if self._free else budget
        )
        self._stops = ends
        self._marks = marks
        self._left = thinking
        self._tail = ""  # the end of the text so far, shorter than the mark
        self._thoughts: list[int] = []
        self._forced: deque[int] | None = None  # None while anything may be said
        self._open: list[float] = []  # log-probability of each token said in thinking

    @property
    def last(self) -> int:
        """See `Draft`, as for the other methods."""
        return (self.tokens or self._thoughts)[-1]

    @property
    def taken(self) -> int:
        """How many tokens were taken, thinking and marks included."""
        return len(self._thoughts) + len(self.tokens)

    @property
    def choices(self) -> Choices | None:
        """The few tokens that may come next: a single one where a mark is being written."""
        if self._forced is None:
            return None
        return (self._forced[0],) if self._forced else super().choices

    def fill(self, words: Words) -> None:
        """Sets the bits of the tokens that may come next."""
        if self._forced is None:
            words[:] = self._marks.allowed
        else:
            super().fill(words)

    def decide(self, token: int, columns: Mapping[int, int], chances: Sequence[float]) -> None:
        """Takes one of the few tokens that may come next."""
        if self._forced:
            self._thoughts.append(self._forced.popleft())
        else:
            super().decide(token, columns, chances)

    def take(self, token: int, sureness: float) -> None:
        """Takes a token that was chosen, or another one in its place."""
        if self._forced is None:
            self._think(token, sureness)
        else:
            super().take(token, sureness)

    def _think(self, token: int, sureness: float) -> None:
        if token in self._stops and self._free:  # never closed: all of it is the answer
            self.tokens, self._thoughts = [*self._thoughts, token], []
            self._sureness = [*self._open, sureness]
            self.done = True
            return
        text = self._tail + self._marks.text(token)
        place = text.find(THINK_CLOSES)
        crosses = 0 <= place < len(text) - len(THINK_CLOSES)
        if token in self._stops or (crosses and not self._free):
            self._close()
            self._thoughts.append(self._forced.popleft())  # type: ignore[union-attr]  # it was closed
            return
        self._thoughts.append(token)
        self._open.append(sureness)
        self._tail = text[1 - len(THINK_CLOSES) :]
        self._left -= 1
        if place >= 0:
            self._forced = deque(() if self._free else self._marks.opening)
        elif not self._left:
            self._close()

    def _close(self) -> None:
        self._forced = deque((*self._marks.rest(self._tail), *self._marks.opening))

    def completion(self, decoded: str) -> Completion:
        """What it came to; its probability is the answer's."""
        thoughts = self._marks.decode(self._thoughts)
        if self._free:
            made = super().completion(decoded)
            thinking, text = split_thinking(thoughts + made.text)
        else:
            made = super().completion(decoded.partition(ANSWER_CLOSES)[0].removesuffix(ANSWER_CLOSES[:2]))
            thinking, text = split_thinking(thoughts)[0], made.text
        return replace(made, text=text, tokens=self.taken, thinking=thinking)
