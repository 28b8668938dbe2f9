"""InternVL's original layout: what its config.json says, and what its tensors are called in transformers' layout.

Only its data are read. Absent fields have the values of the classes that wrote the file, because some releases save
only what differs from them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from mevlip.checkpoints.records import FrozenModel, read_record
from mevlip.core.errors import CheckpointError
from mevlip.inference.families import base_type

if TYPE_CHECKING:
    from transformers import InternVLConfig

HEAD = "language_model.lm_head.weight"

_Layers = Annotated[int, Field(ge=1, le=256)]
_Width = Annotated[int, Field(ge=1, le=1 << 20)]
_EPSILON = 1e-6
"""Of the norms of queries and keys in transformers, whatever the config says."""


class _Part(FrozenModel):
    """A part of the file; what is not needed of it is passed over."""

    model_config = ConfigDict(extra="ignore")


class Vision(_Part):
    """InternViT."""

    hidden_size: _Width = 3200
    intermediate_size: _Width = 12_800
    num_hidden_layers: _Layers = 48
    num_attention_heads: _Width = 25
    image_size: _Width = 224
    patch_size: _Width = 14
    qkv_bias: bool = False
    qk_normalization: bool = True
    norm_type: Literal["layer_norm", "rms_norm"] = "rms_norm"
    layer_norm_eps: float = _EPSILON
    hidden_act: Literal["gelu"] = "gelu"
    dropout: float = 0.0
    attention_dropout: float = 0.0

    @model_validator(mode="after")
    def _can_be_expressed(self) -> Vision:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError("hidden_size is not a multiple of num_attention_heads")
        if self.qk_normalization and self.layer_norm_eps != _EPSILON:
            raise ValueError(f"transformers norms queries and keys with {_EPSILON:g}, not {self.layer_norm_eps:g}")
        return self


class Language(_Part):
    """The language model; what is None is as transformers has it."""

    architectures: tuple[Literal["Qwen2ForCausalLM", "Qwen3ForCausalLM"]]
    vocab_size: _Width | None = None
    hidden_size: _Width | None = None
    intermediate_size: _Width | None = None
    num_hidden_layers: _Layers | None = None
    num_attention_heads: _Width | None = None
    num_key_value_heads: _Width | None = None
    head_dim: _Width | None = None
    max_position_embeddings: _Width | None = None
    rms_norm_eps: float | None = None
    hidden_act: Literal["silu"] = "silu"
    attention_bias: bool | None = None
    attention_dropout: float | None = None
    initializer_range: float | None = None
    rope_theta: float = 10_000.0
    rope_scaling: dict[str, str | float] | None = None
    use_sliding_window: Literal[False] = False
    tie_word_embeddings: bool = False

    @field_validator("rope_scaling")
    @classmethod
    def _is_known(cls, value: dict[str, str | float] | None) -> dict[str, str | float] | None:
        if value is not None:
            kind = value.get("rope_type", value.get("type", ""))
            if kind not in ("default", "linear", "dynamic") or not value.keys() <= {"rope_type", "type", "factor"}:
                raise ValueError("only default, linear and dynamic are known, each with nothing but a factor")
            return {**{key: one for key, one in value.items() if key == "factor"}, "rope_type": kind}
        return None


class Original(_Part):
    """Content of config.json."""

    architectures: tuple[Literal["InternVLChatModel"]]
    vision_config: Vision
    llm_config: Language
    downsample_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    force_image_size: _Width | None = None
    ps_version: Literal["v2"]
    select_layer: Literal[-1] = -1

    @model_validator(mode="after")
    def _tiles_have_one_size(self) -> Original:
        if self.force_image_size not in (None, self.vision_config.image_size):
            raise ValueError("force_image_size is not vision_config.image_size")
        if self.vision_config.image_size / self.vision_config.patch_size * self.downsample_ratio % 1:
            raise ValueError("a side of a tile is not a whole number of tokens")
        return self


def read_original(folder: Path) -> Original:
    """Reads the config of a base in the original layout.

    Raises:
        CheckpointError: It is absent, of another layout, or of a model that transformers' InternVL cannot express.
    """
    if base_type(folder) == "internvl":
        raise CheckpointError(f"{folder} has the layout of transformers already", "Use it as it is.")
    remedy = "Name the folder of an InternVLChatModel with a Qwen2.5 or Qwen3 language model, such as Fleming-VL-8B."
    return read_record(folder / "config.json", Original, "config of InternVL's original layout", remedy)


def to_transformers(original: Original, vocabulary: dict[str, int], tied: bool) -> InternVLConfig:
    """The same model as transformers describes it.

    Args:
        original: The config.
        vocabulary: Ids of the tokens `image`, `end` and `pad`.
        tied: Whether the output head is the embeddings.

    Raises:
        CheckpointError: transformers refuses a value.
    """
    from transformers import CONFIG_MAPPING, InternVLConfig, InternVLVisionConfig

    vision, language = original.vision_config, original.llm_config
    own = language.model_dump(exclude_none=True, exclude={"architectures", "tie_word_embeddings"})
    text_class = CONFIG_MAPPING[{"Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3"}[language.architectures[0]]]
    try:
        text = text_class(
            **own, tie_word_embeddings=tied, bos_token_id=vocabulary["pad"], eos_token_id=vocabulary["end"]
        )
        sight = InternVLVisionConfig(
            hidden_size=vision.hidden_size,
            intermediate_size=vision.intermediate_size,
            num_hidden_layers=vision.num_hidden_layers,
            num_attention_heads=vision.num_attention_heads,
            image_size=[vision.image_size, vision.image_size],
            patch_size=[vision.patch_size, vision.patch_size],
            attention_bias=vision.qkv_bias,
            use_qk_norm=vision.qk_normalization,
            norm_type=vision.norm_type,
            layer_norm_eps=vision.layer_norm_eps,
            hidden_dropout_prob=vision.dropout,
            attention_dropout=vision.attention_dropout,
        )
        return InternVLConfig(
            vision_config=sight,
            text_config=text,
            image_token_id=vocabulary["image"],
            image_seq_length=int((vision.image_size // vision.patch_size * original.downsample_ratio) ** 2),
            downsample_ratio=original.downsample_ratio,
            tie_word_embeddings=tied,
        )
    except (TypeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"transformers refuses this model's config ({reason})", "Fetch it again.") from error


_PREFIXES = (
    ("vision_model.embeddings.class_embedding", "vision_tower.embeddings.cls_token"),
    ("vision_model.embeddings.position_embedding", "vision_tower.embeddings.position_embeddings"),
    ("vision_model.embeddings.patch_embedding.", "vision_tower.embeddings.patch_embeddings.projection."),
    ("mlp1.0.", "multi_modal_projector.layer_norm."),
    ("mlp1.1.", "multi_modal_projector.linear_1."),
    ("mlp1.3.", "multi_modal_projector.linear_2."),
)
_LAYER = re.compile(r"vision_model\.encoder\.layers\.(\d+)\.(.+)")
_IN_A_LAYER = (
    ("ls1", "lambda_1"),
    ("ls2", "lambda_2"),
    ("norm1.", "layernorm_before."),
    ("norm2.", "layernorm_after."),
    ("attn.proj.", "attention.projection_layer."),
    ("attn.q_norm.", "attention.q_norm."),
    ("attn.k_norm.", "attention.k_norm."),
)
_FUSED = "attn.qkv."


def is_leftover(key: str) -> bool:
    """Whether a tensor is none of the model's weights: older versions of transformers saved these, too."""
    return key.endswith(".rotary_emb.inv_freq")


def new_names(key: str) -> tuple[str, ...]:
    """What a tensor is called in transformers' layout; three names for one that is cut into as many equal parts."""
    if found := _LAYER.fullmatch(key):
        layer, rest = f"vision_tower.encoder.layer.{found[1]}.", found[2]
        if rest.startswith(_FUSED):
            return tuple(f"{layer}attention.{part}_proj.{rest.removeprefix(_FUSED)}" for part in "qkv")
        return (layer + _renamed(rest, _IN_A_LAYER),)
    return (_renamed(key, _PREFIXES),)


def _renamed(name: str, prefixes: tuple[tuple[str, str], ...]) -> str:
    for old, new in prefixes:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
