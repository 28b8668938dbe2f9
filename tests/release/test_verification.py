"""Verifying a release that was received: whatever was altered on the way is named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip_release.archive import save_image
from mevlip_release.docker_client import InvalidImage
from mevlip_release.rehearsal import Check
from mevlip_release.smoke_test import CaseResult
from mevlip_release.verification import require_passed, verify_release
from tests.conftest import run_mevlip
from tests.release.fake_docker_client import FakeDockerClient
from tests.release.small_image import CHECKPOINT, CONFIG, LABELS, LAYERS
from tests.release.test_archive import RESULT
from tests.release.test_inspection import digest, image
from tests.release.test_signature import PUBLIC, sign

DERIVED = ("manifest.json", "sbom.cyclonedx.json", "provenance.intoto.json")
ALL = ("team.tar.gz", *DERIVED, "SHA256SUMS")


def make_release(
    out: Path, *layers: dict[str, bytes], results: tuple[CaseResult, ...] = (RESULT,), **config: Any
) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        image(Path(folder, "i.tar"), *layers, **config)
        client = FakeDockerClient(archive=Path(folder, "i.tar").read_bytes())
    save_image(client, "team", out, results, quiet=True)  # type: ignore[arg-type]
    return out


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_release(tmp_path_factory.mktemp("release") / "dist", *LAYERS, **CONFIG)


@pytest.fixture
def copy(release: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(release, tmp_path / "dist"))


def results(checks: list[Check]) -> dict[str, bool | None]:
    return {check.name: check.passed for check in checks}


def failed(folder: Path, **options: Any) -> dict[str, str]:
    return {check.name: check.detail for check in verify_release(folder, **options) if check.passed is False}


def sum_again(folder: Path) -> None:
    """What somebody does who alters a file and its checksum."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("SHA256SUMS"))
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def test_a_whole_release_passes(release: Path) -> None:
    checks = verify_release(release)
    assert results(checks) == {
        "signature": None, "checksums": True, "archive": True, "contents": True, "manifest": True, "SBOM": True,
        "provenance": True,
    }  # fmt: skip
    found = {check.name: check.detail for check in checks}
    assert "4 layers as their digests say" in found["archive"] and "1 of 1 tests had passed" in found["manifest"]
    assert (
        found["SBOM"].startswith("21 components") and LABELS["org.opencontainers.image.revision"] in found["provenance"]
    )
    require_passed(checks, release)


