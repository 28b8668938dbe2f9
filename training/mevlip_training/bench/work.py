"""What answering a question costs by arithmetic: floating-point operations and bytes, from a model's config alone.

A multiplication and an addition count as two operations, as usual (Kaplan et al. 2020, arXiv:2001.08361, section 2.1;
Chowdhery et al. 2022, arXiv:2204.02311, appendix B, which also defines model FLOPs utilization). Norms, softmax,
rotary embeddings and adapters are left out: at InternVL3-8B's shape a rank-8 adapter adds 0.3 %.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import InternVLConfig

NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a weight in NF4: half a byte, one byte per block of 64, and four per 256 blocks (Dettmers et al. 2023,
arXiv:2305.14314, section 3)."""


@dataclass(frozen=True)
class Cost:
    """What answering took, independent of the machine.

    Attributes:
        questions: Questions answered.
        forwards: Passes through the language model.
        prompt_tokens: Prompt tokens that went through it, padding not counted.
        tiles: Image tiles that went through the vision tower.
        generated_tokens: Tokens generated, end tokens included.
    """

    questions: int = 0
    forwards: int = 0
    prompt_tokens: int = 0
    tiles: int = 0
    generated_tokens: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(ours + theirs for ours, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Matmul:
    """A weight matrix of the language model, and how many of its kind there are.

    Attributes:
        rows: Its input width.
        columns: Its output width.
        count: Matrices of this shape.
    """

    rows: int
    columns: int
    count: int

    @property
    def weights(self) -> int:
        """Numbers in all of them."""
        return self.rows * self.columns * self.count


@dataclass(frozen=True)
class Work:
    """The costs of one shape.

    Attributes:
        hidden: Width of the language model.
        layers: Its layers.
        vocabulary: Its logits.
        matmuls: Its weight matrices, the output head left out.
        tile: Operations of one tile in vision tower and projector.
        weight_bytes: Bytes of a weight of `matmuls` as stored.
        other_bytes: Bytes of a weight of the output head.
    """

    hidden: int
    layers: int
    vocabulary: int
    matmuls: tuple[Matmul, ...]
    tile: float
    weight_bytes: float
    other_bytes: float

    @classmethod
    def of(cls, config: InternVLConfig, weight_bytes: float, other_bytes: float) -> Work:
        """The costs of a model of this shape."""
        text = config.text_config
        wide, deep, heads = text.hidden_size, text.num_hidden_layers, text.num_attention_heads
        cached = text.num_key_value_heads * (getattr(text, "head_dim", None) or wide // heads)
        matmuls = (
            Matmul(wide, wide, 2 * deep),  # queries, output
            Matmul(wide, cached, 2 * deep),  # keys, values
            Matmul(wide, text.intermediate_size, 2 * deep),  # gate, up
            Matmul(text.intermediate_size, wide, deep),  # down
        )
        return cls(wide, deep, text.vocab_size, matmuls, _tile(config), weight_bytes, other_bytes)

    @property
    def weights(self) -> int:
        """Numbers in the language model's weight matrices, the output head left out."""
        return sum(matmul.weights for matmul in self.matmuls)

    @property
    def head(self) -> float:
        """Operations of the output head for one position."""
        return 2.0 * self.vocabulary * self.hidden

    def prefill(self, tokens: float) -> float:
        """Operations of reading a prompt and giving the logits of its last position.

        Half of all pairs of positions are attended to, each by a product with a key and one with a value.
        """
        return 2 * self.weights * tokens + 2 * tokens**2 * self.hidden * self.layers + self.head

    def step(self, context: float) -> float:
        """Operations of generating one more token after so many."""
        return 2 * self.weights + 4 * context * self.hidden * self.layers + self.head

    def question(self, tiles: float, prompt: float, generated: float) -> float:
        """Operations of a question that is asked alone; reading the prompt gives the first generated token."""
        steps = max(generated - 1, 0)
        return tiles * self.tile + self.prefill(prompt) + steps * self.step(prompt + steps / 2)

    def vision_share(self, tiles: float, prompt: float) -> float:
        """The vision tower's and projector's part of a question whose first token is its answer."""
        return tiles * self.tile / self.question(tiles, prompt, 1)

    def asked_alone(self, cost: Cost) -> float:
        """Operations that questions take, each asked alone, from counters of a side that does so."""
        n = max(cost.questions, 1)
        return n * self.question(cost.tiles / n, cost.prompt_tokens / n, cost.generated_tokens / n)

    def done(self, cost: Cost, context: float) -> float:
        """Operations that a side did, from its own counters.

        Args:
            cost: The side's counters.
            context: Mean tokens of a prompt, which its positions attend to.
        """
        read = 2 * self.weights + 2 * context * self.hidden * self.layers
        steps = max(cost.generated_tokens - cost.questions, 0)
        return (
            cost.tiles * self.tile + cost.prompt_tokens * read + cost.questions * self.head + steps * self.step(context)
        )

    def bytes_read(self, cost: Cost) -> float:
        """Bytes of weights that a side's forwards read: all of the language model's and its head's, once each."""
        head = self.vocabulary * self.hidden * self.other_bytes
        return cost.forwards * (self.weights * self.weight_bytes + head)


def _tile(config: InternVLConfig) -> float:
    """Operations of one tile: patches, vision layers and the projector's two matrices.

    InternViT attends over all patches and one more token; four matrices for attention, two for the feed-forward. The
    projector reads 1 / downsample² patches for each visual token (Zhu et al. 2025, arXiv:2504.10479, section 2.1).
    """
    vision, wide = config.vision_config, config.text_config.hidden_size
    patches = (vision.image_size[0] // vision.patch_size[0]) ** 2
    own, tokens = vision.hidden_size, patches + 1
    layer = 2 * tokens * (4 * own**2 + 2 * own * vision.intermediate_size) + 4 * tokens**2 * own
    embedding = 2 * patches * own * vision.num_channels * vision.patch_size[0] ** 2
    visual = config.image_seq_length
    merged = round(own / config.downsample_ratio**2)
    return float(vision.num_hidden_layers * layer + embedding + 2 * visual * (merged * wide + wide**2))
