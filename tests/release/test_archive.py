"""Saving an image with a fake Docker client; `test_on_an_engine` does the same on a real engine."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from mevlip.checkpoints.checkpoint import open_checkpoint
from mevlip.core.errors import EnvironmentProblem
from mevlip_release.archive import save_image
from mevlip_release.docker_client import InvalidImage, NoEngine, load_archive
from mevlip_release.smoke_test import CaseResult
from tests.conftest import DEMO
from tests.release.fake_docker_client import FakeDockerClient
from tests.release.small_image import CHECKPOINT, CODE
from tests.release.test_inspection import digest, image, pack

RESULT = CaseResult("official command", "", 0, 1.5, 400, ("wrote",), 3)
WHOLE = CHECKPOINT | CODE
"""The part of an image that the release files describe."""


def docker_client(tmp_path: Path, *layers: dict[str, bytes]) -> FakeDockerClient:
    image(tmp_path / "image.tar", *layers, created="2026-01-02T03:04:05.678Z")
    return FakeDockerClient(archive=(tmp_path / "image.tar").read_bytes())


def save(client: FakeDockerClient, out: Path, max_bytes: int | None = None, team: str = "team") -> None:
    save_image(client, team, out, [RESULT], max_bytes, quiet=True)  # type: ignore[arg-type]


def test_archive_and_release_files_are_written(tmp_path: Path) -> None:
    client = docker_client(tmp_path, WHOLE)
    save(client, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["SHA256SUMS", "manifest.json", "provenance.intoto.json", "sbom.cyclonedx.json", "team.tar.gz"]
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out", check=True)
    packed = (tmp_path / "out/team.tar.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "image.tar").read_bytes()
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["version"] == 2
    assert manifest["archive"]["sha256"] == hashlib.sha256(packed).hexdigest()
    listed = json.loads(WHOLE["app/checkpoints/demo/manifest.json"])
    assert manifest["checkpoint"]["base"] == listed["base"]
    assert manifest["checkpoint"]["files"].keys() == listed["files"].keys()
    assert manifest["checkpoint"]["routes"].keys() == open_checkpoint(DEMO).routes.keys()
    assert manifest["tests"][0]["seconds"] == 1.5 and manifest["tools"]["engine"] == "fake 1.2"
    assert manifest["code"] == {"version": "unknown", "revision": "unknown", "lock_sha256": "unknown"}, "no such labels"
    digests = {name: digest(content)[7:] for name, content in WHOLE.items()}
    assert manifest["checkpoint"]["manifest_sha256"] == digests["app/checkpoints/demo/manifest.json"]
    [layer] = manifest["image"]["layers"]
    assert layer == {"digest": digest(pack(WHOLE)), "size": sum(map(len, WHOLE.values())), "step": "step 0"}


def test_archive_and_sbom_are_reproducible(tmp_path: Path) -> None:
    client = docker_client(tmp_path, WHOLE)
    for name in ("one", "two"):
        save(client, tmp_path / name)
    for file in ("team.tar.gz", "sbom.cyclonedx.json", "provenance.intoto.json", "SHA256SUMS"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_unexpected_files_and_a_large_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match=r"contains 1 unexpected file, e.g. notebook app/submission/x.ipynb"):
        save(docker_client(tmp_path, {"app/submission/x.ipynb": b""}), tmp_path / "unexpected")
    with pytest.raises(InvalidImage, match="team:latest does not contain a checkpoint"):
        save(docker_client(tmp_path, {"app/predict.sh": b"x"}), tmp_path / "empty")
    client = docker_client(tmp_path, WHOLE)
    with pytest.raises(InvalidImage, match="the limit is 10"):
        save(client, tmp_path / "large", max_bytes=10)
    assert not [path for name in ("unexpected", "empty", "large") for path in (tmp_path / name).iterdir()]


def test_an_archive_that_the_engine_wrote_damaged_is_not_kept(tmp_path: Path) -> None:
    client = docker_client(tmp_path, WHOLE)
    damaged = client.image.content.replace(b"exec true", b"exec tru3")
    client.image.content = damaged
    with pytest.raises(InvalidImage, match="layer 1 of 1 is damaged"):
        save(client, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_engine_that_stops_answering_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = docker_client(tmp_path, WHOLE)

    def stop(**_: object) -> Iterator[bytes]:
        yield client.image.content[:600]
        raise requests.ConnectionError("connection reset by peer")

    monkeypatch.setattr(client.image, "save", stop)
    with pytest.raises(NoEngine, match=r"stopped answering \(connection reset by peer\)"):
        save(client, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_disk_without_room_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = docker_client(tmp_path, WHOLE)
    client.image.attrs["Size"] = 16 * 10**9
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    with pytest.raises(EnvironmentProblem, match=r"out has 1\.0 GB free; the archive takes 4\.8 GB or more"):
        save(client, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_only_an_archive_of_one_image_is_loaded(tmp_path: Path) -> None:
    client = FakeDockerClient()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(b"fake"))
    assert load_archive(client, tmp_path / "a.tar.gz").id == "sha256:1"  # type: ignore[arg-type]
    client.loads = ["sha256:1", "sha256:2"]
    with pytest.raises(InvalidImage, match="contains 2 images"):
        load_archive(client, tmp_path / "a.tar.gz")  # type: ignore[arg-type]


def test_invalid_names_and_unwritable_folders_are_reported(tmp_path: Path) -> None:
    client = docker_client(tmp_path, WHOLE)
    with pytest.raises(EnvironmentProblem, match="Invalid image name 'Team'"):
        save(client, tmp_path, team="Team")
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="team.tar.gz cannot be written"):
        save(client, tmp_path / "file")
