from __future__ import annotations

from mevlip.checkpoints.routes import ImageSettings, PromptSettings, Thinking
from mevlip.tasks import GENERALIST, adapter_names
from mevlip_training.recipes.reading import parse_recipe
from mevlip_training.recipes.recipe import AdapterRecipe, Recipe


def recipe(text: str) -> Recipe:
    return parse_recipe(text.encode(), "r.yaml")


def test_an_empty_recipe_changes_nothing() -> None:
    assert {name: recipe("").of(name) for name in adapter_names()} == dict.fromkeys(adapter_names(), AdapterRecipe())
    assert {name: recipe("").overlay(name) for name in adapter_names()} == {name: {} for name in adapter_names()}


def test_an_adapter_replaces_single_fields_of_the_default_section() -> None:
    made = recipe("""
default: {rank: 16, images: {max_pixels: 4096, max_count: 2}, balance: {rows: 250}}
adapters:
  counting: {rank: 8, images: {max_pixels: 9999}, balance: null}
""")
    assert made.of("counting").images == ImageSettings(max_pixels=9999, max_count=2)
    assert (made.of("counting").rank, made.of("counting").balance) == (8, None)
    assert made.of("detection").images == ImageSettings(max_pixels=4096, max_count=2)
    assert made.of("detection").rank == 16


def test_an_adapter_goes_back_to_a_default_of_the_program() -> None:
    made = recipe("{default: {images: {frames: 5}}, adapters: {counting: {images: {frames: 11}}}}")
    assert [made.of(name).images.frames for name in ("detection", "counting")] == [5, 11]


def test_thinking_is_set_for_all_and_left_out_for_one() -> None:
    made = recipe("""
default: {prompt: {template: "Look. {question}", thinking: {tokens: 64}}}
adapters: {counting: {prompt: {thinking: null}}, detection: {prompt: {thinking: {preset: Think.}}}}
""")
    assert made.of("generalist").prompt.thinking == Thinking(tokens=64)
    assert made.of("detection").prompt.thinking == Thinking(tokens=64, preset="Think.")
    assert made.of("counting").prompt == PromptSettings(template="Look. {question}")


def test_training_is_told_only_what_is_set_by_llamafactorys_own_keys() -> None:
    made = recipe("""
quantization: {kind: nf4, double: false}
adapters:
  counting:
    prompt: {system: Be brief., template: "Count. {question}"}
    images: {max_pixels: 4096, min_pixels: 64, crop_to_patches: true, max_count: 2}
    rank: 32
    epochs: 5
    learning_rate: 1e-4
    cutoff_len: 4096
    answer_tokens: 9
    refit: true
  detection: {alpha: 7}
""")
    assert made.overlay("counting") == {
        "default_system": "Be brief.",
        "image_max_pixels": 4096,
        "image_min_pixels": 64,
        "crop_to_patches": True,
        "lora_rank": 32,
        "lora_alpha": 64,
        "num_train_epochs": 5,
        "learning_rate": 1e-4,
        "cutoff_len": 4096,
        "quantization_bit": 4,
        "double_quantization": False,
    }
    assert made.overlay("detection") == {"lora_alpha": 7, "quantization_bit": 4, "double_quantization": False}


def test_a_base_that_is_not_quantized_has_no_bits() -> None:
    assert recipe("quantization: {kind: none}").overlay("counting")["quantization_bit"] is None


def test_the_adapter_that_all_start_from_starts_fresh() -> None:
    made = recipe("default: {start_from: generalist}")
    assert made.of(GENERALIST).start_from is None
    assert made.overlay("counting") == {"adapter_name_or_path": GENERALIST}
