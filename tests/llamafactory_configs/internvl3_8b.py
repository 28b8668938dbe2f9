"""The shape of OpenGVLab/InternVL3-8B-hf; both environments build it on torch's meta device."""

from __future__ import annotations

from transformers import InternVLConfig, InternVLVisionConfig, Qwen2Config


def shape() -> InternVLConfig:
    """The model's configuration, as far as it decides about parameters."""
    vision = InternVLVisionConfig(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        image_size=[448, 448],
        patch_size=[14, 14],
        attention_bias=True,
        layer_scale_init_value=0.1,
    )
    text = Qwen2Config(
        hidden_size=3584,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        intermediate_size=18944,
        vocab_size=151_674,
        tie_word_embeddings=False,
    )
    return InternVLConfig(
        vision_config=vision.to_dict(), text_config=text.to_dict(), downsample_ratio=0.5, tie_word_embeddings=False
    )
