"""Adapters applied by our own kernels against peft's, on a small block."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mevlip.inference.lora import Adapters, select

WIDTH = 16
ALL = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "down_proj")


class Block(torch.nn.Module):
    """Calls its layers as a transformers block does."""

    def __init__(self) -> None:
        super().__init__()
        for name in ALL:
            setattr(self, name, torch.nn.Linear(WIDTH, WIDTH, bias=name == "q_proj"))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        mixed = torch.tanh(self.q_proj(states) * self.k_proj(states) + self.v_proj(states))
        made: torch.Tensor = self.down_proj(self.gate_proj(mixed) * self.up_proj(mixed))
        return made


def adapted(**adapters: Sequence[str]) -> Any:
    """A block with adapters on the layers named, none of them zero."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model: Any = None
    for rank, (name, targets) in enumerate(adapters.items(), 2):
        config = LoraConfig(r=rank, lora_alpha=3 * rank, target_modules=list(targets), init_lora_weights=False)
        if model is None:
            model = get_peft_model(Block(), config, adapter_name=name)
        else:
            model.add_adapter(name, config)
    return model.eval()


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("shape", [(1, 5, WIDTH), (3, 1, WIDTH), (4, WIDTH)])
def test_every_adapter_gives_what_peft_gives(shape: tuple[int, ...]) -> None:
    given = {"all": ALL, "some": ("k_proj", "v_proj", "up_proj"), "one": ("down_proj",)}
    theirs, states = adapted(**given), torch.randn(shape)
    wanted = {}
    for names in ((), *((name,) for name in given), ("some", "all"), ("one", "all", "some")):
        select(theirs, names)
        wanted[names] = theirs(states)
    ours = adapted(**given)
    adapters = Adapters(ours)
    for names in (*wanted, *reversed(wanted)):
        adapters.use(names)
        torch.testing.assert_close(ours(states), wanted[names])
    for one, other in itertools.combinations(wanted.values(), 2):
        assert not torch.allclose(one, other)


@pytest.mark.parametrize("alphas", [(1.0, 1.0), (1.0, 0.5)])
def test_changes_of_adapters_that_are_active_together_are_added(alphas: tuple[float, float]) -> None:
    model, states = adapted(first=("down_proj",), second=("down_proj",)), torch.randn(7, WIDTH)
    layer, names = model.base_model.model.down_proj, ("first", "second")
    for name, alpha in zip(names, alphas, strict=True):
        layer.scaling[name] *= alpha
    change = sum(layer.scaling[name] * layer.lora_B[name].weight @ layer.lora_A[name].weight for name in names)
    weight = layer.base_layer.weight + change
    Adapters(model).use(names)
    torch.testing.assert_close(layer(states), states @ weight.t())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_token_gets_its_own_share_of_each_adapter(dtype: torch.dtype) -> None:
    """Their ranks and scales differ, and one of them changes fewer layers."""
    model, states = adapted(first=ALL, second=("k_proj", "down_proj")).to(dtype), torch.randn(6, WIDTH, dtype=dtype)
    names, shares = ("first", "second"), torch.rand(6, 2)
    adapters = Adapters(model)
    close = {"atol": 1e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.05, "rtol": 0.05}
    for layer in (getattr(model.base_model.model, name) for name in ("q_proj", "k_proj", "down_proj")):
        layer.scaling["first"] *= 2
        adapters.use(names)
        adapters.weigh(shares)
        wanted = layer.base_layer(states).float()
        for number, name in enumerate(names):
            if name in layer.lora_A:
                change = layer.lora_B[name](layer.lora_A[name](states)).float() * layer.scaling[name]
                wanted += shares[:, number, None] * change
        weighed = layer(states.clone())
        torch.testing.assert_close(weighed.float(), wanted, **close)
        adapters.use(names)  # ends it
        plain = layer(states.clone())
        assert not torch.allclose(plain, weighed, atol=0.1)
        adapters.weigh(torch.ones(6, 2))
        torch.testing.assert_close(layer(states.clone()), plain)


class Products(TorchDispatchMode):
    """Counts products of two matrices and what is added in place."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        self.made.append(function.overloadpacket.__name__)
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("names", [("all",), ("all", "more")])
def test_layers_on_the_same_states_share_a_product(names: tuple[str, ...]) -> None:
    model = adapted(all=ALL, more=ALL)
    adapters = Adapters(model)
    adapters.use(names)
    with Products() as products:
        model(torch.randn(1, 5, WIDTH))
    assert (products.made.count("matmul"), products.made.count("addmm_")) == (3, 6), "q, k, v; gate, up; down"


def test_shares_take_one_kernel_more_for_layers_on_the_same_states() -> None:
    model = adapted(all=ALL, more=ALL)
    adapters = Adapters(model)
    adapters.use(("all", "more"))
    with Products() as products:
        adapters.weigh(torch.rand(5, 2))
        assert products.made.count("index") == 3, "q, k, v; gate, up; down"
        products.made.clear()
        model(torch.randn(1, 5, WIDTH))
    assert (products.made.count("matmul"), products.made.count("addmm_"), products.made.count("mul_")) == (3, 6, 3)


def test_states_are_not_kept() -> None:
    model = adapted(some=("q_proj", "gate_proj", "up_proj"))
    Adapters(model).use(("some",))
    states = torch.randn(1, 5, WIDTH)
    watched = weakref.ref(states)
    model(states)
    del states
    assert watched() is None
