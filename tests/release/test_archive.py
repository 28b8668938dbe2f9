"""Saving an image with a fake Docker client; `test_on_an_engine` does the same on a real engine."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from mevlip.checkpoints.checkpoint import open_checkpoint
from mevlip.core.errors import EnvironmentProblem
from mevlip_release.archive import save_image
from mevlip_release.docker_client import InvalidImage
from mevlip_release.smoke_test import CaseResult
from tests.conftest import DEMO
from tests.release.fake_docker_client import FakeDockerClient
from tests.release.test_inspection import digest, image, pack

RESULT = CaseResult("official command", "", 0, 1.5, 400, ("wrote",), 3)
CHECKPOINT = open_checkpoint(DEMO)
WHOLE = {
    f"app/checkpoints/demo/{path.relative_to(DEMO).as_posix()}": path.read_bytes()
    for path in (DEMO / "manifest.json", *DEMO.glob("adapters/*/route.json"))
} | {"app/predict.sh": b"exec true"}
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
    assert names == ["SHA256SUMS", "manifest.json", "sbom.cyclonedx.json", "team.tar.gz"]
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out", check=True)
    packed = (tmp_path / "out/team.tar.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "image.tar").read_bytes()
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["version"] == 2
    assert manifest["archive"]["sha256"] == hashlib.sha256(packed).hexdigest()
    assert manifest["checkpoint"]["base"] == CHECKPOINT.manifest.base.model_dump()
    assert manifest["checkpoint"]["files"].keys() == CHECKPOINT.manifest.files.keys()
    assert set(manifest["checkpoint"]["routes"]) == set(CHECKPOINT.routes)
    assert manifest["tests"][0]["seconds"] == 1.5 and manifest["tools"]["engine"] == "fake 1.2"
    assert manifest["code"] == {"version": "unknown", "revision": "unknown", "lock_sha256": "unknown"}, "no such labels"
    assert manifest["checkpoint"]["manifest_sha256"] == CHECKPOINT.digest
    [layer] = manifest["image"]["layers"]
    assert layer == {"digest": digest(pack(WHOLE)), "size": sum(map(len, WHOLE.values())), "step": "step 0"}


def test_archive_and_sbom_are_reproducible(tmp_path: Path) -> None:
    client = docker_client(tmp_path, WHOLE)
    for name in ("one", "two"):
        save(client, tmp_path / name)
    for file in ("team.tar.gz", "sbom.cyclonedx.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_unexpected_files_a_large_archive_and_a_different_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match=r"contains 1 unexpected file, e.g. notebook app/submission/x.ipynb"):
        save(docker_client(tmp_path, {"app/submission/x.ipynb": b""}), tmp_path / "unexpected")
    with pytest.raises(InvalidImage, match="team:latest does not contain a checkpoint"):
        save(docker_client(tmp_path, {"app/predict.sh": b"x"}), tmp_path / "empty")
    client = docker_client(tmp_path, WHOLE)
    with pytest.raises(InvalidImage, match="the limit is 10"):
        save(client, tmp_path / "large", max_bytes=10)
    client.loads = ["sha256:1", "sha256:2"]
    with pytest.raises(InvalidImage, match="contains 2 images"):
        save(client, tmp_path / "two")
    client.loads = ["sha256:2"]
    with pytest.raises(InvalidImage, match="loads as a different image"):
        save(client, tmp_path / "other")
    assert not [path for name in ("unexpected", "empty", "large") for path in (tmp_path / name).iterdir()]


def test_invalid_names_and_unwritable_folders_are_reported(tmp_path: Path) -> None:
    client = docker_client(tmp_path, WHOLE)
    with pytest.raises(EnvironmentProblem, match="Invalid image name 'Team'"):
        save(client, tmp_path, team="Team")
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="file cannot be written"):
        save(client, tmp_path / "file")
