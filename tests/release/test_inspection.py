"""Inspecting exported images, made by hand: unexpected files are found in any layer and secrets anywhere."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip_release.docker_client import InvalidImage
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


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def image(path: Path, *layers: dict[str, bytes], **config: Any) -> Inspection:
    """Writes an archive as `docker save` does, and reads it."""
    packed = list(map(pack, layers))
    steps = [{"created_by": f"step {index}"} for index in range(len(layers))]
    content = {
        "config": {"Labels": {"a": "b"}, "Env": []},
        "history": [*steps, {"created_by": "LABEL a=b", "empty_layer": True}],
        "rootfs": {"diff_ids": list(map(digest, packed))},
        **config,
    }
    names = [f"{index}/layer.tar" for index in range(len(layers))]
    described = json.dumps(content).encode()
    configuration = f"{digest(described)[7:]}.json"
    members = {configuration: described, **dict(zip(names, packed, strict=True))}
    described_image = {"Config": configuration, "RepoTags": ["team:latest"], "Layers": names}
    members["manifest.json"] = json.dumps([described_image]).encode()
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


LARGE = {"app/checkpoints/x/weights": bytes(range(256)) * 8192}


def test_an_archive_may_be_compressed_and_so_may_its_layers(tmp_path: Path) -> None:
    plain = image(tmp_path / "i.tar", {"a": b"1"}, LARGE)
    (tmp_path / "i.tar.gz").write_bytes(gzip.compress((tmp_path / "i.tar").read_bytes()))
    assert inspect_archive(tmp_path / "i.tar.gz") == plain
    with tarfile.open(tmp_path / "i.tar") as old:
        members = {entry.name: old.extractfile(entry).read() for entry in old}  # type: ignore[union-attr]
    members |= {name: gzip.compress(data) for name, data in members.items() if name.endswith("layer.tar")}
    (tmp_path / "l.tar").write_bytes(pack(dict(reversed(members.items()))))
    assert inspect_archive(tmp_path / "l.tar") == plain, "in any order, too"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("part", ["small layer", "large layer", "configuration"])
def test_a_flipped_byte_is_found_without_an_engine(tmp_path: Path, part: str, packed: bool) -> None:
    image(tmp_path / "i.tar", {"app/x": b"small layer"}, LARGE, author="configuration")
    data = bytearray((tmp_path / "i.tar").read_bytes())
    place = data.index({"large layer": bytes(range(256))}.get(part, part.encode()))
    data[place] ^= 1
    (tmp_path / "i.tar").write_bytes(gzip.compress(data) if packed else data)
    named = {"small layer": "layer 1 of 2", "large layer": "layer 2 of 2", "configuration": "the configuration"}[part]
    with pytest.raises(InvalidImage, match=f"i.tar: {named} is damaged: it is sha256:.*, listed is sha256:"):
        inspect_archive(tmp_path / "i.tar")


@given(place=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255), cut=st.booleans())
def test_whatever_is_damaged_is_named_or_does_not_matter(place: float, flipped: int, cut: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "i.tar")
        whole = image(path, {"a": b"1"}, {"b": b"2" * 700})
        data = bytearray(path.read_bytes())
        at = int(place * len(data))
        data[at] ^= flipped
        path.write_bytes(data[:at] if cut else data)
        try:
            found = inspect_archive(path)
        except InvalidImage as error:
            assert str(path) in str(error)
        else:
            assert found == whole


@pytest.mark.parametrize(
    "config",
    [
        {"config": []},
        {"config": {"Labels": {"a": 1}}},
        {"history": ["x"]},
        {"rootfs": {"diff_ids": [1]}},
        {"rootfs": []},
    ],
    ids=["settings", "label", "step", "digest", "no layers"],
)
def test_a_configuration_that_no_engine_writes_is_named(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(InvalidImage, match="is not a whole image archive"):
        image(tmp_path / "i.tar", {"a": b"1"}, **config)


def test_more_build_steps_than_layers_are_no_fault(tmp_path: Path) -> None:
    squashed = image(tmp_path / "i.tar", {"a": b"1"}, history=[{"created_by": "one"}, {"created_by": "two"}])
    assert [layer.step for layer in squashed.layers] == ["two"]
    assert image(tmp_path / "j.tar", {"a": b"1"}, history=None).layers[0].step == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", gzip.compress(b""), pack({"a": b""}), pack({"manifest.json": b"[]"})],
    ids=["nothing", "no archive", "nothing packed", "no manifest", "empty manifest"],
)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "i.tar").write_bytes(content)
    with pytest.raises(InvalidImage, match=r"i\.tar is not a whole image archive"):
        inspect_archive(tmp_path / "i.tar")


def test_a_layer_that_links_to_an_identical_one_is_followed(tmp_path: Path) -> None:
    image(tmp_path / "i.tar", {"a": b"1"}, {"a": b"1"})
    with tarfile.open(tmp_path / "i.tar") as old, tarfile.open(tmp_path / "l.tar", "w") as new:
        for entry in old:
            if entry.name == "1/layer.tar":
                entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, "../0/layer.tar", 0
            new.addfile(entry, old.extractfile(entry) if entry.isfile() else None)
    assert [one.files for one in inspect_archive(tmp_path / "l.tar").layers] == [("a",), ("a",)]
