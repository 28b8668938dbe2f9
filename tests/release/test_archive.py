"""Saving an image, on a fake engine; `test_on_an_engine` does the same on a real one."""

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
from mevlip_release.engine import ImageFault
from mevlip_release.trial import Outcome
from tests.conftest import DEMO
from tests.release.fake_engine import FakeEngine
from tests.release.test_contents import image

OUTCOME = Outcome("organizers' line", "", 0, 1.5, 400, ("wrote",), 3)


CHECKPOINT = open_checkpoint(DEMO)
WHOLE = {
    f"app/checkpoints/demo/{path.relative_to(DEMO).as_posix()}": path.read_bytes()
    for path in (DEMO / "manifest.json", *DEMO.glob("adapters/*/route.json"))
} | {"app/predict.sh": b"exec true"}
"""As much of an image as the papers tell of."""


def engine(tmp_path: Path, *layers: dict[str, bytes]) -> FakeEngine:
    image(tmp_path / "image.tar", *layers, created="2026-01-02T03:04:05.678Z")
    return FakeEngine(archive=(tmp_path / "image.tar").read_bytes())


def save(found: FakeEngine, out: Path, most: int | None = None, team: str = "team") -> None:
    save_image(found, team, out, [OUTCOME], most, quiet=True)  # type: ignore[arg-type]


def test_archive_and_papers_are_written(tmp_path: Path) -> None:
    found = engine(tmp_path, WHOLE)
    save(found, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["SHA256SUMS", "manifest.json", "sbom.cyclonedx.json", "team.tar.gz"]
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "out", check=True)
    packed = (tmp_path / "out/team.tar.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "image.tar").read_bytes()
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["archive"]["sha256"] == hashlib.sha256(packed).hexdigest()
    assert manifest["checkpoint"]["base"] == CHECKPOINT.manifest.base.model_dump()
    assert manifest["checkpoint"]["files"].keys() == CHECKPOINT.manifest.files.keys()
    assert set(manifest["checkpoint"]["routes"]) == set(CHECKPOINT.routes)
    assert manifest["tests"][0]["seconds"] == 1.5 and manifest["tools"]["engine"] == "fake 1.2"
    assert manifest["code"] == {"version": "unknown", "revision": "unknown", "lock_sha256": "unknown"}, "no such labels"
    assert manifest["checkpoint"]["manifest_sha256"] == CHECKPOINT.digest
    [layer] = manifest["image"]["layers"]
    assert layer == {"digest": "sha256:0", "size": sum(map(len, WHOLE.values())), "step": "step 0"}


def test_one_image_makes_one_archive_and_one_bill(tmp_path: Path) -> None:
    found = engine(tmp_path, WHOLE)
    for name in ("one", "two"):
        save(found, tmp_path / name)
    for file in ("team.tar.gz", "sbom.cyclonedx.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    bill = json.loads((tmp_path / "one/sbom.cyclonedx.json").read_text())
    assert [(one["name"], one["purl"]) for one in bill["components"]] == [
        ("libc6", "pkg:deb/debian/libc6@2.36"), ("torch", "pkg:pypi/torch@2"),
    ]  # fmt: skip
    assert bill["metadata"]["timestamp"].startswith("2026-01-02T03:04:05")


def test_junk_a_large_archive_and_another_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ImageFault, match=r"1 things that have no place in it, first a notebook: app/submission/x.ipynb"
    ):
        save(engine(tmp_path, {"app/submission/x.ipynb": b""}), tmp_path / "junk")
    with pytest.raises(ImageFault, match="team:latest holds no checkpoint"):
        save(engine(tmp_path, {"app/predict.sh": b"x"}), tmp_path / "empty")
    found = engine(tmp_path, WHOLE)
    with pytest.raises(ImageFault, match="10 are allowed"):
        save(found, tmp_path / "large", most=10)
    found.loads = ["sha256:1", "sha256:2"]
    with pytest.raises(ImageFault, match="holds 2 images"):
        save(found, tmp_path / "two")
    found.loads = ["sha256:2"]
    with pytest.raises(ImageFault, match="loads as another image"):
        save(found, tmp_path / "other")
    assert not [path for name in ("junk", "empty", "large") for path in (tmp_path / name).iterdir()]


def test_names_and_places_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    found = engine(tmp_path, WHOLE)
    with pytest.raises(EnvironmentProblem, match="'Team' is no name"):
        save(found, tmp_path, team="Team")
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="file cannot be written"):
        save(found, tmp_path / "file")
