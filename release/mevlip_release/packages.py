"""The packages in an image's file system: Python distributions, Debian packages and interpreters.

Read from the files themselves, wherever they lie: nothing in the image is executed. Found are installed distributions
(of the environment, of the base image's own Python, vendored in other packages), wheels that are stored whole, and what
pip lists as vendored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.parser import HeaderParser

from packageurl import PackageURL

from mevlip_release.docker_client import InvalidImage
from mevlip_release.image_files import INTERPRETER, ImageFiles

_DISTRIBUTION = re.compile(r"([^/]+)\.(?:dist-info/METADATA|egg-info/PKG-INFO|egg-info)$")
_VENDORED = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)==([^\s;#]+)", re.MULTILINE)
_WHEEL = re.compile(r"(?:^|/)([^/-]+)-([^/-]+)(?:-[^/-]+){3,4}\.whl$")
_OS_FIELD = re.compile(r"""^([A-Z_]+)=["']?(.*?)["']?$""", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """One version of a package.

    Attributes:
        purl: Its package URL.
        name: Its name, as it calls itself.
        version: Its version.
        license: SPDX expression of its license, where it has one.
        places: Where in the image it is installed, stored or vendored.
    """

    purl: str
    name: str
    version: str
    license: str = ""
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Distribution:
    """The Linux distribution of an image.

    Attributes:
        id: Its short name, such as `debian`; empty where the image does not say it.
        version: Its version, such as `12`.
    """

    id: str = ""
    version: str = ""


def read_distribution(files: ImageFiles) -> Distribution:
    """Returns the Linux distribution that the image names in os-release."""
    for place in ("etc/os-release", "usr/lib/os-release"):
        if place in files.kept:
            fields = dict(_OS_FIELD.findall(files.kept[place].decode("utf-8", "replace")))
            return Distribution(fields.get("ID", "").strip(), fields.get("VERSION_ID", "").strip())
    return Distribution()


def list_packages(files: ImageFiles) -> list[Package]:
    """Lists every package once per version, sorted by package URL, with the places where it is found.

    Raises:
        InvalidImage: A package has a name that none can have.
    """
    found: dict[str, Package] = {}
    places: dict[str, set[str]] = {}
    try:
        for package in (*_python_packages(files), *_debian_packages(files), *_interpreters(files)):
            known = found.setdefault(package.purl, package)
            if package.license > known.license:
                found[package.purl] = package
            places.setdefault(package.purl, set()).update(package.places)
    except ValueError as error:
        cause = f"A package in the image cannot be described ({error})"
        raise InvalidImage(cause, "Build the image from the project's Dockerfile.") from error
    return [replace(package, places=tuple(sorted(places[purl]))) for purl, package in sorted(found.items())]


def _python_packages(files: ImageFiles) -> Iterator[Package]:
    for path, content in files.kept.items():
        if named := _DISTRIBUTION.search(path):
            head = content.replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode("utf-8", "replace")
            fields = HeaderParser().parsestr(head)
            name, _, version = named[1].partition("-")
            place = path.removesuffix("/METADATA").removesuffix("/PKG-INFO")
            yield _python_package(
                _field(fields["Name"]) or name,
                _field(fields["Version"]) or version,
                place,
                _field(fields["License-Expression"]),
            )
        elif path.endswith(".txt"):
            for name, version in _VENDORED.findall(content.decode("utf-8", "replace")):
                yield _python_package(name, version, path)
    for path in files.entries:
        if wheel := _WHEEL.search(path):
            yield _python_package(wheel[1], wheel[2], path)


def _field(value: object) -> str:
    """A header's value on one line; headers of foreign bytes are objects of their own."""
    return " ".join(str(value or "").split())


def _python_package(name: str, version: str, place: str, spdx: str = "") -> Package:
    normalized = re.sub(r"[-_.]+", "-", name).lower()  # as the package index does
    return Package(str(PackageURL("pypi", name=normalized, version=version)), name, version, spdx, (place,))


def _debian_packages(files: ImageFiles) -> Iterator[Package]:
    system = read_distribution(files)
    for path, content in files.kept.items():
        if not path.startswith("var/lib/dpkg/") or path.endswith(".md5sums"):
            continue
        for paragraph in content.decode("utf-8", "replace").split("\n\n"):
            fields = dict(re.findall(r"^(Package|Version|Architecture|Status): *(\S.*?) *$", paragraph, re.MULTILINE))
            if {"Package", "Version"} <= fields.keys() and fields.get("Status", "installed").endswith("installed"):
                yield _debian_package(fields, system, path)


def _debian_package(fields: dict[str, str], system: Distribution, place: str) -> Package:
    qualifiers = {"arch": fields["Architecture"]} if "Architecture" in fields else {}
    if system.id:
        qualifiers["distro"] = f"{system.id}-{system.version}" if system.version else system.id
    name, version = fields["Package"], fields["Version"]
    purl = PackageURL("deb", system.id or "debian", name, version, qualifiers)
    return Package(str(purl), name, version, places=(place,))


def _interpreters(files: ImageFiles) -> Iterator[Package]:
    named = {path: match[1] for path in files.kept if (match := INTERPRETER.search(path))}
    whole = {minor: text.decode() for path, minor in named.items() if (text := files.kept[path])}
    for path, minor in named.items():
        version = files.kept[path].decode() or whole.get(minor, minor)
        yield Package(f"pkg:generic/python@{version}", "python", version, "", (path,))
