"""InternVL in its original layout, small: written from its description, to compare what a conversion computes.

`InternVLChatModel`'s own code comes with the weights and is not available here. What is known of it: queries, keys and
values are one matrix in this order, norms of queries and keys go over all heads, each branch has a scale, a token is
the four features of a square of two by two patches row by row, and the language model is transformers' own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from tests.conftest import DEMO

LOGITS = 1023
"""The demo's tokens but `<video>`, which has no logit in the public bases either."""
SMALL_VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
    "qkv_bias": True,
    "qk_normalization": False,
    "norm_type": "layer_norm",
    "layer_norm_eps": 1e-6,
    "model_type": "intern_vit_6b",
}
"""As InternViT-300M is built."""
LIKE_6B = {"qkv_bias": False, "qk_normalization": True, "norm_type": "rms_norm"}
SMALL_LANGUAGE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": LOGITS,
    "rope_theta": 1_000_000.0,
    "rope_scaling": {"type": "dynamic", "factor": 2.0},
    "max_position_embeddings": 32_768,
    "tie_word_embeddings": False,
}
TRUE_VISION = SMALL_VISION | {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
    "image_size": 448,
}  # fmt: skip
TRUE_LANGUAGE = SMALL_LANGUAGE | {
    "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "vocab_size": 151_674,
}  # fmt: skip
"""InternVL3-8B's, of which Fleming-VL-8B was made."""


def config(
    vision: dict[str, Any] = SMALL_VISION, language: dict[str, Any] = SMALL_LANGUAGE, kind: str = "Qwen2"
) -> dict[str, Any]:
    """Content of an original config.json."""
    return {
        "architectures": ["InternVLChatModel"],
        "auto_map": {"AutoModel": "modeling_internvl_chat.InternVLChatModel"},
        "model_type": "internvl_chat",
        "downsample_ratio": 0.5,
        "force_image_size": vision["image_size"],
        "ps_version": "v2",
        "select_layer": -1,
        "template": "internvl2_5",
        "torch_dtype": "bfloat16",
        "vision_config": vision,
        "llm_config": {"architectures": [f"{kind}ForCausalLM"], **language},
    }


class RmsNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.weight * states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + 1e-6)


class Attention(nn.Module):
    def __init__(self, vision: dict[str, Any]) -> None:
        super().__init__()
        width, self.heads = vision["hidden_size"], vision["num_attention_heads"]
        self.qkv = nn.Linear(width, 3 * width, bias=vision["qkv_bias"])
        self.proj = nn.Linear(width, width)
        self.normed = vision["qk_normalization"]
        if self.normed:
            self.q_norm, self.k_norm = RmsNorm(width), RmsNorm(width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(states).chunk(3, dim=-1)
        if self.normed:
            query, key = self.q_norm(query), self.k_norm(key)
        query, key, value = (one.unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in (query, key, value))
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)
        projected: torch.Tensor = self.proj((weights @ value).transpose(1, 2).flatten(2))
        return projected


class Layer(nn.Module):
    def __init__(self, vision: dict[str, Any]) -> None:
        super().__init__()
        width, inner = vision["hidden_size"], vision["intermediate_size"]
        norm = RmsNorm if vision["norm_type"] == "rms_norm" else lambda width: nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(vision)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, inner), "fc2": nn.Linear(inner, width)})
        self.norm1, self.norm2 = norm(width), norm(width)
        self.ls1, self.ls2 = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(width))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = states + self.ls1 * self.attn(self.norm1(states))
        inner = nn.functional.gelu(self.mlp["fc1"](self.norm2(states)))
        changed: torch.Tensor = states + self.ls2 * self.mlp["fc2"](inner)
        return changed


class Embeddings(nn.Module):
    def __init__(self, vision: dict[str, Any]) -> None:
        super().__init__()
        width, patch = vision["hidden_size"], vision["patch_size"]
        patches = (vision["image_size"] // patch) ** 2
        self.class_embedding = nn.Parameter(torch.empty(1, 1, width))
        self.patch_embedding = nn.Conv2d(3, width, patch, patch)
        self.position_embedding = nn.Parameter(torch.empty(1, patches + 1, width))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(pixels), -1, -1)
        return torch.cat((first, patches), 1) + self.position_embedding


