"""Holding a model to the answers that a question allows, and measuring how sure it is of the one it gives.

Options and labels are walked through a trie of their tokens, by our own code, because the answer must be spelled as it
was in training and is known as soon as one option is left; then nothing more is generated. Numbers, boxes and reports
go through llguidance, which knows every way in which tokens can spell a text of a grammar.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mevlip.answers.grammar import Grammar, Lark, OneOf, SomeOf
from mevlip.core.errors import ModelFailure, describe
from mevlip.inference.drafts import Draft, Walk
from mevlip.inference.thinking import Marks, ThinkingDraft
from mevlip.inference.tries import Choices, Node, Tries, TrieWalk, Words, set_bits
from mevlip.reading import ANSWER_CLOSES

_UNFIT = "Check with `mevlip doctor` that tokenizer and packages are those that the checkpoint was made with."


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
        self._tries: dict[tuple[Grammar, tuple[int, ...]], Tries | None] = {}
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

    @cached_property
    def marks(self) -> Marks:
        """The marks around thinking and answer, in tokens.

        Raises:
            ModelFailure: The tokenizer cannot spell them.
        """
        return Marks(self._tokenizer, self._size, self._ends, self._reserved)

    def draft(self, grammar: Grammar | None, budget: int, thinking: int = 0) -> Draft:
        """An answer that is to be written.

        Args:
            grammar: What may be said; None for anything.
            budget: Its most tokens.
            thinking: Most tokens of the thinking before it; 0 for none.
        """
        if not thinking:
            return Draft(self._walk(grammar, self._ends), self._ends, budget)
        if grammar is None:
            return ThinkingDraft(None, self._ends, budget, thinking, self.marks, None)
        # An option that holds what looks like a mark is not cut there.
        holds = not isinstance(grammar, Lark) and any(ANSWER_CLOSES[:2] in text for text in grammar.texts)
        closing = () if holds else self.marks.closing
        walk = self._walk(grammar, (*self._ends, *closing))
        return ThinkingDraft(walk, self._ends, budget, thinking, self.marks, closing)

    def decided_at_once(self, grammar: Grammar | None) -> bool:
        """Whether the first token of an answer decides it."""
        walk = self._walk(grammar, self._ends) if isinstance(grammar, OneOf) else None
        return walk is not None and bool(walk.starts())

    def prove(self, grammar: Grammar) -> None:
        """Compiles a grammar and asks it for its first tokens.

        Raises:
            ModelFailure: It cannot be compiled for this tokenizer, or allows nothing.
        """
        if walk := self._walk(grammar, self._ends):
            try:
                if walk.choices() is None:
                    walk.fill(np.zeros(self.words, dtype=np.uint32))
            except RuntimeError as error:
                raise _unfit(error) from error

    def _walk(self, grammar: Grammar | None, ends: tuple[int, ...]) -> Walk | None:
        if grammar is None:
            return None
        if isinstance(grammar, Lark):
            if grammar not in self._matchers:
                self._matchers[grammar] = self._compile(grammar)
            return _LarkWalk(self._matchers[grammar].deep_copy(), self._size, self._tokens, ends)
        if (grammar, ends) not in self._tries:  # what comes next in a trie is remembered there, ends among it
            self._tries[grammar, ends] = self._grow(grammar)
        tries = self._tries[grammar, ends]
        return TrieWalk(tries, ends) if tries else None

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

    def _grow(self, grammar: OneOf | SomeOf) -> Tries | None:
        """Tries of the texts; None where one is spelled with added tokens, so that a question cannot plant them."""
        separator = grammar.separator if isinstance(grammar, SomeOf) else ""
        first, later = Node(), Node()
        for text in grammar.texts:
            for node, tokens in ((first, self._spell(text)), (later, self._spell(separator + text))):
                if not tokens or not self._reserved.isdisjoint(tokens):
                    return None
                node.add(tokens, text)
        return Tries(first, later if separator else None, separator)

    def _spell(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _unfit(error: Exception) -> ModelFailure:
    return ModelFailure(f"llguidance cannot compile a grammar ({describe(error)})", _UNFIT)


def choose(drafts: Sequence[Draft], choices: Sequence[Choices], ids: Choices, logits: NDArray[np.float32]) -> None:
    """Takes the likeliest token of each of some answers for which few may come next.

    Args:
        drafts: The answers.
        choices: The tokens that may come next in each.
        ids: All of these, in ascending order.
        logits: Their logits in each answer, (answers, ids).
    """
    # Answers to questions of one kind have the same choices, so that little is done for each answer by itself.
    kinds = {few: number for number, few in enumerate(dict.fromkeys(choices))}
    allowed = np.array([np.isin(ids, few) for few in kinds])[[kinds[few] for few in choices]]
    held = np.where(allowed, logits, -np.inf)
    chances = np.exp(held - held.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    columns = dict(zip(ids, range(len(ids)), strict=True))
    for draft, best, own in zip(drafts, held.argmax(1).tolist(), chances.tolist(), strict=True):
        draft.decide(ids[best], columns, own)


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
        set_bits(words, self._ends if ended else ())
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