@given(
    name=st.sampled_from(ALL), place=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255), cut=st.booleans()
)
def test_any_altered_byte_is_found(release: Path, name: str, place: float, flipped: int, cut: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        received = Path(shutil.copytree(release, Path(folder, "dist")))
        data = bytearray((received / name).read_bytes())
        at = int(place * len(data))
        data[at] ^= flipped
        (received / name).write_bytes(data[:at] if cut else data)
        with pytest.raises(InvalidImage, match="is not the release that was saved: checksums"):
            require_passed(verify_release(received), received)


def _edit(name: str, alter: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        alter(content)
        (folder / name).write_text(json.dumps(content))

    return edit


FORGERIES: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "image id": (_edit("manifest.json", lambda it: it["image"].update(id="sha256:0")), "manifest", "image.id is"),
    "layer": (
        _edit("manifest.json", lambda it: it["image"]["layers"][1].update(digest="x")),
        "manifest",
        "image.layers[1].digest is",
    ),
    "label": (_edit("manifest.json", lambda it: it["image"]["labels"].pop("org.me-vlip.cuda")), "manifest", "missing"),
    "tag": (_edit("manifest.json", lambda it: it["image"].update(tag="other:latest")), "manifest", "image.tag is"),
    "weights": (
        _edit("manifest.json", lambda it: it["checkpoint"]["files"].update({"base/model.safetensors": "0"})),
        "manifest",
        "checkpoint.files.base/model.safetensors is",
    ),
    "more": (_edit("manifest.json", lambda it: it.update(more=1)), "manifest", "more is not in the archive"),
    "true for one": (_edit("manifest.json", lambda it: it.update(version=True)), "manifest", "version is true"),
    "package removed": (_edit("sbom.cyclonedx.json", lambda it: it["components"].pop(3)), "SBOM", "is missing"),
    "package twice": (
        _edit("sbom.cyclonedx.json", lambda it: it["components"].append(it["components"][0])),
        "SBOM",
        "components is",
    ),
    "commit": (
        _edit(
            "provenance.intoto.json",
            lambda it: it["predicate"]["buildDefinition"]["resolvedDependencies"][1]["digest"].update(
                gitCommit="d" * 40
            ),
        ),
        "provenance",
        "resolvedDependencies[1].digest.gitCommit is",
    ),
    "subject": (
        _edit("provenance.intoto.json", lambda it: it["subject"][0]["digest"].update(sha256="0")),
        "provenance",
        "subject[0].digest.sha256 is",
    ),
    "not JSON": (lambda folder: (folder / "manifest.json").write_text("{"), "manifest", "is not JSON"),
    "a list": (lambda folder: (folder / "sbom.cyclonedx.json").write_text("[]"), "SBOM", "is not a JSON object"),
    "nested": (lambda folder: (folder / "manifest.json").write_text("[" * 10**5), "manifest", "is not JSON"),
    "nested just so": (
        lambda folder: (folder / "sbom.cyclonedx.json").write_text('{"components": ' + "[" * 900 + "]" * 900 + "}"),
        "SBOM",
        "does not belong to the archive",
    ),
    "too large": (
        lambda folder: os.truncate(folder / "provenance.intoto.json", 65 << 20),
        "provenance",
        "is larger than the allowed 64 MiB",
    ),
}
"""What is done to a release whose checksums are then written again, the check that fails, and what it says."""


@pytest.mark.parametrize("name", FORGERIES)
def test_what_contradicts_the_archive_is_named_though_the_checksums_fit(copy: Path, name: str) -> None:
    forge, check, message = FORGERIES[name]
    forge(copy)
    sum_again(copy)
    found = failed(copy)
    assert message in found[check]
    assert "checksums" not in found


def test_the_release_files_of_another_archive_do_not_fit(copy: Path, tmp_path: Path) -> None:
    other = make_release(tmp_path / "other", *LAYERS, {"usr/bin/more": b"1"}, **CONFIG)
    shutil.copy(other / "team.tar.gz", copy)
    sum_again(copy)
    assert set(failed(copy)) == {"manifest", "SBOM", "provenance"}


def _write_sums(change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda folder: (folder / "SHA256SUMS").write_text(change((folder / "SHA256SUMS").read_text())) and None


SUMS: dict[str, tuple[Callable[[Path], None], str]] = {
    "outside": (
        _write_sums(lambda text: text + f"{'0' * 64}  ../secret\n"),
        "line 5, is not a hash and a new file name",
    ),
    "absolute": (_write_sums(lambda text: text + f"{'0' * 64}  /etc/passwd\n"), "line 5, is not"),
    "hidden": (_write_sums(lambda text: text + f"{'0' * 64}  .x\n"), "line 5, is not"),
    "twice": (_write_sums(lambda text: text + text.splitlines(keepends=True)[0]), "line 5, is not"),
    "binary": (_write_sums(lambda text: text.replace("  ", " *")), "line 1, is not"),
    "no line break": (_write_sums(lambda text: text.rstrip()), "does not end with a line break"),
    "empty": (_write_sums(lambda text: ""), "does not end with a line break"),
    "not listed": (
        _write_sums(lambda text: "".join(line for line in text.splitlines(True) if "sbom" not in line)),
        "does not list sbom.cyclonedx.json",
    ),
    "archive not listed": (
        _write_sums(lambda text: "".join(line for line in text.splitlines(True) if "team" not in line)),
        "does not list team.tar.gz, which lies beside it",
    ),
    "surplus": (lambda folder: (folder / "install.sh").write_text("x") and None, "does not list install.sh"),
    "missing": (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is listed"),
    "no list": (lambda folder: (folder / "SHA256SUMS").unlink(), "SHA256SUMS cannot be read"),
}


@pytest.mark.parametrize("name", SUMS)
def test_a_list_that_is_not_whole_or_not_safe_is_named(copy: Path, name: str) -> None:
    alter, message = SUMS[name]
    alter(copy)
    assert message in failed(copy)["checksums"]


def test_links_pipes_and_absent_archives_are_named(copy: Path) -> None:
    archive = copy / "team.tar.gz"
    archive.rename(copy.parent / "elsewhere")
    archive.symlink_to(copy.parent / "elsewhere")
    assert "team.tar.gz is listed in SHA256SUMS, and is not there as a file" in failed(copy)["checksums"]
    archive.unlink()
    os.mkfifo(archive)
    assert "There are 0 archives" in failed(copy)["archive"]
    assert results(verify_release(copy))["SBOM"] is None


def test_what_a_rehearsal_writes_is_said_not_to_be_covered(copy: Path) -> None:
    (copy / "rehearsal.json").write_text("{}")
    [sums] = [check for check in verify_release(copy) if check.name == "checksums"]
    assert sums.passed and "not covered: rehearsal.json" in sums.detail


def test_a_signature_is_verified_with_the_key_and_named_without(copy: Path, tmp_path: Path) -> None:
    key = tmp_path / "team.pub"
    key.write_bytes(PUBLIC)
    assert "SHA256SUMS.minisig cannot be read" in failed(copy, key=key)["signature"]
    (copy / "SHA256SUMS.minisig").write_bytes(sign((copy / "SHA256SUMS").read_bytes(), b"release 1"))
    [found] = [check for check in verify_release(copy, key) if check.name == "signature"]
    assert found.passed and "comment: release 1" in found.detail
    [found] = [check for check in verify_release(copy) if check.name == "signature"]
    assert found.passed is None and "--key verifies it" in found.detail
    _edit("manifest.json", lambda it: it.update(tests=[]))(copy)
    sum_again(copy)
    assert "the file or the comment was altered" in failed(copy, key=key)["signature"]


def test_an_image_with_unexpected_files_is_named(copy: Path, tmp_path: Path) -> None:
    archive = tmp_path / "i.tar"
    image(archive, *LAYERS, {"root/.netrc": b"x"}, **CONFIG)
    (copy / "team.tar.gz").write_bytes(archive.read_bytes())
    assert "1 unexpected file, e.g. credentials root/.netrc" in failed(copy)["contents"]


_DIGESTS = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string", "pattern": "^[0-9a-f]+$"}}
_DESCRIPTOR = {
    "type": "object",
    "anyOf": [{"required": ["uri"]}, {"required": ["digest"]}],
    "properties": {
        "name": {"type": "string"},
        "uri": {"type": "string", "pattern": "^pkg:"},
        "digest": _DIGESTS,
        "annotations": {"type": "object"},
    },
    "additionalProperties": False,
}
STATEMENT = {
    "type": "object",
    "required": ["_type", "subject", "predicateType", "predicate"],
    "additionalProperties": False,
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "subject": {"type": "array", "minItems": 1, "items": {**_DESCRIPTOR, "required": ["name", "digest"]}},
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "predicate": {
            "type": "object",
            "required": ["buildDefinition", "runDetails"],
            "additionalProperties": False,
            "properties": {
                "buildDefinition": {
                    "type": "object",
                    "required": ["buildType", "externalParameters"],
                    "additionalProperties": False,
                    "properties": {
                        "buildType": {"type": "string", "pattern": "^urn:"},
                        "externalParameters": {"type": "object"},
                        "resolvedDependencies": {"type": "array", "items": _DESCRIPTOR},
                    },
                },
                "runDetails": {
                    "type": "object",
                    "required": ["builder"],
                    "additionalProperties": False,
                    "properties": {
                        "builder": {"type": "object", "required": ["id"]},
                        "metadata": {"properties": {"finishedOn": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}}},
                    },
                },
            },
        },
    },
}
"""The fields that in-toto's statement v1 and SLSA's provenance v1 demand and allow, as far as they are used."""


def test_the_provenance_says_what_the_labels_record(release: Path) -> None:
    statement = json.loads((release / "provenance.intoto.json").read_text())
    jsonschema.validate(statement, STATEMENT)
    subjects = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    names = ("team.tar.gz", "manifest.json")
    assert subjects == {name: hashlib.sha256((release / name).read_bytes()).hexdigest() for name in names}
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {
        "checkpoint": "demo", "baseImage": "python:3.11-slim-bookworm", "cuda": "cuda13", "version": "0.1.0",
    }  # fmt: skip
    assert definition["resolvedDependencies"] == [
        {"name": "base image", "uri": "pkg:docker/python@3.11-slim-bookworm", "digest": {"sha256": "b" * 64}},
        {"name": "code", "digest": {"gitCommit": "a" * 40}},
        {"name": "lock of the packages", "digest": {"sha256": "c" * 64}},
        {
            "name": "checkpoint manifest",
            "digest": {"sha256": digest(CHECKPOINT["app/checkpoints/demo/manifest.json"])[7:]},
        },
    ]
    assert statement["predicate"]["runDetails"]["builder"]["version"]["engine"] == "fake 1.2"
    assert statement["predicate"]["runDetails"]["metadata"] == {"finishedOn": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({}, []),
        ({"org.opencontainers.image.base.name": "registry.example:5000/a/b"}, ["pkg:docker/registry.example:5000/a/b"]),
        ({"org.opencontainers.image.base.name": "a/b:1@sha256:0"}, ["pkg:docker/a/b@1"]),
        ({"org.opencontainers.image.base.name": ":"}, []),
        ({"org.opencontainers.image.revision": "unknown", "org.me-vlip.lock-sha256": "unknown"}, []),
        ({"org.opencontainers.image.revision": "a" * 40 + "-dirty"}, [{"uncommittedChanges": True}]),
    ],
)
def test_what_the_labels_do_not_record_is_left_out(tmp_path: Path, labels: dict[str, str], found: list[Any]) -> None:
    out = make_release(tmp_path / "dist", CHECKPOINT, config={"Labels": labels})
    statement = json.loads((out / "provenance.intoto.json").read_text())
    jsonschema.validate(statement, STATEMENT)
    *others, last = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [one.get("uri") or one.get("annotations") for one in others] == found
    assert last["name"] == "checkpoint manifest"
    told = {check.name: check.detail for check in verify_release(out)}["provenance"]
    assert not failed(out) and told.endswith("uncommitted changes" if "a" * 40 in told else "commit unknown")


def test_the_command_needs_no_engine_and_ends_with_the_cause(copy: Path) -> None:
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    done = run_mevlip("image", "verify", copy, env=nowhere)
    assert done.returncode == 0, done.stderr
    assert "SBOM" in done.stdout and "FAILED" not in done.stdout
    _edit("manifest.json", lambda it: it.update(version=3))(copy)
    done = run_mevlip("image", "verify", copy, env=nowhere)
    assert done.returncode == 6 and "Traceback" not in done.stderr
    assert "checksums   FAILED" in done.stdout and "manifest    FAILED" in done.stdout
    assert "manifest.json has another sha256 than SHA256SUMS lists" in done.stderr.splitlines()[-1]
