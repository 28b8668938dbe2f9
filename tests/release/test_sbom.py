"""The SBOM of an image, from its archive alone; `test_on_an_engine` compares it with a scan of a real image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mevlip_release.docker_client import InvalidImage
from mevlip_release.image_checkpoint import ModelWeights, read_checkpoint
from mevlip_release.inspection import Inspection
from mevlip_release.sbom import generate_sbom
from tests.conftest import ROOT
from tests.release.small_image import CHECKPOINT, CONFIG, LAYERS, SITE
from tests.release.test_inspection import digest, image


@pytest.fixture(scope="module")
def inspection(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    return image(tmp_path_factory.mktemp("image") / "i.tar", *LAYERS, **CONFIG)


def text(inspection: Inspection) -> str:
    return generate_sbom(inspection, "team:latest", tuple(read_checkpoint(inspection.files, "team:latest").models()))


def test_it_is_valid_by_the_strict_schema(inspection: Inspection) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text(inspection)) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text(inspection).replace('"library"', '"book"'))


def test_packages_interpreter_system_and_weights_are_listed(inspection: Inspection) -> None:
    content = json.loads(text(inspection))
    kinds: dict[str, list[dict[str, Any]]] = {}
    for component in content["components"]:
        kinds.setdefault(component["type"], []).append(component)
    assert {kind: len(found) for kind, found in kinds.items()} == {
        "library": 9, "platform": 1, "operating-system": 1, "machine-learning-model": 10,
    }  # fmt: skip
    [python] = kinds["platform"]
    assert python["cpe"] == "cpe:2.3:a:python:python:3.11.2:*:*:*:*:*:*:*"
    assert python["evidence"]["occurrences"] == [{"location": "usr/bin/python3.11"}]
    models = {one["bom-ref"]: one for one in kinds["machine-learning-model"]}
    base = models["model:base"]
    assert (base["name"], base["version"]) == ("me-vlip/demo-internvl3", "v2")
    weights = CHECKPOINT["app/checkpoints/demo/adapters/counting/adapter_model.safetensors"]
    assert models["model:adapters/counting"]["hashes"] == [{"alg": "SHA-256", "content": digest(weights)[7:]}]
    assert {"model:router", "model:adapters/generalist"} <= models.keys()
    assert content["metadata"]["component"]["version"] == "0.1.0"
    [root] = [one for one in content["dependencies"] if one["ref"] == inspection.id]
    assert len(root["dependsOn"]) == 21


def test_weights_in_several_files_are_listed_one_by_one() -> None:
    files = {f"base/model-{number}.safetensors": str(number) * 64 for number in (1, 2)}
    model = ModelWeights("base", "Org/Model", "f" * 40, files, f"pkg:huggingface/Org/Model@{'f' * 40}")
    content = generate_sbom(Inspection("sha256:0", {"rootfs": {}}, (), ()), "team:latest", (model,))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content) is None
    [component] = json.loads(content)["components"]
    assert component["purl"] == model.purl and "hashes" not in component
    assert {one["name"]: one["hashes"][0]["content"] for one in component["components"]} == files


_AGAIN = """
import sys
from pathlib import Path
from mevlip_release.image_checkpoint import read_checkpoint
from mevlip_release.inspection import inspect_archive
from mevlip_release.sbom import generate_sbom
found = inspect_archive(Path(sys.argv[1]))
print(generate_sbom(found, "team:latest", tuple(read_checkpoint(found.files, "").models())), end="")
"""


def test_it_is_the_same_in_every_process(tmp_path: Path) -> None:
    places = [{f"{folder}/x-1.dist-info/METADATA": b"Name: x\nVersion: 1\n"} for folder in (SITE, "usr/lib", "a", "b")]
    found = image(tmp_path / "i.tar", *LAYERS, *places, **CONFIG)
    paths = os.pathsep.join(str(ROOT / part) for part in ("submission", "release"))
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", _AGAIN, str(tmp_path / "i.tar")]
        again = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        assert again.stdout == text(found)


def test_serial_number_and_timestamp_are_derived_from_the_image(inspection: Inspection) -> None:
    content = json.loads(text(inspection))
    assert content["metadata"]["timestamp"] == "2026-01-02T03:04:05+00:00"
    other = replace(inspection, config={**inspection.config, "rootfs": {"diff_ids": ["sha256:1"]}, "created": "never"})
    changed = json.loads(text(other))
    assert changed["serialNumber"] != content["serialNumber"]
    assert changed["metadata"]["timestamp"].startswith("1970")


def test_weights_that_are_not_those_of_the_manifest_are_named(tmp_path: Path) -> None:
    weights = "app/checkpoints/demo/base/model.safetensors"
    altered = image(tmp_path / "i.tar", *LAYERS, {weights: b"other weights"})
    with pytest.raises(InvalidImage, match="base/model.safetensors of the checkpoint is not the listed one"):
        text(altered)
    removed = image(tmp_path / "j.tar", *LAYERS, {"app/checkpoints/demo/base/.wh.model.safetensors": b""})
    with pytest.raises(InvalidImage, match="base/model.safetensors of the checkpoint is missing"):
        text(removed)
    second = {"app/checkpoints/other/manifest.json": CHECKPOINT["app/checkpoints/demo/manifest.json"]}
    with pytest.raises(InvalidImage, match="contains 2 checkpoints"):
        text(image(tmp_path / "k.tar", *LAYERS, second))
