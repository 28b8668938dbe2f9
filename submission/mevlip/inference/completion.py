"""What a model is asked for and what it gives: the interface of every model that the engine can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mevlip.answers.grammar import Grammar
from mevlip.checkpoints.routes import Route
from mevlip.inference.prompts import Prompt

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Completion:
    """What a model wrote after one prompt.

    Attributes:
        text: The text, special tokens removed.
        tokens: Tokens generated, the end token included.
        probability: Of a closed choice its probability among the options, else the geometric mean of the tokens'.
        options: Of a closed choice that the first token decides, the probability of each option.
    """

    text: str
    tokens: int
    probability: float = 0.0
    options: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Generation:
    """What one generate call returned and what it cost.

    Attributes:
        completions: One for each row.
        prefill_tokens: Prompt tokens, padding not counted.
        image_encodes: Image tiles that went through the vision tower.
        forwards: Passes through the language model; the first one is the prefill.
    """

    completions: tuple[Completion, ...]
    prefill_tokens: int
    image_encodes: int
    forwards: int

    @property
    def generated_tokens(self) -> int:
        """Tokens generated, end tokens included."""
        return sum(completion.tokens for completion in self.completions)


class OutOfMemory(RuntimeError):
    """A batch did not fit into memory; a smaller one may."""


class Model(Protocol):
    """What the engine needs of a model; `mevlip.inference.model.VisionLanguageModel` is the real one."""

    @property
    def reserved(self) -> frozenset[str]:
        """Strings that the tokenizer turns into special tokens."""

    @property
    def window(self) -> int:
        """Most tokens that a prompt and its answer should have together."""

    def count_tokens(self, prompt: Prompt, images: Sequence[Image.Image], route: Route) -> int:
        """Number of tokens that a prompt takes, those of its images included."""

    def use(self, adapter: str) -> None:
        """Selects the adapter of the next generate calls, or the base model alone."""

    def generate(
        self,
        prompts: Sequence[Prompt],
        images: Sequence[Sequence[Image.Image]],
        route: Route,
        max_new_tokens: int,
        grammars: Sequence[Grammar | None],
    ) -> Generation:
        """Answers a batch of prompts, each within its grammar.

        Raises:
            OutOfMemory: The batch does not fit into memory.
            MevlipError: No batch can be answered: the checkpoint, the device or a library is at fault.
        """

    def release_memory(self) -> None:
        """Frees what a failed batch left behind.

        Raises:
            ModelFailure: The device no longer works.
        """
