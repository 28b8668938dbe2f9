"""Holding a model to the answers that a question allows, and measuring how sure it is of the one it gives.

Options and labels are walked through a trie of their tokens, by our own code, because the answer must be spelled as it
was in training and is known as soon as one option is left; then nothing more is generated. Numbers, boxes and reports
go through llguidance, which knows every way in which tokens can spell a text of a grammar.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp
from statistics import fmean
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mevlip.answers.grammar import Grammar, Lark, OneOf, SomeOf
from mevlip.core.errors import ModelFailure, describe
from mevlip.inference.completion import Completion

Words = NDArray[np.uint32]
_ALL = np.uint32(0xFFFFFFFF)

_MOST_STATES = 32
"""Readings of an answer that are followed at once: labels such as `x`, `x, x`, `x, x, x` have ever more of them."""

_UNFIT = "Check with `mevlip doctor` that tokenizer and packages are those that the checkpoint was made with."


class Walk(Protocol):
    """A position inside a grammar."""

    def choices(self) -> list[int] | None:
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


class Grammars:
    """Grammars compiled for one tokenizer, each once.

    Args:
        tokenizer: The model's Hugging Face tokenizer.
        size: Number of logits. It may be more than the tokenizer has tokens, or fewer: InternVL3-8B has 151,674 logits
            and 151,675 tokens. A token without a logit is never allowed.
        ends: Tokens that end an answer.
    """

    def __init__(self, tokenizer: Any, size: int, ends: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self._size = size
        # llguidance refuses a vocabulary that is smaller than the tokenizer's.
        self._tokens = max(size, len(tokenizer))
        self._ends = tuple(ends)
        self._reserved = frozenset(tokenizer.get_added_vocab().values()) | frozenset(tokenizer.all_special_ids)
        self._tries: dict[Grammar, _Tries | None] = {}
        self._matchers: dict[Grammar, Any] = {}
        self._library: Any = None

    @property
    def compiled(self) -> int:
        """How many grammars have been compiled so far."""
        return len(self._tries) + len(self._matchers)

    @property
    def words(self) -> int:
        """Number of 32-bit words that have a bit for each logit."""
        return -(-self._size // 32)

    def draft(self, grammar: Grammar | None, budget: int) -> Draft:
        """An answer that is to be written within a grammar, or freely, of at most so many tokens."""
        return Draft(self._walk(grammar), self._ends, budget)

    def decided_at_once(self, grammar: Grammar | None) -> bool:
        """Whether the first token of an answer decides it."""
        walk = self._walk(grammar) if isinstance(grammar, OneOf) else None
        return walk is not None and bool(walk.starts())

    def prove(self, grammar: Grammar) -> None:
        """Compiles a grammar and asks it for its first tokens.

        Raises:
            ModelFailure: It cannot be compiled for this tokenizer, or allows nothing.
        """
        if walk := self._walk(grammar):
            try:
                if walk.choices() is None:
                    walk.fill(np.zeros(self.words, dtype=np.uint32))
            except RuntimeError as error:
                raise _unfit(error) from error

    def _walk(self, grammar: Grammar | None) -> Walk | None:
        if grammar is None:
            return None
        if isinstance(grammar, Lark):
            if grammar not in self._matchers:
                self._matchers[grammar] = self._compile(grammar)
            return _LarkWalk(self._matchers[grammar].deep_copy(), self._size, self._tokens, self._ends)
        if grammar not in self._tries:
            self._tries[grammar] = self._grow(grammar)
        tries = self._tries[grammar]
        return _TrieWalk(tries, self._ends) if tries else None

    def _compile(self, grammar: Lark) -> Any:
        from llguidance import LLMatcher
        from llguidance.hf import from_tokenizer

        try:
            if self._library is None:
                self._library = from_tokenizer(self._tokenizer, n_vocab=self._tokens)
            source = LLMatcher.grammar_from_lark(grammar.source)
            problem = LLMatcher.validate_grammar(source, self._library)
            if problem:
                raise ValueError(problem)
            return LLMatcher(self._library, source)
        except Exception as error:
            raise _unfit(error) from error

    def _grow(self, grammar: OneOf | SomeOf) -> _Tries | None:
        """Tries of the texts; None where one is spelled with added tokens, so that a question cannot plant them."""
        separator = grammar.separator if isinstance(grammar, SomeOf) else ""
        first, later = _Node(), _Node()
        for text in grammar.texts:
            for node, tokens in ((first, self._spell(text)), (later, self._spell(separator + text))):
                if not tokens or not self._reserved.isdisjoint(tokens):
                    return None
                node.add(tokens, text)
        return _Tries(first, later if separator else None, separator)

    def _spell(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


class Draft:
    """One answer on its way through its grammar.

    Args:
        walk: Its position there, or None where anything goes.
        ends: Tokens that end an answer.
        budget: Most tokens.

    Attributes:
        tokens: The tokens taken so far.
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
    def choices(self) -> list[int] | None:
        """The few tokens that may come next; None where they are not few."""
        return self._walk.choices() if self._walk is not None else None

    def fill(self, words: Words) -> None:
        """Sets the bits of the tokens that may come next; words are as `Walk.fill` has them."""
        if self._walk is None:
            words[:] = _ALL
        else:
            self._walk.fill(words)

    def choose(self, choices: Sequence[int], logits: NDArray[np.float32]) -> None:
        """Takes the likeliest of the few tokens that may come next, given their logits."""
        self._closed = True
        sure = logits - logits.max()
        sure -= np.log(np.exp(sure).sum())
        if self._walk is not None and not self.tokens:
            places = dict(zip(choices, range(len(choices)), strict=True))
            starts = {text: float(logits[places[token]]) for text, token in self._walk.starts().items()}
            highest = max(starts.values(), default=0.0)
            chances = {text: exp(logit - highest) for text, logit in starts.items()}
            self._options = {text: chance / sum(chances.values()) for text, chance in chances.items()}
        best = int(sure.argmax())
        self.take(choices[best], float(sure[best]))

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


