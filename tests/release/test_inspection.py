"""Inspecting exported images, made by hand: unexpected files are found in any layer and secrets anywhere."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from mevlip_release.inspection import Inspection, inspect_archive

TOKEN = "hf_" + "x9Y8" * 9


def pack(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def image(path: Path, *layers: dict[str, bytes], **config: Any) -> Inspection:
    """Writes an archive as `docker save` does, and reads it."""
    steps = [{"created_by": f"step {index}"} for index in range(len(layers))]
    content = {
        "config": {"Labels": {"a": "b"}, "Env": []},
        "history": [*steps, {"created_by": "LABEL a=b", "empty_layer": True}],
        "rootfs": {"diff_ids": [f"sha256:{index}" for index in range(len(layers))]},
        **config,
    }
    names = [f"{index}/layer.tar" for index in range(len(layers))]
    members = {"config.json": json.dumps(content).encode()}
    members |= {name: pack(layer) for name, layer in zip(names, layers, strict=True)}
    members["manifest.json"] = json.dumps([{"Config": "config.json", "Layers": names}]).encode()
    path.write_bytes(pack(members))
    return inspect_archive(path)


def kinds(path: Path, name: str, data: bytes = b"") -> set[str]:
    return {found.kind for found in image(path / "i.tar", {name: data}).unexpected}


def test_layers_sizes_and_steps_are_reported(tmp_path: Path) -> None:
    found = image(tmp_path / "i.tar", {"etc/x": b"12345"}, {"app/submission/a.py": b"1", "app/predict.sh": b"22"})
    assert [(one.size, one.step) for one in found.layers] == [(5, "step 0"), (3, "step 1")]
    assert found.labels == {"a": "b"} and found.unexpected == ()
    assert found.rows() == [("0.0", "1", "step 0"), ("0.0", "2", "step 1")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("app/notes.ipynb", "notebook"),
        ("app/submission/tests/test_x.py", "tests"),
        ("opt/venv/lib/python3.11/site-packages/numpy/tests/x.py", "tests"),
        ("app/.git/config", "version control"),
        ("root/.cache/pip/x", "cache"),
        ("tmp/left", "cache"),
        ("app/submission/__pycache__/a.pyc", "cache"),
        ("usr/bin/gcc-12", "compiler"),
        ("usr/lib/gcc/x86_64-linux-gnu/12/cc1plus", "compiler"),
        ("usr/local/cuda/bin/nvcc", "compiler"),
        ("root/.netrc", "credentials"),
        ("root/.cache/huggingface/token", "credentials"),
        ("app/Dockerfile", "build context"),
        ("app/tests/x.py", "build context"),
        ("app/checkpoints/x/base/pytorch_model.bin", "code in weights"),
    ],
)
def test_unexpected_files_are_found(tmp_path: Path, name: str, kind: str) -> None:
    assert kind in kinds(tmp_path, name)
    assert kind in kinds(tmp_path, f"./{name}"), "as engines write the names of a base image"


@pytest.mark.parametrize(
    "name",
    [
        "app/predict.sh",
        "app/checkpoints/demo/base/model.safetensors",
        "opt/venv/lib/python3.11/site-packages/torch/nn/test/x.py",
        "usr/lib/python3.11/test/support.py",
        "usr/share/python-wheels/pip.whl",
        "usr/share/doc/gcc-12-base/copyright",
    ],
)
def test_expected_files_are_not_reported(tmp_path: Path, name: str) -> None:
    assert kinds(tmp_path, name) == set()


@pytest.mark.parametrize("secret", [TOKEN, "ghp_" + "a1" * 18, "AKIA" + "A1" * 8, "-----BEGIN RSA PRIVATE KEY-----"])
def test_secrets_are_found_in_files_and_in_the_configuration(tmp_path: Path, secret: str) -> None:
    assert "secret in a file" in kinds(tmp_path, "etc/profile.d/x.sh", f"export T={secret}\n".encode())
    configured = image(tmp_path / "j.tar", {}, config={"Env": [f"TOKEN={secret}"]})
    assert [(one.kind, one.where) for one in configured.unexpected] == [("secret in the configuration", "config")]
    built = image(tmp_path / "k.tar", {}, history=[{"created_by": f"RUN curl -H {secret}"}])
    assert [one.where for one in built.unexpected] == ["history"]


def test_a_layer_that_links_to_an_identical_one_is_followed(tmp_path: Path) -> None:
    image(tmp_path / "i.tar", {"a": b"1"}, {"a": b"1"})
    with tarfile.open(tmp_path / "i.tar") as old, tarfile.open(tmp_path / "l.tar", "w") as new:
        for entry in old:
            if entry.name == "1/layer.tar":
                entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, "../0/layer.tar", 0
            new.addfile(entry, old.extractfile(entry) if entry.isfile() else None)
    assert [one.files for one in inspect_archive(tmp_path / "l.tar").layers] == [("a",), ("a",)]
