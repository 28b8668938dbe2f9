from __future__ import annotations

import pytest
import torch
from transformers import InternVLConfig, InternVLForConditionalGeneration

from mevlip_training.bench.work import NF4_BYTES, Cost, Work
from mevlip_training.shapes.internvl3 import Vocabulary, host_bound, internvl3_8b, proportioned, shapes, thin

SMALL = Vocabulary(1024, end=2, pad=0, image=18)
SHAPES = {
    "internvl3-8b": internvl3_8b(),
    "thin": thin(),
    "proportioned": proportioned(SMALL),
    "host-bound": host_bound(SMALL),
}


@pytest.fixture(scope="module")
def true_size() -> Work:
    return Work.of(internvl3_8b(), NF4_BYTES, 2)


def test_the_true_shape_costs_what_is_known_of_it(true_size: Work) -> None:
    assert true_size.weights == 6_525_288_448
    assert true_size.tile == pytest.approx(0.738e12, rel=1e-3)
    assert true_size.prefill(356) == pytest.approx(4.67e12, rel=1e-3)
    assert true_size.prefill(3428) == pytest.approx(47.1e12, rel=1e-3)
    assert true_size.step(356) == pytest.approx(14.3e9, rel=2e-3)
    assert true_size.bytes_read(Cost(forwards=1)) == pytest.approx(4.45e9, rel=1e-3)


def test_the_proportioned_shape_has_the_true_ones_share_of_vision_work(true_size: Work) -> None:
    assert true_size.vision_share(1, 356) == pytest.approx(0.136, abs=0.001)
    small = Work.of(proportioned(SMALL), 4, 4)
    assert small.vision_share(1, 356) == pytest.approx(true_size.vision_share(1, 356), abs=0.01)
    assert proportioned(SMALL).image_seq_length == internvl3_8b().image_seq_length == 256
    assert proportioned(SMALL).vision_config.image_size == internvl3_8b().vision_config.image_size


def test_the_host_bound_shape_has_the_true_ones_layers() -> None:
    true, small = internvl3_8b(), host_bound(SMALL)
    for part in ("text_config", "vision_config"):
        assert getattr(small, part).num_hidden_layers == getattr(true, part).num_hidden_layers
    assert small.text_config.hidden_size == 64


@pytest.mark.parametrize("name", SHAPES)
def test_weights_are_counted_as_the_model_has_them(name: str) -> None:
    wanted = shapes(SHAPES[name])
    layers = sum(shape.numel() for key, shape in wanted.items() if ".language_model.layers." in key and len(shape) == 2)
    work = Work.of(SHAPES[name], 4, 4)
    assert work.weights == layers
    assert work.head == 2 * wanted["lm_head.weight"].numel()


def test_prefill_and_tile_agree_with_torchs_own_counter() -> None:
    """torch counts all pairs of an attention, so twice the causal half of the language model's."""
    from torch.utils.flop_counter import FlopCounterMode

    config: InternVLConfig = proportioned(SMALL)
    model = InternVLForConditionalGeneration(config).eval()
    model.set_attn_implementation("eager")  # it does not see the pairs of the fused one
    work, tokens = Work.of(config, 4, 4), 300
    ids = torch.full((1, tokens), 5)
    ids[0, :256] = SMALL.image
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(input_ids=ids, pixel_values=torch.zeros(1, 3, 448, 448), logits_to_keep=1)
    pairs = 2 * tokens**2 * work.hidden * work.layers
    assert counter.get_total_flops() == pytest.approx(work.tile + work.prefill(tokens) + pairs, rel=0.01)


def test_a_question_costs_its_tiles_its_prompt_and_a_step_for_each_further_token(true_size: Work) -> None:
    letter = true_size.question(1, 356, 1)
    assert letter == true_size.tile + true_size.prefill(356)
    assert true_size.question(1, 356, 3) == pytest.approx(letter + 2 * true_size.step(357))
    cost = Cost(questions=2, tiles=2, prompt_tokens=712, generated_tokens=2, forwards=2)
    assert true_size.asked_alone(cost) == 2 * letter
    assert true_size.done(cost, 356) == pytest.approx(2 * letter)
    shared = Cost(questions=2, tiles=1, prompt_tokens=456, generated_tokens=2, forwards=1)
    assert true_size.done(shared, 356) < 0.7 * true_size.asked_alone(cost)
