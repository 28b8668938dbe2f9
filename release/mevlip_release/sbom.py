"""The SBOM (software bill of materials) of an image, as CycloneDX JSON.

It is derived from the file system in the archive: nothing in the image is executed, no engine is needed, and whoever
has the archive can derive it again.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from operator import itemgetter
from typing import TYPE_CHECKING

from mevlip_release import labels
from mevlip_release.image_checkpoint import ModelWeights
from mevlip_release.inspection import Inspection
from mevlip_release.packages import Package, list_packages, read_distribution

if TYPE_CHECKING:
    from cyclonedx.model.component import Component


def generate_sbom(inspection: Inspection, tag: str, models: tuple[ModelWeights, ...]) -> str:
    """Lists packages, interpreters and weights of an image as CycloneDX JSON.

    Args:
        inspection: The image; serial number and timestamp are derived from it, so the SBOM is reproducible.
        tag: Tag of the image.
        models: The weights in the image.

    Returns:
        The SBOM as CycloneDX 1.6 JSON.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    version = inspection.labels.get(labels.VERSION)
    root = Component(name=tag, version=version, type=ComponentType.CONTAINER, bom_ref=inspection.id)
    components = [
        *map(_package, list_packages(inspection.files)),
        *_operating_system(inspection),
        *map(_model, models),
    ]
    bom = Bom(components=components)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(inspection.config["rootfs"], sort_keys=True))
    bom.metadata.timestamp = inspection.created
    bom.metadata.component = root
    bom.register_dependency(root, components)
    content = json.loads(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string())
    for component in content["components"]:  # the library gives the places of a package in an order by chance
        component.get("evidence", {}).get("occurrences", []).sort(key=itemgetter("location"))
    return json.dumps(content, indent=1) + "\n"


def _package(package: Package) -> Component:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.component_evidence import ComponentEvidence, Occurrence
    from packageurl import PackageURL

    purl = PackageURL.from_string(package.purl)
    interpreter = purl.type == "generic"
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.PLATFORM if interpreter else ComponentType.LIBRARY,
        purl=purl,
        bom_ref=package.purl,
        cpe=f"cpe:2.3:a:python:python:{package.version}:*:*:*:*:*:*:*" if interpreter else None,
        licenses=[LicenseFactory().make_from_string(package.license)] if package.license else [],
        evidence=ComponentEvidence(occurrences=[Occurrence(location=place) for place in package.places]),
    )


def _operating_system(inspection: Inspection) -> Iterator[Component]:
    from cyclonedx.model.component import Component, ComponentType

    system = read_distribution(inspection.files)
    if system.id:
        yield Component(
            name=system.id,
            version=system.version or None,
            type=ComponentType.OPERATING_SYSTEM,
            bom_ref=f"os:{system.id}@{system.version}",
        )


def _model(model: ModelWeights) -> Component:
    """The hash of weights in one file belongs to the model, those of several to its parts."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    def hashed(sha256: str) -> list[HashType]:
        return [HashType(alg=HashAlgorithm.SHA_256, content=sha256)]

    parts = [
        Component(name=path, type=ComponentType.FILE, bom_ref=f"file:{path}", hashes=hashed(sha256))
        for path, sha256 in model.files.items()
    ]
    single = len(parts) == 1
    return Component(
        name=model.name,
        version=model.version or None,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        purl=PackageURL.from_string(model.purl) if model.purl else None,
        bom_ref=f"model:{model.role}",
        hashes=parts[0].hashes if single else [],
        components=[] if single else parts,
    )
