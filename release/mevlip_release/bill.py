"""The bill of materials: every Python and Debian package in the image, in CycloneDX's format."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mevlip import __version__
from mevlip_release.engine import ImageFault

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from docker import DockerClient

# Runs in the image, with the image's own Python: nothing has to be unpacked, and nothing is taken on trust.
_LISTING = """
import importlib.metadata as m, json, subprocess
python = [[d.metadata["Name"], d.version, d.metadata.get("License-Expression") or ""] for d in m.distributions()]
try:
    command = ["dpkg-query", "-W", "-f", "${Package}\\t${Version}\\n"]
    text = subprocess.run(command, capture_output=True, text=True).stdout
except OSError:
    text = ""
print(json.dumps({"python": python, "debian": [line.split("\\t") for line in text.splitlines()]}))
"""


def bill_of_materials(client: DockerClient, tag: str, config: dict[str, Any]) -> str:
    """Lists the packages of an image as CycloneDX JSON.

    Args:
        client: The engine.
        tag: The image.
        config: Its configuration, from which the bill's number and time are taken, so that one image has one bill.

    Raises:
        ImageFault: The image's Python cannot list them.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    whole = Component(name=tag, version=__version__, type=ComponentType.CONTAINER, bom_ref=tag)
    parts = list(_components(_listed(client, tag)))
    bom = Bom(components=parts)
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(config["rootfs"], sort_keys=True))
    bom.metadata.timestamp = datetime.fromisoformat(config["created"][:19] + "+00:00")
    bom.metadata.component = whole
    bom.register_dependency(whole, parts)
    return str(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)) + "\n"


def _listed(client: DockerClient, tag: str) -> dict[str, list[list[str]]]:
    from docker.errors import APIError, ContainerError

    try:
        said = client.containers.run(tag, ["python", "-c", _LISTING], network_mode="none", remove=True)
        listed: dict[str, list[list[str]]] = json.loads(said)
    except (APIError, ContainerError, ValueError) as error:
        raise ImageFault(
            f"{tag} cannot list its packages ({str(error).splitlines()[0][:200]})",
            "Build from the project's Dockerfile.",
        ) from error
    return listed


def _components(listed: dict[str, list[list[str]]]) -> Iterator[Component]:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    make = LicenseFactory()
    for name, release, spdx in sorted(listed["python"]):
        known = [make.make_from_string(spdx)] if spdx else []
        address = PackageURL("pypi", name=name.lower(), version=release)
        yield Component(
            name=name, version=release, type=ComponentType.LIBRARY, purl=address, bom_ref=str(address), licenses=known
        )
    for name, release in sorted(listed["debian"]):
        address = PackageURL("deb", "debian", name, release)
        yield Component(name=name, version=release, type=ComponentType.LIBRARY, purl=address, bom_ref=str(address))
