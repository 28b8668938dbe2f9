from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModel, InternVLForConditionalGeneration

from mevlip.cli.predict import predict
from mevlip.core import memory as main_memory
from mevlip.core.errors import EnvironmentProblem
from mevlip.inference import device, memory
from mevlip.inference.attention import install
from mevlip.inference.families import find_family
from mevlip.inference.memory import (
    LEAST,
    MOST,
    budget,
    cached_bytes,
    cached_shape,
    computed_bytes,
    parse_size,
    passes,
    row_bytes,
    tile_bytes,
    token_operations,
    tower_room,
)
from mevlip.inference.packed import PromptPass, Room, Row
from mevlip.inference.vision import Features
from mevlip_training.shapes.internvl3 import internvl3_8b, proportioned

GB = 10**9
TEXT = internvl3_8b().text_config
VISION = internvl3_8b().vision_config
CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")


def one_tile() -> int:
    return tile_bytes(VISION, find_family("internvl").patch_numbers(VISION), 2, 448, 448)


def tiles_at_once(room: int) -> int:
    """How many of many tiles go through the vision tower together."""
    first = next(passes([one_tile()] * 100, tower_room(room)))
    return first.stop - first.start


@pytest.mark.parametrize(
    ("text", "size"),
    [("9GB", 9 * GB), ("9 gb", 9 * GB), ("7.5GiB", 7.5 * 2**30), (" 500 MB ", 500 * 10**6), ("12B", 12)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: float) -> None:
    assert parse_size(text) == size


@given(st.text(max_size=20))
def test_whatever_is_no_size_is_refused(text: str) -> None:
    try:
        assert parse_size(text) >= 0
    except ValueError as error:
        assert "not a size" in str(error)


def test_a_size_that_is_none_is_a_usage_error() -> None:
    done = CliRunner().invoke(predict, ["in", "out", "--max-memory", "plenty"])
    assert done.exit_code == 2 and "it is not a size such as 9GB" in done.output


def test_the_true_shape_takes_what_is_known_of_it() -> None:
    assert cached_bytes(TEXT, 2) == 57_344
    assert computed_bytes(TEXT, 2) == pytest.approx(144_000, rel=0.1), "with everything that is alive at once"
    assert row_bytes(TEXT) == 16 * 151_674
    assert one_tile() == pytest.approx(38e6, rel=0.05)


def test_nine_gigabytes_hold_some_fifteen_questions_of_the_true_shape() -> None:
    """As measured on an H100, weights take 6.11 GB and CUDA up to 0.86: 2.0 GB are left."""
    room = 9 * GB - 6_107_000_000 - device._CONTEXT
    made = budget(room, TEXT, 2, gpu=True)
    assert made == memory.Budget(6_517, 11_871)
    assert made.computed * computed_bytes(TEXT, 2) + made.cached * cached_bytes(TEXT, 2) < room
    assert tiles_at_once(room) == 16
    small = budget(room - 1_200_000_000, TEXT, 2, gpu=True)
    assert LEAST.computed < small.computed < made.computed and small.cached < made.cached
    assert tiles_at_once(room - 1_860_000_000) == 2


class Alive(TorchDispatchMode):
    """Adds up the tensors that are alive at once, on a device that has none."""

    def __init__(self) -> None:
        super().__init__()
        self._storages: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        made = function(*arguments, **(options or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self._storages.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes()))
        self._storages = {key: pair for key, pair in self._storages.items() if not pair[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._storages.values()))
        return made


@pytest.mark.parametrize(
    ("questions", "each", "tokens", "new"),
    [(25, 1, 320, 0), (120, 6, 320, 0), (8, 2, 1170, 0), (25, 1, 320, 256), (14, 1, 320, 800)],
    ids=["letters", "letters, six on a picture", "long texts", "reports", "boxes"],
)
def test_a_pass_through_the_true_shape_takes_what_arithmetic_says(
    questions: int, each: int, tokens: int, new: int
) -> None:
    """With no weights: the language model runs on the meta device, where tensors have shapes but no memory."""
    meta = torch.device("meta")
    text = internvl3_8b().text_config
    text.num_hidden_layers = 4  # keys and values are counted for as many
    with meta:
        model = AutoModel.from_config(text, dtype=torch.bfloat16).eval()
    install(model.config)
    rows = [Row(number // each, (0,) * tokens, 270, number if new else None) for number in range(questions)]
    with torch.inference_mode(), Alive() as alive:
        line = PromptPass.lay_out(rows, meta, Room(tokens + new, cached_shape(text), torch.bfloat16))
        states = torch.empty(1, len(line.tokens), text.hidden_size, dtype=torch.bfloat16, device=meta)
        positions = torch.from_numpy(line.positions).to(meta)[None]
        model(inputs_embeds=states, position_ids=positions, attention_mask=None, use_cache=False, packed=line)
    cached = questions * (tokens + new) * cached_bytes(text, 2) if new else 0
    said = len(line.tokens) * computed_bytes(text, 2) + cached
    assert 0.85 * said < alive.peak < said


@pytest.mark.parametrize("tiles", [1, 16])
def test_tiles_take_what_arithmetic_says_in_the_true_vision_tower(tiles: int, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = torch.device("meta")
    config = internvl3_8b()
    config.text_config.num_hidden_layers = 1
    with meta:
        base = InternVLForConditionalGeneration(config).to(torch.bfloat16).eval()
    family = find_family(config.model_type)
    monkeypatch.setattr(family, "levels", lambda _: np.zeros((3, 256), np.float32))
    features = Features(base, family, None, meta, 1)
    with torch.inference_mode(), Alive() as alive:
        features._encode(list(torch.empty(tiles, 3, 448, 448, dtype=torch.uint8, device=meta)))
    said = tiles * one_tile()
    assert 0.8 * said < alive.peak < said


def test_without_a_gpu_a_batch_of_the_true_shape_is_no_longer_than_it_must_be() -> None:
    assert token_operations(TEXT) == pytest.approx(2 * 6.53e9, rel=0.01)
    assert budget(20 * GB, TEXT, 2, gpu=False).computed == LEAST.computed
    assert budget(20 * GB, proportioned().text_config, 4, gpu=False) == MOST, "small models answer as before"


@given(st.integers(-GB, 100 * GB))
def test_a_budget_stays_within_its_bounds_and_grows_with_the_room(room: int) -> None:
    made, more = budget(room, TEXT, 2, gpu=True), budget(room + GB, TEXT, 2, gpu=True)
    assert LEAST.computed <= made.computed <= more.computed <= MOST.computed
    assert LEAST.cached <= made.cached <= more.cached <= MOST.cached
    assert 1 <= tiles_at_once(room) <= 16


class Embedding:
    place = "cuda"

    def to(self, place: str) -> None:
        self.place = place


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A GPU of 24 GB that holds weights of 6.04, played by stand-ins: there is none here."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (20 * GB, 24 * GB))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 6_040_000_000)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, _: seen.update(bytes=share * 24 * GB)
    )
    return seen


def model() -> SimpleNamespace:
    embedding = Embedding()
    config = SimpleNamespace(get_text_config=lambda: TEXT, tie_word_embeddings=False)
    return SimpleNamespace(
        config=config, dtype=torch.bfloat16, embedding=embedding, get_input_embeddings=lambda: embedding
    )


def test_a_gpus_allocator_is_held_to_nine_gigabytes_or_what_is_asked_for(gpu: dict[str, Any]) -> None:
    one = model()
    assert device.limit_memory(one, CUDA, None) == 9 * GB - 900_000_000 - 6_040_000_000
    assert gpu["bytes"] == pytest.approx(8.1 * GB) and one.embedding.place == "cuda"
    assert device.limit_memory(model(), CUDA, 12 * GB) == 12 * GB - 6_940_000_000


def test_below_eight_gigabytes_the_input_embedding_stays_in_main_memory(gpu: dict[str, Any]) -> None:
    one = model()
    device.limit_memory(one, CUDA, 7_500_000_000)
    assert one.embedding.place == "cpu"
    tied = model()
    tied.config.tie_word_embeddings = True
    device.limit_memory(tied, CUDA, 7_500_000_000)
    assert tied.embedding.place == "cuda", "the output layer needs it there"
    alone = model()
    device.limit_memory(alone, CUDA, 7_500_000_000, movable=False)
    assert alone.embedding.place == "cuda", "transformers' generate needs it there"


def test_memory_that_no_question_fits_into_is_named(gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentProblem, match=r"--max-memory leaves 0\.06 GB beside the weights") as caught:
        device.limit_memory(model(), CUDA, 7_000_000_000)
    assert "Allow 0.4 GB more" in caught.value.remedy
    monkeypatch.setattr(main_memory, "available", lambda: 1000)
    with pytest.raises(EnvironmentProblem, match="beside the weights"):
        device.limit_memory(model(), CPU, None)


def test_in_main_memory_what_the_process_holds_already_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_memory, "held", lambda: 3 * GB)
    assert device.limit_memory(model(), CPU, 4 * GB) == GB
    monkeypatch.undo()
    assert 10**7 < main_memory.held() < 64 * GB
