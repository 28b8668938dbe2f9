from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import requests

from mevlip.core.errors import CheckpointError, EnvironmentProblem
from mevlip_release import build
from mevlip_release.build import CUDA, build_image, lock_sha256, revision
from mevlip_release.docker_client import InvalidImage, NoEngine
from tests.conftest import DEMO, ROOT


class FakeBuilder:
    """A Docker client with the part of the interface that a build needs; keeps what it was sent."""

    def __init__(self, *answers: dict[str, str]) -> None:
        self.answers = answers or ({"stream": "Step 1/1 : FROM x"}, {"stream": "Successfully built 1"})
        self.api = self
        self.images = self
        self.sent: list[bytes] = []
        self.options: dict[str, Any] = {}
        self.id, self.attrs = "sha256:1", {"Size": 7, "RepoDigests": ["python@sha256:abc"]}

    def get(self, tag: str) -> FakeBuilder:
        return self

    def build(self, fileobj: Any, **options: Any) -> Iterator[dict[str, str]]:
        self.sent.append(fileobj.read())
        self.options = options
        return iter(self.answers)


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getnames()


def test_the_context_holds_what_the_dockerfile_copies_and_nothing_else() -> None:
    engine = FakeBuilder()
    built = build_image(engine, "team:latest", DEMO, quiet=True)  # type: ignore[arg-type]
    found = names(engine.sent[0])
    tops = {name.split("/")[0] for name in found}
    assert tops == {"Dockerfile", "pyproject.toml", "constraints", "predict.sh", "submission", "checkpoints"}
    assert not [name for name in found if "__pycache__" in name or name.endswith(".pyc")]
    assert (built.id, built.size) == ("sha256:1", 7)
    listed = json.loads((DEMO / "manifest.json").read_text())["files"]
    sent = {name.removeprefix("checkpoints/demo/") for name in found if name.startswith("checkpoints/")}
    assert sent == {*listed, "manifest.json"}


def test_equal_files_make_equal_contexts() -> None:
    engine = FakeBuilder()
    for _ in range(2):
        build_image(engine, "team:latest", DEMO, quiet=True)  # type: ignore[arg-type]
    assert engine.sent[0] == engine.sent[1]
    with tarfile.open(fileobj=io.BytesIO(engine.sent[0])) as tar:
        assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in tar} == {(0, 0, "", 315_532_800)}
        assert tar.getmember("predict.sh").mode == 0o755


def test_the_build_arguments_carry_what_the_labels_record() -> None:
    engine = FakeBuilder()
    build_image(engine, "t:latest", DEMO, "base:1", "cuda12", {"PIP_NO_INDEX": "1"}, "host", True, False)  # type: ignore[arg-type]
    arguments = engine.options["buildargs"]
    assert arguments | {"REVISION": ""} == {
        "BASE_IMAGE": "base:1", "BASE_DIGEST": "sha256:abc", "CHECKPOINT": "demo", "VERSION": build.__version__,
        "REVISION": "", "PIP_NO_INDEX": "1", "LOCK": lock_sha256("cuda12"),
        "CUDA": "cuda12", "REQUIRE_CUDA": "cuda>=12.0", "DRIVER": "525",
    }  # fmt: skip
    assert len(revision().removesuffix("-dirty")) == 40
    assert (engine.options["network_mode"], engine.options["nocache"]) == ("host", True)


def test_a_failed_step_is_reported_briefly() -> None:
    line = {"stream": "gcc: not found"}
    failed = {"error": f"The command '/bin/sh -c {'pip install x && ' * 30}' returned a non-zero code: 1"}
    with pytest.raises(InvalidImage, match="returned a non-zero code: 1") as caught:
        build_image(FakeBuilder(line, failed), "team:latest", DEMO, quiet=True)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300


def test_an_invalid_tag_and_an_engine_that_stops_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(error: Exception) -> FakeBuilder:
        def build(fileobj: Any, **_: Any) -> Iterator[dict[str, str]]:
            raise error

        builder = FakeBuilder()
        monkeypatch.setattr(builder, "build", build)
        return builder

    response = requests.Response()
    response.status_code = 400
    invalid = docker.errors.APIError("bad", response=response, explanation="invalid reference format")
    with pytest.raises(InvalidImage, match=r"refuses to build 'BAD TAG' \(invalid reference format\)"):
        build_image(refuse(invalid), "BAD TAG", DEMO, quiet=True)  # type: ignore[arg-type]
    with pytest.raises(NoEngine, match="stopped answering"):
        build_image(refuse(requests.ConnectionError("gone")), "a:b", DEMO, quiet=True)  # type: ignore[arg-type]


def test_an_incomplete_checkpoint_is_never_sent(tmp_path: Path) -> None:
    engine = FakeBuilder()
    with pytest.raises(CheckpointError):
        build_image(engine, "team:latest", tmp_path, quiet=True)  # type: ignore[arg-type]
    assert not engine.sent


def test_a_file_that_vanishes_on_the_way_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "_context", lambda checkpoint: iter([("a", ROOT / "LICENSE"), ("b", tmp_path / "gone")]))
    monkeypatch.setattr(build, "_size", lambda files: 1)
    with pytest.raises(EnvironmentProblem, match="gone cannot be read"):
        build_image(FakeBuilder(), "team:latest", DEMO, quiet=True)  # type: ignore[arg-type]


def test_the_labels_version_of_the_schema_is_the_schemas_own() -> None:
    schema = json.loads((ROOT / "submission/mevlip/flare/predictions.schema.json").read_text())
    version = schema["$id"].rpartition(":")[2]
    assert f'org.me-vlip.predictions-schema="{version}"' in (ROOT / "Dockerfile").read_text()


def test_the_image_is_built_with_the_torch_that_the_tests_run_with_by_default() -> None:
    def torch_of(name: str) -> list[str]:
        lines = (ROOT / f"constraints/{name}.txt").read_text().splitlines()
        return [line for line in lines if line.startswith("torch==")]

    assert torch_of("predict") == torch_of("cuda13") != torch_of("cuda12")
    assert len(torch_of("cuda12")) == 1 and lock_sha256("cuda12") != lock_sha256("cuda13")
    dockerfile = (ROOT / "Dockerfile").read_text()
    required, driver = CUDA["cuda13"]
    assert "ARG CUDA=cuda13" in dockerfile and f"ARG REQUIRE_CUDA={required}\n" in dockerfile
    assert f"ARG DRIVER={driver}\n" in dockerfile, "plain docker build makes the same"