class InternVLChat(nn.Module):
    """The whole model; its state has the original names."""

    def __init__(self, content: dict[str, Any]) -> None:
        super().__init__()
        vision, language = content["vision_config"], dict(content["llm_config"])
        layers = nn.ModuleList(Layer(vision) for _ in range(vision["num_hidden_layers"]))
        self.vision_model = nn.ModuleDict(
            {"embeddings": Embeddings(vision), "encoder": nn.ModuleDict({"layers": layers})}
        )
        wide, hidden = 4 * vision["hidden_size"], language["hidden_size"]
        self.mlp1 = nn.Sequential(nn.LayerNorm(wide), nn.Linear(wide, hidden), nn.GELU(), nn.Linear(hidden, hidden))
        theta, scaling = language.pop("rope_theta"), language.pop("rope_scaling")
        language["rope_parameters"] = {"rope_theta": theta, "rope_type": scaling["type"], "factor": scaling["factor"]}
        third = language.pop("architectures") == ["Qwen3ForCausalLM"]
        self.language_model = (
            Qwen3ForCausalLM(Qwen3Config(**language)) if third else Qwen2ForCausalLM(Qwen2Config(**language))
        )

    def forward(self, ids: torch.Tensor, pixels: torch.Tensor, image_token: int) -> torch.Tensor:
        """Logits of a prompt with images, (1, tokens, vocabulary)."""
        states = self.vision_model["embeddings"](pixels)
        for layer in self.vision_model.get_submodule("encoder.layers").children():
            states = layer(states)
        side = int((states.shape[1] - 1) ** 0.5) // 2
        squares = states[:, 1:].unflatten(1, (side, 2, side, 2)).transpose(2, 3)
        features = self.mlp1(squares.flatten(3).flatten(1, 2))
        embedded = self.language_model.get_input_embeddings()(ids).clone()
        embedded[ids == image_token] = features.flatten(0, 1)
        logits: torch.Tensor = self.language_model(inputs_embeds=embedded).logits
        return logits


def random_model(content: dict[str, Any], seed: int = 1) -> InternVLChat:
    """A model whose numbers are bfloat16's, held in float32; no norm or scale is the identity."""
    model, generator = InternVLChat(content).eval(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            around = float("norm" in name and name.endswith("weight"))
            weight.normal_(around, 0.15, generator=generator)
            weight.copy_(weight.bfloat16())
    return model


def write(folder: Path, content: dict[str, Any], model: InternVLChat | None = None, shards: int = 2) -> Path:
    """Writes a base as DeepSpeed left Fleming-VL's: several files, and things that are no part of a model."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(content))
    write_tokenizer(folder)
    state = {name: weight.bfloat16() for name, weight in (model or random_model(content)).state_dict().items()}
    names = sorted(state)
    for number in range(shards):
        part = {name: state[name].clone() for name in names[number::shards]}
        save_file(part, folder / f"model-{number + 1:05}-of-{shards:05}.safetensors", {"format": "pt"})
    for other in ("zero_to_fp32.py", "modeling_internvl_chat.py"):
        (folder / other).write_text("raise SystemExit('code of the folder was executed')\n")
    (folder / "latest").write_text("global_step1")
    (folder / "global_step1").mkdir()
    (folder / "global_step1/optimizer.pt").write_bytes(b"\x80")
    return folder


def write_tokenizer(folder: Path, tokenizer: Tokenizer | None = None) -> None:
    """A tokenizer, the demo's unless another is given, as files of the original layout, without `<video>`."""
    content = json.loads((tokenizer or Tokenizer.from_file(str(DEMO / "base" / "tokenizer.json"))).to_str())
    (folder / "vocab.json").write_text(json.dumps(content["model"]["vocab"]))
    merges = (" ".join(one) if isinstance(one, list) else one for one in content["model"]["merges"])
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    added = [token for token in content["added_tokens"] if token["content"] != "<video>"]
    described = {len(content["model"]["vocab"]) + number: token for number, token in enumerate(added)}
    for token in added:
        del token["id"]
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "auto_map": {"AutoTokenizer": ["tokenization_x.X", None]},
        "added_tokens_decoder": described,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 12_288,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
