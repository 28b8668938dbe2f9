"""What differs between two archives, as a container would see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mevlip.core.errors import EnvironmentProblem
from mevlip_release.difference import Difference, compare_images, find_archive
from tests.conftest import run_mevlip
from tests.release.small_image import CHECKPOINT, CODE, CONFIG, LABELS, LAYERS, PACKAGES, SITE, SYSTEM
from tests.release.test_inspection import image

NEWER = {
    **{path: content for path, content in PACKAGES.items() if "Jinja2" not in path},
    f"{SITE}/Jinja2-3.1.7.dist-info/METADATA": b"Name: Jinja2\nVersion: 3.1.7\n",
}
OTHER_CONFIG = {**CONFIG, "config": {"Labels": {**LABELS, "org.opencontainers.image.revision": "e" * 40}}}


def rows(found: Difference, kind: str) -> dict[str, tuple[str | None, str | None]]:
    return {change.name: (change.before, change.after) for change in found.changes if change.kind == kind}


def test_an_image_equals_itself(tmp_path: Path) -> None:
    found = image(tmp_path / "i.tar", *LAYERS, **CONFIG)
    same = compare_images(found, found)
    assert same.changes == () and same.equal["file"] == sum(map(len, LAYERS)) and same.equal["weights"] == 10


def test_labels_layers_packages_and_files_that_differ_are_listed(tmp_path: Path) -> None:
    first = image(tmp_path / "i.tar", *LAYERS, **CONFIG)
    second = image(tmp_path / "j.tar", SYSTEM, CHECKPOINT, NEWER, {"app/predict.sh": b"exec false"}, **OTHER_CONFIG)
    found = compare_images(first, second)
    assert rows(found, "label") == {"org.opencontainers.image.revision": ("a" * 40, "e" * 40)}
    assert list(rows(found, "layer")) == ["03", "04"]
    assert rows(found, "package") == {"pypi/jinja2": ("3.1.6", "3.1.7")}
    files = rows(found, "file")
    assert files["app/predict.sh"][0].startswith("9 bytes") and files["app/predict.sh"][1].startswith("10 bytes")  # type: ignore[union-attr]
    assert files[f"{SITE}/Jinja2-3.1.6.dist-info/METADATA"][1] is None
    assert "file: 1 added, 1 removed, 1 changed" in found.summary()[-1]
    assert {change.action for change in found.changes} == {"added", "removed", "changed"}


def test_other_weights_are_named_by_model(tmp_path: Path) -> None:
    manifest = "app/checkpoints/demo/manifest.json"
    counting = "app/checkpoints/demo/adapters/counting/adapter_model.safetensors"
    content = json.loads(CHECKPOINT[manifest])
    content["files"]["adapters/counting/adapter_model.safetensors"] = {
        "size": 1, "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
    }  # fmt: skip
    trained = {**CHECKPOINT, manifest: json.dumps(content).encode(), counting: b"x"}
    first, second = image(tmp_path / "i.tar", CHECKPOINT), image(tmp_path / "j.tar", trained)
    assert list(rows(compare_images(first, second), "weights")) == ["adapters/counting"]
    empty = image(tmp_path / "k.tar", CODE)
    assert len(rows(compare_images(first, empty), "weights")) == 10


def test_files_with_equal_content_differ_by_mode_owner_or_time(tmp_path: Path) -> None:
    first = image(tmp_path / "i.tar", CODE)
    path, entry = next(iter(first.files.entries.items()))
    second = image(tmp_path / "j.tar", CODE)
    changed = type(entry)(entry.kind, entry.size, entry.content, (0o755, 0, 0, 10**20))
    dict.update(second.files.entries, {path: changed})  # type: ignore[arg-type]
    assert rows(compare_images(first, second), "file") == {
        "app/predict.sh": (
            "mode 0644, owner 0:0, 1970-01-01 00:00:00",
            f"mode 0755, owner 0:0, {10**20}",
        )
    }


def test_a_folder_stands_for_its_archive(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="contains 0 archives"):
        find_archive(tmp_path)
    (tmp_path / "team.tar.gz").write_bytes(b"")
    assert find_archive(tmp_path) == tmp_path / "team.tar.gz"


def test_the_command_shows_a_part_and_writes_all(tmp_path: Path) -> None:
    image(tmp_path / "i.tar", *LAYERS, **CONFIG)
    image(tmp_path / "j.tar", *LAYERS, {f"usr/share/{number:02}": b"" for number in range(30)}, **CONFIG)
    done = run_mevlip("image", "diff", tmp_path / "i.tar", tmp_path / "j.tar", "--json", tmp_path / "all.json")
    assert done.returncode == 0, done.stderr
    assert "file: 30 added, 0 removed, 0 changed" in done.stdout and "and 10 more; --json FILE" in done.stdout
    content = json.loads((tmp_path / "all.json").read_text())
    assert sum(change["kind"] == "file" for change in content["changes"]) == 30
    (tmp_path / "damaged").write_bytes(b"x")
    done = run_mevlip("image", "diff", tmp_path / "i.tar", tmp_path / "damaged")
    assert done.returncode == 6 and "Traceback" not in done.stderr
