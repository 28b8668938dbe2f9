"""Random NF4 weights made in place are stored exactly as transformers stores loaded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mevlip.checkpoints.checkpoint import open_checkpoint
from mevlip.checkpoints.routes import Quantization
from mevlip.core import memory
from mevlip.core.errors import EnvironmentProblem
from mevlip.inference.loading import load_base
from mevlip_training.bench.four_bit import random_four_bit
from mevlip_training.bench.systems import open_system, open_true_width
from mevlip_training.shapes.checkpoint import write_base
from mevlip_training.shapes.internvl3 import thin
from tests.conftest import DEMO

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("base")
    write_base(folder, thin())
    return load_base(folder, Quantization(), CPU)


@pytest.fixture(scope="module")
def made() -> Any:
    return random_four_bit(thin(), Quantization(), CPU)


def described(model: Any) -> dict[str, Any]:
    """Modules, parameters and buffers of a model, by name."""
    found: dict[str, Any] = {name: type(module).__name__ for name, module in model.named_modules()}
    found |= {name: (type(one).__name__, one.dtype, one.shape) for name, one in model.named_parameters()}
    return found | {f"buffer {name}": (one.dtype, one.shape, one.device) for name, one in model.named_buffers()}


def layout(state: Any) -> tuple[Any, ...]:
    """How the blocks of a quantized weight, their scales and the scales' own scales are stored."""
    own = (state.blocksize, state.quant_type, state.dtype, state.shape, state.absmax.dtype, state.absmax.shape)
    nested = state.state2
    return *own, state.offset.shape, nested.blocksize, nested.absmax.dtype, nested.absmax.shape


@pytest.mark.model
def test_it_has_the_modules_parameters_and_bytes_of_a_loaded_one(loaded: Any, made: Any) -> None:
    assert described(made) == described(loaded)
    assert made.get_memory_footprint() == loaded.get_memory_footprint()
    assert made.training is False and made.is_loaded_in_4bit
    for name, buffer in loaded.named_buffers():
        assert torch.equal(made.get_buffer(name), buffer), "rotary frequencies are computed, not left empty"


@pytest.mark.model
def test_its_blocks_and_doubly_quantized_scales_are_laid_out_alike(loaded: Any, made: Any) -> None:
    layers = [name for name, kind in described(loaded).items() if kind == "Linear4bit"]
    assert len(layers) == 2 * (6 + 7) + 2, "vision, language, projector"
    for name in layers:
        ours, theirs = (model.get_submodule(name) for model in (made, loaded))
        assert layout(ours.weight.quant_state) == layout(theirs.weight.quant_state), name
        assert (ours.compute_dtype, ours.weight.quant_storage) == (theirs.compute_dtype, theirs.weight.quant_storage)


@pytest.mark.model
def test_equal_seeds_give_equal_weights_that_compute(made: Any) -> None:
    again = random_four_bit(thin(), Quantization(), CPU)
    ids = torch.arange(8)[None]
    with torch.inference_mode():
        first, second = (model(input_ids=ids).logits for model in (made, again))
    assert torch.equal(first, second)
    assert first.isfinite().all() and first.std() > 0


@pytest.mark.model
def test_a_checkpoint_without_weights_goes_through_the_predictors_own_loading(tmp_path: Path) -> None:
    system = open_true_width(thin(), "cpu", tmp_path, open_checkpoint(DEMO))
    answer = system.predictor.ask("Which is it? A: This, B: That", task="classification")
    assert answer.text in ("A", "B") and not answer.failed
    assert system.predictor.loads.models == 1
    folder = system.checkpoint.folder
    assert open_true_width(thin(), "cpu", tmp_path, open_checkpoint(DEMO)).checkpoint.folder == folder, "it is kept"
    weights = sum(path.stat().st_size for path in (folder / "base").glob("*.safetensors"))
    assert weights < 1000, "the base has no weights of its own"


def test_without_room_the_true_shape_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "available", lambda: 4 << 30)
    with pytest.raises(EnvironmentProblem, match="needs about 9 GB of main memory, 4 GB are free") as caught:
        open_system("internvl3-8b", "cpu", tmp_path)
    assert "--device cuda" in caught.value.remedy
    assert list(tmp_path.iterdir()) == [], "nothing was written"
