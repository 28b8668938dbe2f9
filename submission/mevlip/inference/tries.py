"""Walking through options or labels, token by token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Choices = tuple[int, ...]
"""Token ids in ascending order."""
Words = NDArray[np.uint32]

_MOST_STATES = 32
"""Readings of an answer that are followed at once: labels such as `x`, `x, x`, `x, x, x` have ever more of them."""

_MOST_PLACES = 10_000
"""Places in a grammar that are remembered: of twenty labels said in any order there are more than memory has room."""


def set_bits(words: Words, tokens: Iterable[int]) -> None:
    """Sets the bits of tokens in words as `mevlip.inference.decoding.Walk.fill` has them."""
    for token in tokens:
        words[token // 32] |= np.uint32(1 << token % 32)


class Node:
    """A node of a trie of tokens."""

    def __init__(self) -> None:
        self.children: dict[int, Node] = {}
        self.texts: set[str] = set()
        self.text: str | None = None

    def add(self, tokens: Sequence[int], text: str) -> None:
        """Adds a text by its tokens."""
        node = self
        node.texts.add(text)
        for token in tokens:  # not by recursion: an option may be as long as a book
            node = node.children.setdefault(token, Node())
            node.texts.add(text)
        node.text = text


@dataclass(frozen=True)
class Tries:
    """The texts at the beginning, and where several may be said the texts after a separator."""

    first: Node
    later: Node | None
    separator: str
    places: dict[tuple[_State, ...], _Place] = field(default_factory=dict)
    """What may come next where an answer stands; filled as answers come by."""

    @cached_property
    def starts(self) -> dict[str, int]:
        """The first token of each option, where it distinguishes them."""
        first = self.first.children
        if self.later is not None or any(len(node.texts) > 1 for node in first.values()):
            return {}
        return {next(iter(node.texts)): token for token, node in first.items()}


@dataclass(frozen=True)
class _Place:
    """What may come next.

    Attributes:
        after: The states after each token that is not an end.
        choices: These tokens and, where the answer may end, the ends.
    """

    after: dict[int, tuple[_State, ...]]
    choices: Choices


@dataclass(frozen=True)
class _State:
    """Texts said so far and where the next one stands."""

    said: tuple[str, ...]
    node: Node

    @property
    def complete(self) -> bool:
        """Whether the answer may end here."""
        return self.node.text is not None and self.node.text not in self.said


class TrieWalk:
    """A walk through options or labels. A separator may also begin a longer label, so there may be several states."""

    def __init__(self, tries: Tries, ends: Sequence[int]) -> None:
        self._tries = tries
        self._ends = ends
        self._states: tuple[_State, ...] = (_State((), tries.first),)
        self._text: str | None = None

    @property
    def text(self) -> str | None:
        """See `mevlip.inference.decoding.Walk`, as for the other methods."""
        return self._text

    def choices(self) -> Choices:
        """The tokens that may come next."""
        return self._place().choices

    def fill(self, words: Words) -> None:
        """Sets the bits of the tokens that may come next."""
        set_bits(words, self.choices())

    def take(self, token: int) -> None:
        """Goes on by one allowed token."""
        if token in self._ends:
            complete = next(state for state in self._states if state.complete)
            self._text = self._join(complete)
            return
        self._states = self._place().after[token]
        if self._tries.later is None and len(self._states[0].node.texts) == 1:
            self._text = next(iter(self._states[0].node.texts))  # one option is left, whatever its other tokens are
        elif not self._place().after:
            self._text = self._join(self._states[0])  # every label has been said

    def starts(self) -> dict[str, int]:
        """The first token of each option, where it distinguishes them."""
        return self._tries.starts

    def _place(self) -> _Place:
        place = self._tries.places.get(self._states)
        if place is None:
            after = self._next()
            ends = self._ends if any(state.complete for state in self._states) else ()
            place = _Place(after, tuple(sorted({*after, *ends})))
            if len(self._tries.places) < _MOST_PLACES:
                self._tries.places[self._states] = place
        return place

    def _next(self) -> dict[int, tuple[_State, ...]]:
        after: dict[int, list[_State]] = {}
        for state in self._states:
            for said, node in self._positions(state):
                for token, child in node.children.items():
                    states = after.setdefault(token, [])
                    if len(states) < _MOST_STATES and child.texts.difference(said):
                        states.append(_State(said, child))
        return {token: tuple(states) for token, states in after.items() if states}

    def _positions(self, state: _State) -> list[tuple[tuple[str, ...], Node]]:
        """Where a state may go on: inside its text and, if that is complete, at the next separator."""
        positions = [(state.said, state.node)]
        if state.complete and self._tries.later is not None:
            positions.append(((*state.said, str(state.node.text)), self._tries.later))
        return positions

    def _join(self, state: _State) -> str:
        return self._tries.separator.join((*state.said, str(state.node.text)))
