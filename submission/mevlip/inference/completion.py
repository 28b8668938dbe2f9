"""What a model is asked for and what it gives: the interface of every model that the engine can run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mevlip.answers.grammar import Grammar
from mevlip.checkpoints.routes import ImageSettings
from mevlip.inference.batching import Budget
from mevlip.inference.families import Size
from mevlip.inference.prompts import Prompt
from mevlip.reading import ANSWER_CLOSES, ANSWER_OPENS, THINK_CLOSES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as the model sees it.

    Attributes:
        key: A hash of its pixels, tile by tile; equal for equal pictures, whatever their files' names.
        size: Number of its tiles, their channels, height and width.
        tiles: Their pixels, of that shape, not normalized; None where the model remembers the picture.
    """

    key: str
    size: Size
    tiles: NDArray[np.uint8] | None

    @classmethod
    def of(cls, key: str, tiles: NDArray[np.uint8]) -> Picture:
        """A picture of some pixels."""
        count, channels, height, width = tiles.shape
        return cls(key, (count, channels, height, width), tiles)

    @property
    def count(self) -> int:
        """Number of its tiles."""
        return self.size[0]


@dataclass(frozen=True)
class Encoded:
    """A prompt in tokens.

    Attributes:
        tokens: Token ids, the places of its pictures included.
        shared: How many of them come before the question's own text: all through the last picture.
        positions: Their position ids, (axes, tokens); None for 0, 1, 2, and so on.
    """

    tokens: tuple[int, ...]
    shared: int
    positions: NDArray[np.int64] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Request:
    """What a model is asked.

    Attributes:
        prompt: The prompt, encoded.
        pictures: Its pictures.
        max_new_tokens: Token budget of the answer.
        grammar: What may be said; None for anything.
        thinking: Token budget of the thinking before it; 0 for none.
    """

    prompt: Encoded
    pictures: tuple[Picture, ...]
    max_new_tokens: int
    grammar: Grammar | None
    thinking: int = 0

    @property
    def new_tokens(self) -> int:
        """Most tokens that are written: the answer's and, where the model thinks first, those before it."""
        return self.max_new_tokens + thinking_room(self.thinking)


def thinking_room(tokens: int) -> int:
    """Most tokens that thinking within a budget adds, its marks and the answer's included; 0 where there is none.

    A token of a mark has a character at least; an opening may be written freely after one that was forced.
    """
    return tokens + len(THINK_CLOSES + 2 * ANSWER_OPENS + ANSWER_CLOSES) if tokens else 0


@dataclass(frozen=True)
class Completion:
    """What a model wrote after one prompt.

    Attributes:
        text: The text, special tokens removed.
        tokens: Tokens generated, the end token and the thinking included.
        probability: Of a closed choice its probability among the options, else the geometric mean of the answer's
            tokens'.
        options: Of a closed choice that the first token decides, the probability of each option.
        share: The share of the adapter that the route mixes its own with, 0 to 1; None where it mixes none.
        thinking: What it wrote before its answer, without marks; empty where it was not to think.
    """

    text: str
    tokens: int
    probability: float = 0.0
    options: dict[str, float] = field(default_factory=dict)
    share: float | None = None
    thinking: str = ""


@dataclass
class Cost:
    """What answering cost, independent of the machine; tests assert these numbers.

    Attributes:
        forwards: Passes through the language model; the first of each batch takes the prompts.
        prompt_tokens: Prompt tokens that went through it; none is padding.
        shared_prompts: Questions whose prompt's beginning had been taken for another one on the same pictures.
        pictures_encoded: Pictures that went through the vision tower.
        tiles_encoded: Tiles of these.
        row_steps: Rows in all passes after the first: each makes one token of one answer.
        generated_tokens: Tokens generated, end tokens included.
        vocabulary_rows: Rows for which the logits of the whole vocabulary were computed.
        recorded_passes: Passes recorded as CUDA graphs, to be started as one from then on.
        synchronizations: How often the host waited for the device.
    """

    forwards: int = 0
    prompt_tokens: int = 0
    shared_prompts: int = 0
    pictures_encoded: int = 0
    tiles_encoded: int = 0
    row_steps: int = 0
    generated_tokens: int = 0
    vocabulary_rows: int = 0
    recorded_passes: int = 0
    synchronizations: int = 0


@dataclass(frozen=True)
class Generation:
    """What one generate call returned and what it cost.

    Attributes:
        completions: One for each request.
        cost: What they cost.
    """

    completions: tuple[Completion, ...]
    cost: Cost


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

    @property
    def budget(self) -> Budget:
        """How many tokens memory has room for."""

    @property
    def workers(self) -> int:
        """In how many threads images should be prepared."""

    def image_tokens(self, settings: ImageSettings) -> int:
        """Most tokens of an image."""

    def picture(self, image: Image.Image, settings: ImageSettings) -> Picture:
        """Prepares an image, 8-bit RGB; called from several threads."""

    def remembers(self, key: str) -> bool:
        """Whether a picture has been through the vision tower, and what came out is at hand until it is forgotten."""

    def forget(self, keys: Iterable[str]) -> None:
        """Says which pictures will not be asked about any more, so that others may take their place."""

    def encode(self, prompt: Prompt, pictures: Sequence[Picture]) -> Encoded:
        """Encodes a prompt.

        Raises:
            CheckpointError: It holds a token that the base does not know.
        """

    def decided_at_once(self, grammar: Grammar | None) -> bool:
        """Whether the first token of an answer decides it."""

    def use(self, adapter: str) -> None:
        """Selects the adapter of the next generate calls, or the base model alone."""

    def generate(self, requests: Sequence[Request]) -> Generation:
        """Answers prompts together, each within its grammar; those on the same pictures stand together.

        Raises:
            OutOfMemory: The batch does not fit into memory.
            MevlipError: No batch can be answered: the checkpoint, the device or a library is at fault.
        """

    def release_memory(self) -> None:
        """Frees what a failed batch left behind.

        Raises:
            ModelFailure: The device no longer works.
        """