def _set(words: Words, tokens: Iterable[int]) -> None:
    for token in tokens:
        words[token // 32] |= np.uint32(1 << token % 32)


def _unfit(error: Exception) -> ModelFailure:
    return ModelFailure(f"llguidance cannot compile a grammar ({describe(error)})", _UNFIT)


class _Node:
    """A node of a trie of tokens."""

    def __init__(self) -> None:
        self.children: dict[int, _Node] = {}
        self.texts: set[str] = set()
        self.text: str | None = None

    def add(self, tokens: Sequence[int], text: str) -> None:
        """Adds a text by its tokens."""
        node = self
        node.texts.add(text)
        for token in tokens:  # not by recursion: an option may be as long as a book
            node = node.children.setdefault(token, _Node())
            node.texts.add(text)
        node.text = text


@dataclass(frozen=True)
class _Tries:
    """The texts at the beginning, and where several may be said the texts after a separator."""

    first: _Node
    later: _Node | None
    separator: str


@dataclass(frozen=True)
class _State:
    """Texts said so far and where the next one stands."""

    said: tuple[str, ...]
    node: _Node

    @property
    def complete(self) -> bool:
        """Whether the answer may end here."""
        return self.node.text is not None and self.node.text not in self.said


class _TrieWalk:
    """A walk through options or labels. A separator may also begin a longer label, so there may be several states."""

    def __init__(self, tries: _Tries, ends: Sequence[int]) -> None:
        self._tries = tries
        self._ends = ends
        self._states = [_State((), tries.first)]
        self._text: str | None = None

    @property
    def text(self) -> str | None:
        return self._text

    def choices(self) -> list[int]:
        ends = self._ends if any(state.complete for state in self._states) else ()
        return sorted({*self._next(), *ends})

    def fill(self, words: Words) -> None:
        _set(words, self.choices())

    def take(self, token: int) -> None:
        if token in self._ends:
            complete = next(state for state in self._states if state.complete)
            self._text = self._join(complete)
            return
        self._states = self._next()[token]
        if self._tries.later is None and len(self._states[0].node.texts) == 1:
            self._text = next(iter(self._states[0].node.texts))  # one option is left, whatever its other tokens are
        elif not self._next():
            self._text = self._join(self._states[0])  # every label has been said

    def starts(self) -> dict[str, int]:
        first = self._tries.first.children
        if self._tries.later is not None or any(len(node.texts) > 1 for node in first.values()):
            return {}
        return {next(iter(node.texts)): token for token, node in first.items()}

    def _next(self) -> dict[int, list[_State]]:
        """The states after each token that is not an end."""
        after: dict[int, list[_State]] = {}
        for state in self._states:
            for said, node in self._positions(state):
                for token, child in node.children.items():
                    states = after.setdefault(token, [])
                    if len(states) < _MOST_STATES and child.texts.difference(said):
                        states.append(_State(said, child))
        return {token: states for token, states in after.items() if states}

    def _positions(self, state: _State) -> list[tuple[tuple[str, ...], _Node]]:
        """Where a state may go on: inside its text and, if that is complete, at the next separator."""
        positions = [(state.said, state.node)]
        if state.complete and self._tries.later is not None:
            positions.append(((*state.said, str(state.node.text)), self._tries.later))
        return positions

    def _join(self, state: _State) -> str:
        return self._tries.separator.join((*state.said, str(state.node.text)))


class _LarkWalk:
    """A walk through a context-free grammar."""

    text = None

    def __init__(self, matcher: Any, size: int, tokens: int, ends: Sequence[int]) -> None:
        self._matcher = matcher
        self._size = size
        self._ends = ends
        self._bits = np.zeros((1, (tokens + 31) // 32), dtype=np.int32)

    def choices(self) -> None:
        return None

    def fill(self, words: Words) -> None:
        from llguidance.numpy import fill_next_token_bitmask

        ended = self._matcher.is_stopped()
        if not ended:
            fill_next_token_bitmask(self._matcher, self._bits)
            self._check()
            words[:] = self._bits[0, : len(words)].view(np.uint32)
            if spare := 32 * len(words) - self._size:  # bits without a logit
                words[-1] &= np.uint32(0xFFFFFFFF >> spare)
            ended = self._matcher.is_accepting()
        _set(words, self._ends if ended else ())
        if not words.any():
            raise RuntimeError("llguidance: no token can come next")

    def take(self, token: int) -> None:
        if not self._matcher.is_stopped() and token not in self._ends:
            self._matcher.consume_token(token)
            self._check()

    def _check(self) -> None:
        """Raises RuntimeError where the library gave up; it would go on as if the answer were complete."""
        if self._matcher.is_error():
            raise RuntimeError(f"llguidance: {self._matcher.get_error()}")

    def starts(self) -> dict[str, int]:
        return {}
