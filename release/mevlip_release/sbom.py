"""The SBOM (software bill of materials): every Python and Debian package in the image, as CycloneDX JSON."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mevlip import __version__
from mevlip_release.docker_client import InvalidImage

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from docker import DockerClient

# Runs inside the image with its own Python: no unpacking, and the list is what is really installed.
_LIST_SCRIPT = """
import importlib.metadata as m, json, subprocess
python = [[d.metadata["Name"], d.version, d.metadata.get("License-Expression") or ""] for d in m.distributions()]
try:
    command = ["dpkg-query", "-W", "-f", "${Package}\\t${Version}\\n"]
    text = subprocess.run(command, capture_output=True, text=True).stdout
except OSError:
    text = ""
print(json.dumps({"python": python, "debian": [line.split("\\t") for line in text.splitlines()]}))
"""


def generate_sbom(client: DockerClient, tag: str, config: dict[str, Any]) -> str:
    """Lists the packages of an image as CycloneDX JSON.

    Args:
        client: The engine's client.
        tag: Tag of the image.
        config: Configuration of the image; serial number and timestamp are derived from it, so the SBOM is
            reproducible.

    Returns:
        The SBOM as CycloneDX 1.6 JSON.

    Raises:
        InvalidImage: The packages cannot be listed with the image's Python.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    root = Component(name=tag, version=__version__, type=ComponentType.CONTAINER, bom_ref=tag)
    components = list(_components(_list_packages(client, tag)))
    bom = Bom(components=components)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(config["rootfs"], sort_keys=True))
    bom.metadata.timestamp = datetime.fromisoformat(config["created"][:19] + "+00:00")
    bom.metadata.component = root
    bom.register_dependency(root, components)
    return str(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)) + "\n"


def _list_packages(client: DockerClient, tag: str) -> dict[str, list[list[str]]]:
    from docker.errors import APIError, ContainerError

    try:
        output = client.containers.run(tag, ["python", "-c", _LIST_SCRIPT], network_mode="none", remove=True)
        packages: dict[str, list[list[str]]] = json.loads(output)
    except (APIError, ContainerError, ValueError) as error:
        raise InvalidImage(
            f"Cannot list the packages of {tag} ({str(error).splitlines()[0][:200]})",
            "Build the image from the project's Dockerfile.",
        ) from error
    return packages


def _components(packages: dict[str, list[list[str]]]) -> Iterator[Component]:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    licenses = LicenseFactory()
    for name, release, spdx in sorted(packages["python"]):
        declared = [licenses.make_from_string(spdx)] if spdx else []
        purl = PackageURL("pypi", name=name.lower(), version=release)
        yield Component(
            name=name, version=release, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl), licenses=declared
        )
    for name, release in sorted(packages["debian"]):
        purl = PackageURL("deb", "debian", name, release)
        yield Component(name=name, version=release, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl))
