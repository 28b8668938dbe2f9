"""One answer on its way through its grammar, token by token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log
from statistics import fmean
from typing import Protocol

from mevlip.inference.completion import Completion
from mevlip.inference.tries import Choices, Words

_ALL = 0xFFFFFFFF


class Walk(Protocol):
    """A position inside a grammar."""

    def choices(self) -> Choices | None:
        """The few tokens that may come next, ends included, in ascending order; None where they are not few.

        Where they are, probabilities are meant among them.
        """

    def fill(self, words: Words) -> None:
        """Sets the bits of the tokens that may come next, ends included, where they are not few.

        Args:
            words: (ceil(vocabulary / 32),), all zero.
        """

    def take(self, token: int) -> None:
        """Goes on by one allowed token."""

    @property
    def text(self) -> str | None:
        """The whole answer as soon as nothing is left to decide."""

    def starts(self) -> dict[str, int]:
        """The first token of each option, where it distinguishes them."""


class Draft:
    """One answer on its way through its grammar.

    Args:
        walk: Its position there, or None where anything goes.
        ends: Tokens that end an answer.
        budget: Most tokens.

    Attributes:
        tokens: The tokens of the answer so far.
        done: Whether it has all its tokens.
    """

    def __init__(self, walk: Walk | None, ends: Sequence[int], budget: int) -> None:
        self._walk = walk
        self._ends = ends
        self._budget = budget
        self._sureness: list[float] = []  # log-probability of each token taken
        self._options: dict[str, float] = {}
        self._closed = False
        self.tokens: list[int] = []
        self.done = False

    @property
    def last(self) -> int:
        """The token that was taken last, whatever the model would have said."""
        return self.tokens[-1]

    @property
    def taken(self) -> int:
        """How many tokens were taken."""
        return len(self.tokens)

    @property
    def choices(self) -> Choices | None:
        """The few tokens that may come next; None where they are not few."""
        return self._walk.choices() if self._walk is not None else None

    def fill(self, words: Words) -> None:
        """Sets the bits of the tokens that may come next; words are as `Walk.fill` has them."""
        if self._walk is None:
            words.fill(_ALL)
        else:
            self._walk.fill(words)

    def decide(self, token: int, columns: Mapping[int, int], chances: Sequence[float]) -> None:
        """Takes one of the few tokens that may come next.

        Args:
            token: The token.
            columns: Where each of them stands in `chances`.
            chances: Their probabilities among each other.
        """
        self._closed = True
        if self._walk is not None and not self.tokens:
            self._options = {text: chances[columns[start]] for text, start in self._walk.starts().items()}
        self.take(token, log(chances[columns[token]]))

    def take(self, token: int, sureness: float) -> None:
        """Takes a token that was chosen, with its log-probability."""
        self.tokens.append(token)
        self._sureness.append(sureness)
        if self._walk is not None:
            self._walk.take(token)
        decided = self._walk is not None and self._walk.text is not None
        self.done = decided or token in self._ends or len(self.tokens) >= self._budget

    def completion(self, decoded: str) -> Completion:
        """What it came to, from its tokens as text; a text that its grammar decided is taken as spelled there."""
        decided = self._walk.text if self._walk is not None else None
        sureness = self._sureness
        return Completion(
            decoded if decided is None else decided,
            len(sureness),
            exp(sum(sureness) if self._closed else fmean(sureness)) if sureness else 0.0,
            self._options,
        )
