"""Weights, settings and bases that are not those of training, in a checkpoint whose manifest was written anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.checkpoints import verification as module
from mevlip.checkpoints.adapter_config import lora_settings
from mevlip.checkpoints.checkpoint import open_checkpoint, read_checkpoint
from mevlip.checkpoints.fingerprints import QuantizedFrom, base_files, base_fingerprint, own_fingerprint
from mevlip.core.errors import CheckpointError
from tests.altered_checkpoints import seal
from tests.conftest import DEMO

WEIGHTS, CONFIG, ROUTE = "adapter_model.safetensors", "adapter_config.json", "route.json"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the demo checkpoint that may be altered."""
    return Path(shutil.copytree(DEMO, tmp_path / "copy"))


def change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes), "utf-8")


def swap(folder: Path) -> None:
    one, other = folder / "adapters/counting" / WEIGHTS, folder / "adapters/detection" / WEIGHTS
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


def duplicate(folder: Path) -> None:
    shutil.copyfile(folder / "adapters/detection" / WEIGHTS, folder / "adapters/counting" / WEIGHTS)


def flip_a_weight(folder: Path) -> None:
    path = folder / "adapters/counting" / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("alter", "adapter", "cause"),
    [
        (swap, "detection", "are those of 'counting'"),
        (duplicate, "counting", "are those of 'detection'"),
        (flip_a_weight, "counting", "are not those it was packed with"),
    ],
)
def test_weights_that_the_route_was_not_written_for_are_named(
    copy: Path, alter: Callable[[Path], None], adapter: str, cause: str
) -> None:
    alter(copy)
    seal(copy)
    with pytest.raises(CheckpointError, match=f"adapter '{adapter}': the weights in .*{WEIGHTS} {cause}"):
        open_checkpoint(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"lora_alpha": 32},
        {"r": 4},
        {"use_rslora": True},
        {"use_dora": True},
        {"bias": "all"},
        {"target_modules": ["o_proj"]},
        {"alpha_pattern": {"o_proj": 4}},
        {"rank_pattern": {"o_proj": 4}},
        {"layers_to_transform": [0]},
        {"fan_in_fan_out": True},
        {"init_lora_weights": "pissa"},
        {"a_setting_of_a_later_peft": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_setting_changed_after_training_is_named(copy: Path, changes: dict[str, Any]) -> None:
    change(copy / "adapters/counting" / CONFIG, **changes)
    seal(copy)
    with pytest.raises(CheckpointError, match=f"adapter 'counting': .*{CONFIG} was changed after"):
        open_checkpoint(copy)


def test_what_is_not_computed_by_may_change(copy: Path) -> None:
    path = copy / "adapters/counting" / CONFIG
    content = json.loads(path.read_bytes())
    content["target_modules"].reverse()
    content |= {"base_model_name_or_path": "elsewhere", "peft_version": "9", "use_something_new": False}
    path.write_text(json.dumps(content, indent=4), "utf-8")
    change(copy / "base/generation_config.json", temperature=2.0)
    seal(copy)
    assert open_checkpoint(copy).routes == open_checkpoint(DEMO).routes


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("config.json", "config"),
        ("tokenizer.json", "tokenizer"),
        ("preprocessor_config.json", "images"),
        ("model.safetensors", "weights"),
        ("model-00001-of-00002.safetensors", "weights"),
    ],
)
def test_another_base_than_that_of_training_is_named(copy: Path, file: str, part: str) -> None:
    with (copy / "base" / file).open("ab") as base:
        base.write(b" ")
    seal(copy)
    with pytest.raises(
        CheckpointError, match=f"adapter 'generalist': it was trained on another base .*: {part} of the base differ"
    ):
        open_checkpoint(copy)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_base_that_lacks_a_part_is_named(copy: Path, file: str) -> None:
    (copy / "base" / file).unlink()
    seal(copy)
    with pytest.raises(CheckpointError, match=r"The base model in .*copy/base has no (config|model\*)"):
        open_checkpoint(copy)


def test_an_adapter_without_weights_is_named(copy: Path) -> None:
    (copy / "adapters/counting" / WEIGHTS).unlink()
    seal(copy)
    with pytest.raises(CheckpointError, match=f"adapter 'counting': .*{WEIGHTS} is not listed"):
        open_checkpoint(copy)


@pytest.mark.parametrize("version", [2, 3])
def test_a_route_without_fingerprints_says_how_to_get_them(copy: Path, version: int) -> None:
    path = copy / "adapters/counting" / ROUTE
    content = json.loads(path.read_bytes())
    del content["base_fingerprint"], content["adapter_fingerprint"]
    path.write_text(json.dumps({**content, "version": version}), "utf-8")
    seal(copy)
    with pytest.raises(
        CheckpointError,
        match=rf"adapter 'counting'.*\(version {version}\)\. Assemble .*mevlip checkpoint assemble --base",
    ):
        open_checkpoint(copy)


def test_a_base_stored_in_four_bits_is_known_by_what_it_was_made_of(copy: Path) -> None:
    source = own_fingerprint(copy / "base", base_files(copy / "base"))
    (copy / "base/model.safetensors").write_bytes(b"the same in four bits")
    record = QuantizedFrom(source=source, stored=own_fingerprint(copy / "base", base_files(copy / "base")))
    (copy / "base/quantized_from.json").write_text(record.model_dump_json(), "utf-8")
    seal(copy)
    assert base_fingerprint(copy / "base", base_files(copy / "base")) == source
    assert open_checkpoint(copy).routes["counting"].base_fingerprint == source
    (copy / "base/model.safetensors").write_bytes(b"another one in four bits")
    seal(copy)
    with pytest.raises(CheckpointError, match=r"quantized_from\.json belongs to other files: weights differ"):
        open_checkpoint(copy)


def test_no_file_is_hashed_twice_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def count(path: Path, advance: object = None) -> str:
        hashed.append(path)
        return checksums[path.relative_to(DEMO).as_posix()]

    checksums = {name: record.sha256 for name, record in read_checkpoint(DEMO).manifest.files.items()}
    monkeypatch.setattr(module, "file_sha256", count)
    monkeypatch.setattr("mevlip.checkpoints.fingerprints.file_sha256", count)
    open_checkpoint(DEMO)
    assert sorted(hashed) == sorted(DEMO / name for name in checksums)


modules = st.lists(st.from_regex(r"[a-z_]{1,9}(\.[a-z_]{1,9})?", fullmatch=True), min_size=1, unique=True)


@given(modules, modules, st.integers(1, 99), st.integers(1, 99))
def test_settings_are_equal_exactly_where_adapters_compute_alike(
    tmp_path_factory: pytest.TempPathFactory, ours: list[str], theirs: list[str], alpha: int, other: int
) -> None:
    path = tmp_path_factory.getbasetemp() / CONFIG

    def read(**content: Any) -> dict[str, Any]:
        path.write_text(json.dumps(content), "utf-8")
        return lora_settings(path)

    one = read(target_modules=ours, lora_alpha=alpha, use_dora=False)
    assert one == read(lora_alpha=alpha, target_modules=ours[::-1], peft_version="1", rank_pattern={})
    same = (set(ours), alpha) == (set(theirs), other)
    assert (one == read(target_modules=theirs, lora_alpha=other)) is same
