"""What is converted computes what the original does, and nothing is lost, guessed or executed."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import InternVLForConditionalGeneration

from mevlip.core.errors import CheckpointError, EnvironmentProblem, MevlipError
from mevlip.inference.encoder import PromptEncoder
from mevlip_training import sharding
from mevlip_training.assembly import assemble
from mevlip_training.conversion.convert import RECORD_NAME, convert
from mevlip_training.conversion.original import new_names, read_original
from mevlip_training.conversion.weights import Piece, Stored, plan
from mevlip_training.shapes.checkpoint import write_adapters
from mevlip_training.shapes.internvl3 import hub_shapes, internvl3_8b, internvl3_38b
from tests.conftest import DEMO, call_mevlip
from tests.training.conversion.original_internvl import (
    LIKE_6B,
    LOGITS,
    SMALL_LANGUAGE,
    SMALL_VISION,
    TRUE_LANGUAGE,
    TRUE_VISION,
    InternVLChat,
    config,
    random_model,
    write,
)  # fmt: skip

Content = dict[str, Any]
IMAGE = 1016


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small original base; tests copy what they change."""
    return write(tmp_path_factory.mktemp("original") / "base", config())


@pytest.fixture
def altered(source: Path, tmp_path: Path) -> Path:
    """A copy of it to be changed, with links as the hub's cache has them."""
    folder = tmp_path / "altered"
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def rewrite(path: Path, content: object) -> None:
    """Puts a file of its own in the place of a link."""
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def rewrite_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Changes the tensors, and writes all into one file."""
    tensors = {}
    for path in folder.glob("*.safetensors"):
        tensors |= {name: one.clone() for name, one in load_file(path).items()}
        path.unlink()
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.model
@pytest.mark.parametrize(
    ("vision", "language", "kind"),
    [
        ({}, {}, "Qwen2"),
        (LIKE_6B, {}, "Qwen2"),
        ({}, {"head_dim": 16}, "Qwen3"),
        ({}, {"tie_word_embeddings": True}, "Qwen2"),
    ],
    ids=["InternViT-300M", "InternViT-6B", "Qwen3", "tied"],
)
def test_the_converted_model_has_the_logits_of_the_original(
    vision: Content, language: Content, kind: str, tmp_path: Path
) -> None:
    content = config(SMALL_VISION | vision, SMALL_LANGUAGE | language, kind)
    original = random_model(content)
    write(tmp_path / "old", content, original)
    if language.get("tie_word_embeddings"):
        rewrite_weights(tmp_path / "old", lambda tensors: tensors.pop("language_model.lm_head.weight"))
    made = convert(tmp_path / "old", tmp_path / "new")
    assert made.parameters == sum(weight.numel() for weight in original.parameters())
    model, loading = InternVLForConditionalGeneration.from_pretrained(
        tmp_path / "new", dtype=torch.float32, output_loading_info=True
    )
    assert not any(loading[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 1000, (1, 24), generator=generator)
    ids[0, 3:7] = ids[0, 10:14] = IMAGE
    pixels = torch.randn(2, 3, 56, 56, generator=generator)
    with torch.inference_mode():
        expected = original(ids, pixels, IMAGE)
        assert expected.std() > 0.3
        torch.testing.assert_close(model.eval()(input_ids=ids, pixel_values=pixels).logits, expected)
        other = model(input_ids=ids, pixel_values=pixels.transpose(-1, -2)).logits
        assert not torch.allclose(other, expected, atol=0.01), "pictures matter"


@pytest.mark.model
def test_names_are_those_that_transformers_saves(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "new")
    InternVLForConditionalGeneration.from_pretrained(tmp_path / "new", dtype=torch.bfloat16).save_pretrained(
        tmp_path / "theirs"
    )
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("new", "theirs"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(one, theirs[name]) for name, one in ours.items())


def test_the_folder_has_what_a_base_has_and_says_what_it_was_made_of(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "new")
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {path.name for path in (DEMO / "base").iterdir()} | {RECORD_NAME}
    record = json.loads((tmp_path / "new" / RECORD_NAME).read_bytes())
    read = [source / "config.json", *source.glob("*.safetensors")]
    assert record == {"files": {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in read}}
    written = json.loads((tmp_path / "new/config.json").read_bytes())
    assert (written["architectures"], written["model_type"]) == (["InternVLForConditionalGeneration"], "internvl")
    assert (written["image_token_id"], written["image_seq_length"]) == (IMAGE, 4)
    assert written["text_config"]["rope_parameters"]["rope_theta"] == 1_000_000
    assert written["text_config"]["rope_parameters"]["factor"] == 2


def test_the_predictor_reads_its_tokenizer_and_the_ids_are_the_originals(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "new")
    ours = PromptEncoder("internvl", tmp_path / "new").tokenizer
    demo = PromptEncoder("internvl", DEMO / "base").tokenizer
    text = "<|im_start|>user\n<img><IMG_CONTEXT></img>How many cells, naïve or not, in 12 fields?\n<|im_end|>"
    assert ours(text)["input_ids"] == demo(text)["input_ids"]
    listed = json.loads((source / "tokenizer_config.json").read_bytes())["added_tokens_decoder"]
    assert {token["content"]: int(number) for number, token in listed.items()}.items() <= ours.get_vocab().items()
    assert ours.convert_tokens_to_ids("<video>") == LOGITS


@pytest.mark.model
def test_a_converted_base_becomes_a_checkpoint_whose_adapters_answer(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "base")
    base = InternVLForConditionalGeneration.config_class.from_pretrained(tmp_path / "base")
    write_adapters(tmp_path / "adapters", base, "random/converted")
    parts = {"base": tmp_path / "base", "adapters": tmp_path / "adapters", "router": DEMO / "router"}
    made = assemble(tmp_path / "made", **parts, name="x", kind="demo", notice="")
    assert made.probes.keys() == made.routes.keys()


@pytest.mark.parametrize(
    ("vision", "language", "count", "shape"),
    [
        (TRUE_VISION, TRUE_LANGUAGE, 4 + 24 * 14 + 6 + 28 * 12 + 3, internvl3_8b),
        (
            TRUE_VISION | LIKE_6B | {
                "hidden_size": 3200, "num_hidden_layers": 45, "num_attention_heads": 25, "intermediate_size": 12_800,
            },
            TRUE_LANGUAGE | {
                "hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 40, "num_key_value_heads": 8,
                "intermediate_size": 27_648,
            },
            4 + 45 * 13 + 6 + 64 * 12 + 3,
            internvl3_38b,
        ),
    ],
    ids=["8B", "38B"],
)  # fmt: skip
def test_every_tensor_of_the_true_sizes_has_its_one_place(
    vision: Content, language: Content, count: int, shape: Any
) -> None:
    with torch.device("meta"):
        state = InternVLChat(config(vision, language)).state_dict()
    assert len(state) == count
    stored = {name: Stored(Path("x"), name, tuple(one.shape), "BF16") for name, one in state.items()}
    pieces = plan(Path("x"), stored, hub_shapes(shape()))
    assert sum(piece.shape.numel() for piece in pieces.values()) == sum(one.numel() for one in state.values())


def test_files_of_several_parts_hold_the_same_and_one_part_is_in_memory_at_a_time(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(source, tmp_path / "one")
    alive: dict[int, int] = {}
    most = 0

    def read(piece: Piece, own: Callable[[Piece], torch.Tensor] = Piece.read) -> torch.Tensor:
        nonlocal most
        tensor = own(piece)
        alive[id(tensor)] = tensor.nbytes
        weakref.finalize(tensor, alive.pop, id(tensor))
        most = max(most, sum(alive.values()))
        return tensor

    monkeypatch.setattr(Piece, "read", read)
    monkeypatch.setattr(sharding, "SHARD_BYTES", 140_000)
    convert(source, tmp_path / "many")
    index = json.loads((tmp_path / "many/model.safetensors.index.json").read_bytes())["weight_map"]
    files = sorted(set(index.values()))
    assert len(files) > 3
    assert most <= 140_000
    whole = load_file(tmp_path / "one/model.safetensors")
    for file in files:
        for name, tensor in load_file(tmp_path / "many" / file).items():
            assert index[name] == file
            assert torch.equal(tensor, whole.pop(name))
    assert not whole


def test_float32_is_rounded_once(source: Path, altered: Path, tmp_path: Path) -> None:
    value = torch.linspace(-1, 1, 32)
    rewrite_weights(altered, lambda tensors: tensors.update({"vision_model.encoder.layers.0.ls1": value}))
    convert(altered, tmp_path / "new")
    with safe_open(tmp_path / "new/model.safetensors", "pt") as file:
        assert torch.equal(file.get_tensor("vision_tower.encoder.layer.0.lambda_1"), value.bfloat16())


def test_a_buffer_that_old_versions_saved_is_passed_over(altered: Path, tmp_path: Path) -> None:
    name = "language_model.model.layers.0.self_attn.rotary_emb.inv_freq"
    rewrite_weights(altered, lambda tensors: tensors.update({name: torch.ones(8)}))
    convert(altered, tmp_path / "new")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda ts: ts.update({"mlp1.4.weight": torch.ones(1)}), "tensors that config.json does not have: mlp1.4"),
        (lambda ts: ts.pop("mlp1.0.weight"), "config.json has: multi_modal_projector.layer_norm.weight"),
        (lambda ts: ts.update({"mlp1.0.weight": torch.ones(64)}), "mlp1.0.weight has the shape (64,), by config.json"),
        (lambda ts: ts.update({"mlp1.0.weight": torch.tensor(1.0)}), "mlp1.0.weight has the shape ()"),
        (lambda ts: ts.update({"mlp1.0.weight": torch.ones(128).char()}), "is stored as I8"),
        (lambda ts: ts["mlp1.0.weight"].fill_(float("nan")), "mlp1.0.weight holds numbers that are not finite"),
        (
            lambda ts: ts.update({"multi_modal_projector.layer_norm.weight": torch.ones(128)}),
            "are both multi_modal_projector.layer_norm.weight",
        ),
        (
            lambda ts: ts.update({"vision_model.encoder.layers.0.attn.qkv.bias": torch.ones(97)}),
            "attn.qkv.bias has the shape (97,)",
        ),
    ],
)
def test_weights_that_are_not_the_models_are_refused(
    change: Callable[[dict[str, torch.Tensor]], object], cause: str, altered: Path, tmp_path: Path
) -> None:
    rewrite_weights(altered, change)
    refused(altered, tmp_path / "new", cause)


def refused(folder: Path, out: Path, cause: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        convert(folder, out)
    assert cause in str(caught.value)
    assert not out.exists()
    assert not list(out.parent.glob(".*draft"))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"model_type": "internvl"}, "has the layout of transformers already"),
        ({"architectures": ["LlavaForConditionalGeneration"]}, "architectures"),
        ({"ps_version": "v1"}, "ps_version"),
        ({"select_layer": -4}, "select_layer"),
        ({"downsample_ratio": 0.3}, "not a whole number of tokens"),
        ({"force_image_size": 448}, "force_image_size is not vision_config.image_size"),
        ({"vision_config": SMALL_VISION | {"num_attention_heads": 5}}, "not a multiple of num_attention_heads"),
        ({"vision_config": SMALL_VISION | LIKE_6B | {"layer_norm_eps": 1e-5}}, "norms queries and keys with 1e-06"),
        ({"vision_config": SMALL_VISION | {"num_hidden_layers": 10**9}}, "vision_config.num_hidden_layers"),
        ({"vision_config": SMALL_VISION | {"hidden_act": "silu"}}, "vision_config.hidden_act"),
        ({"llm_config": {"architectures": ["InternLM2ForCausalLM"]}}, "llm_config.architectures.0"),
        ({"llm_config": config()["llm_config"] | {"rope_scaling": {"type": "x"}}}, "llm_config.rope_scaling: "),
        ({"llm_config": config()["llm_config"] | {"vocab_size": 1000}}, "more tokens than the 1000 logits"),
    ],
)  # fmt: skip
def test_configs_of_other_models_are_refused(change: Content, cause: str, altered: Path, tmp_path: Path) -> None:
    rewrite(altered / "config.json", config() | change)
    refused(altered, tmp_path / "new", cause)


def without_safetensors(folder: Path) -> None:
    for path in folder.glob("*.safetensors"):
        path.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")


def with_a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "more.safetensors")


def with_a_damaged_file(folder: Path) -> None:
    (folder / "more.safetensors").write_bytes(b"\xff" * 64)


def with_a_tensor_in_two_files(folder: Path) -> None:
    save_file({"mlp1.0.bias": torch.ones(128)}, folder / "more.safetensors")


def without_the_image_token(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    rewrite(path, json.loads(path.read_text().replace("<IMG_CONTEXT>", "<OTHER>")))


def with_another_id(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    content = json.loads(path.read_bytes())
    content["added_tokens_decoder"]["2000"] = content["added_tokens_decoder"].pop(str(IMAGE))
    rewrite(path, content)


def without_a_vocabulary(folder: Path) -> None:
    (folder / "vocab.json").unlink()


def with_a_tokenizer_config_that_is_a_list(folder: Path) -> None:
    rewrite(folder / "tokenizer_config.json", [])


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (without_safetensors, "no *.safetensors, only pytorch_model.bin, a format that can hold code"),
        (with_a_pipe, "more.safetensors is not a regular file"),
        (with_a_damaged_file, "more.safetensors cannot be read"),
        (with_a_tensor_in_two_files, "both hold mlp1.0.bias"),
        (without_the_image_token, "does not know <IMG_CONTEXT>"),
        (with_another_id, "says that <quad> is token 1017, by the vocabulary it is 1016"),
        (without_a_vocabulary, "vocab"),
        (with_a_tokenizer_config_that_is_a_list, "tokenizer"),
    ],
)
def test_folders_that_lack_something_are_refused(
    change: Callable[[Path], None], cause: str, altered: Path, tmp_path: Path
) -> None:
    change(altered)
    refused(altered, tmp_path / "new", cause)


def test_only_a_folder_that_a_conversion_wrote_is_replaced(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "new")
    (tmp_path / "new/stale").touch()
    convert(source, tmp_path / "new")
    assert not (tmp_path / "new/stale").exists()
    (tmp_path / "new" / RECORD_NAME).unlink()
    with pytest.raises(EnvironmentProblem, match="was not written by this command"):
        convert(source, tmp_path / "new")
    with pytest.raises(EnvironmentProblem, match="lie within each other"):
        convert(source, source / "new")


def test_a_full_disk_is_noticed_before_anything_is_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mevlip_training.conversion.convert.free_bytes", lambda _: 1000)
    with pytest.raises(EnvironmentProblem, match=r"0\.0 GB would be written"):
        convert(source, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_command_says_what_it_wrote_and_refuses_in_one_line(source: Path, tmp_path: Path) -> None:
    done = call_mevlip("checkpoint", "convert", source, tmp_path / "new")
    assert done.exit_code == 0, done.output
    assert "converted, 73 tensors" in done.stdout
    again = call_mevlip("checkpoint", "convert", tmp_path / "new", tmp_path / "newer")
    assert isinstance(again.exception, CheckpointError)
    assert not (tmp_path / "newer").exists()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PLACES = [(key,) for key in config()] + [
    (part, key) for part in ("vision_config", "llm_config") for key in config()[part]
]


@given(st.sampled_from(PLACES), JSON)
def test_a_config_is_read_or_refused_whatever_it_holds(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[str, ...], value: object
) -> None:
    content = copy.deepcopy(config())
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(content))
    try:
        assert read_original(folder).architectures == ("InternVLChatModel",)
    except MevlipError as error:
        assert str(folder) in str(error)


@given(st.sets(st.tuples(st.integers(0, 99), st.sampled_from(sorted(InternVLChat(config()).state_dict()))), max_size=9))
def test_different_tensors_have_different_names(keys: set[tuple[int, str]]) -> None:
    renumbered = {name.replace(".layers.0.", f".layers.{layer}.") for layer, name in keys}
    made = [name for key in renumbered for name in new_names(key)]
    assert len(made) == len(set(made)) >= len(renumbered)
