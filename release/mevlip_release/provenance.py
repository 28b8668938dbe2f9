"""The provenance of an archive: an in-toto statement (v1) with a SLSA provenance predicate (v1).

It repeats what the image's labels say about its build, bound to the archive's hash. The statement itself is not signed:
SHA256SUMS lists it, and whoever signs SHA256SUMS signs it too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from packageurl import PackageURL

from mevlip_release import labels
from mevlip_release.image_checkpoint import ImageCheckpoint
from mevlip_release.inspection import Inspection

BUILD_TYPE = "urn:me-vlip:image-build:1"
BUILDER = "urn:me-vlip:container-engine"
_PARAMETERS = {
    "checkpoint": labels.CHECKPOINT,
    "baseImage": labels.BASE_NAME,
    "cuda": labels.CUDA,
    "version": labels.VERSION,
}
"""Parameters of a build that reach the image, and the labels that record them."""
_SHA256 = re.compile("[0-9a-f]{64}")
_COMMIT = re.compile(r"([0-9a-f]{40})(-dirty)?")


def make_statement(
    inspection: Inspection, checkpoint: ImageCheckpoint, subjects: Mapping[str, str], tools: Mapping[str, str]
) -> str:
    """Writes the statement.

    Args:
        inspection: The image in the archive.
        checkpoint: The checkpoint in the image.
        subjects: sha256 of the files that the statement is about, by name.
        tools: Versions of engine and tools that exported the archive.

    Returns:
        JSON; the same for the same arguments.
    """
    recorded = inspection.labels
    content = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in subjects.items()],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    name: recorded[label] for name, label in _PARAMETERS.items() if recorded.get(label)
                },
                "resolvedDependencies": _dependencies(recorded, checkpoint),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": dict(tools)},
                "metadata": {"finishedOn": f"{inspection.created:%Y-%m-%dT%H:%M:%SZ}"},
            },
        },
    }
    return json.dumps(content, indent=1) + "\n"


def _dependencies(recorded: Mapping[str, str], checkpoint: ImageCheckpoint) -> list[dict[str, Any]]:
    """What went into the image: those that the labels record, as in-toto resource descriptors."""
    found: list[dict[str, Any]] = []
    folder, _, named = recorded.get(labels.BASE_NAME, "").partition("@")[0].rpartition("/")
    name, _, tag = named.partition(":")
    if name:
        uri = str(PackageURL("docker", folder or None, name, tag or None))
        base: dict[str, Any] = {"name": "base image", "uri": uri}
        if digest := _SHA256.fullmatch(recorded.get(labels.BASE_DIGEST, "").removeprefix("sha256:")):
            base["digest"] = {"sha256": digest[0]}
        found.append(base)
    if commit := _COMMIT.fullmatch(recorded.get(labels.REVISION, "")):
        code: dict[str, Any] = {"name": "code", "digest": {"gitCommit": commit[1]}}
        found.append({**code, "annotations": {"uncommittedChanges": True}} if commit[2] else code)
    if lock := _SHA256.fullmatch(recorded.get(labels.LOCK, "")):
        found.append({"name": "lock of the packages", "digest": {"sha256": lock[0]}})
    found.append({"name": "checkpoint manifest", "digest": {"sha256": checkpoint.manifest_sha256}})
    return found
