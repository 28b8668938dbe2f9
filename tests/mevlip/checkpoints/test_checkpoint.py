from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mevlip.checkpoints.checkpoint import (
    MANIFEST_NAME,
    BaseModelRecord,
    find_checkpoint,
    open_checkpoint,
    read_manifest,
    write_manifest,
)
from mevlip.checkpoints.routes import ROUTE_NAME, Route, read_route
from mevlip.core.errors import CheckpointError
from mevlip.tasks import TASKS, TaskType, adapter_names
from tests.conftest import DEMO


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the demo checkpoint that may be damaged."""
    return Path(shutil.copytree(DEMO, tmp_path / "copy"))


def test_the_demo_opens_and_says_what_it_is() -> None:
    hashed: list[int] = []
    checkpoint = open_checkpoint(DEMO, hashed.append)
    assert checkpoint.manifest.kind == "demo"
    assert "not medical" in checkpoint.manifest.notice
    assert tuple(checkpoint.routes) == adapter_names()
    assert sum(hashed) == sum(record.size for record in checkpoint.manifest.files.values()) < 15e6


def drop(folder: Path) -> None:
    (folder / "adapters/detection/adapter_model.safetensors").unlink()


def flip(folder: Path) -> None:
    path = folder / "adapters/detection/adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def grow(folder: Path) -> None:
    with (folder / "adapters/detection/adapter_model.safetensors").open("ab") as file:
        file.write(b"x")


def add(folder: Path) -> None:
    (folder / "adapters/detection/more.safetensors").touch()


def add_pickle(folder: Path) -> None:
    (folder / "adapters/detection/adapter_model.bin").touch()


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (drop, "adapter 'detection': .* is missing"),
        (flip, "adapter 'detection': .* fails its checksum"),
        (grow, "adapter 'detection': .* bytes instead of"),
        (add, "adapter 'detection': .* is not listed"),
        (add_pickle, "adapter 'detection': .* can run code"),
    ],
)
def test_any_altered_file_is_named(copy: Path, damage: Callable[[Path], None], cause: str) -> None:
    damage(copy)
    with pytest.raises(CheckpointError, match=cause):
        open_checkpoint(copy)


def test_a_file_that_cannot_be_read_is_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, advance: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mevlip.checkpoints.verification.file_sha256", refuse)
    with pytest.raises(CheckpointError, match=r"cannot be read \(Permission denied\)"):
        open_checkpoint(copy)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd"])
def test_a_manifest_cannot_point_outside(copy: Path, name: str) -> None:
    path = copy / MANIFEST_NAME
    content = json.loads(path.read_text())
    content["files"][name] = {"size": 1, "sha256": "0" * 64}
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="outside the folder"):
        open_checkpoint(copy)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"name": 3}'])
def test_a_broken_manifest_is_named(copy: Path, content: str) -> None:
    (copy / MANIFEST_NAME).write_text(content)
    with pytest.raises(CheckpointError, match="not a valid manifest"):
        read_manifest(copy)


def rewrite_route(folder: Path, owner: str, changes: dict[str, object]) -> None:
    path = folder / "adapters" / owner / ROUTE_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    base = read_manifest(folder)[0].base
    write_manifest(folder, name="copy", kind="demo", notice="", base=base)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"base_revision": "other"}, "was trained on"),
        ({"surprise": 1}, "not a valid route .surprise"),
        ({"max_new_tokens": {}}, "covers exactly"),
        ({"adapter": "detection", "max_new_tokens": {"detection": 5}}, "belongs to 'detection'"),
        ({"quantization": {"kind": "nf4", "double": False}}, "different quantization"),
        ({"compose": ["detection", "elsewhere"]}, "composes it with 'elsewhere', which is not in the checkpoint"),
        ({"compose": ["counting"]}, "compose names other adapters, each once"),
        ({"compose": ["detection", "detection"]}, "compose names other adapters, each once"),
        ({"mix": {"adapter": "elsewhere"}}, "mixes it with 'elsewhere', which is not in the checkpoint"),
        ({"mix": {"adapter": "counting"}}, "mix names another adapter"),
        ({"mix": {"least": 1, "most": 0}}, "least must not be greater than most"),
        ({"mix": {"gamma": -1}}, "mix.gamma"),
        ({"mix": {}, "compose": ["detection"]}, "composed with others or mixed with one, not both"),
        ({"prompt": {"template": "no place"}}, "exactly once"),
        ({"prompt": {"image_mark": "Image "}}, "image_mark holds .number. exactly once"),
    ],
)
def test_a_route_that_does_not_fit_is_named(copy: Path, changes: dict[str, object], cause: str) -> None:
    rewrite_route(copy, "counting", changes)
    with pytest.raises(CheckpointError, match=cause):
        open_checkpoint(copy)


def test_a_manifest_lists_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "a.txt").write_text("hello")
    (tmp_path / "base" / "a.txt").chmod(0o600)
    (tmp_path / ".hidden").touch()
    manifest = write_manifest(
        tmp_path, name="x", kind="medical", notice="", base=BaseModelRecord(name="b", revision="r")
    )
    assert list(manifest.files) == ["base/a.txt"]
    assert (tmp_path / "base" / "a.txt").stat().st_mode & 0o777 == 0o644, "whoever runs the container can read it"
    assert read_manifest(tmp_path)[0] == manifest


def test_a_route_survives_its_file(tmp_path: Path) -> None:
    folder = tmp_path / "regression"
    folder.mkdir()
    route = Route(
        adapter="regression",
        base_model="b",
        base_revision="r",
        max_new_tokens={TaskType.REGRESSION: 9},
        box_space="pixel",
    )
    (folder / ROUTE_NAME).write_text(route.model_dump_json())
    assert read_route(folder) == route


def test_the_generalists_route_covers_every_task() -> None:
    with pytest.raises(ValueError, match="covers exactly"):
        Route(adapter="generalist", base_model="b", base_revision="r", max_new_tokens={TaskType.COUNTING: 1})
    budgets = dict.fromkeys(TASKS, 5)
    assert (
        Route(adapter="generalist", base_model="b", base_revision="r", max_new_tokens=budgets).max_new_tokens == budgets
    )


def test_the_checkpoint_is_chosen_by_name_folder_or_default(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("demo") == DEMO
    assert find_checkpoint(str(copy)) == copy
    assert find_checkpoint(None) == DEMO, "found beside the package from any folder"
    shutil.copytree(copy, tmp_path / "checkpoints" / "me-vlip")
    assert find_checkpoint(None) == tmp_path / "checkpoints" / "me-vlip", "the medical one comes first"
    with pytest.raises(CheckpointError, match="No checkpoint 'nowhere'"):
        find_checkpoint("nowhere")
