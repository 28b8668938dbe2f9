"""The SBOM of an image on a fake Docker client; `test_on_an_engine` does the same on a real engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mevlip_release.docker_client import InvalidImage
from mevlip_release.sbom import generate_sbom
from tests.release.fake_docker_client import FakeDockerClient

CONFIG = {"created": "2026-01-02T03:04:05.678Z", "rootfs": {"diff_ids": ["sha256:0"]}}


def sbom(client: Any, config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(generate_sbom(client, "team:latest", config))
    return found


def test_python_and_debian_packages_are_listed() -> None:
    content = sbom(FakeDockerClient(), CONFIG)
    assert [(one["name"], one["purl"]) for one in content["components"]] == [
        ("libc6", "pkg:deb/debian/libc6@2.36"), ("torch", "pkg:pypi/torch@2"),
    ]  # fmt: skip


def test_serial_number_and_timestamp_are_derived_from_the_image() -> None:
    content = sbom(FakeDockerClient(), CONFIG)
    assert content["metadata"]["timestamp"].startswith("2026-01-02T03:04:05")
    assert content == sbom(FakeDockerClient(), CONFIG)
    other = sbom(FakeDockerClient(), CONFIG | {"rootfs": {"diff_ids": ["sha256:1"]}})
    assert other["serialNumber"] != content["serialNumber"]


def test_an_image_that_cannot_list_its_packages_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeDockerClient()
    monkeypatch.setattr(client, "run", lambda *arguments, **options: b"python: not found")
    with pytest.raises(InvalidImage, match="Cannot list the packages of team:latest"):
        sbom(client, CONFIG)
