"""Packages are found wherever they lie in an image."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip_release.docker_client import InvalidImage
from mevlip_release.image_files import ImageFiles
from mevlip_release.inspection import Inspection
from mevlip_release.packages import list_packages, read_distribution
from mevlip_release.sbom import generate_sbom
from tests.release.small_image import BASE_SITE, LAYERS, PACKAGES, SITE, SYSTEM, components
from tests.release.test_inspection import image


def kept(files: dict[str, bytes]) -> ImageFiles:
    return ImageFiles(kept=files)


def purls(files: dict[str, bytes]) -> list[str]:
    return [package.purl for package in list_packages(kept(files))]


def test_every_kind_of_package_is_listed(tmp_path: Path) -> None:
    assert components(image(tmp_path / "i.tar", *LAYERS)) == {
        "pkg:deb/debian/libc6@1:2.36-9%2Bdeb12u1",
        "pkg:generic/python@3.11.2",
        "pkg:pypi/cachecontrol@0.12.11",
        "pkg:pypi/jinja2@3.1.6",
        "pkg:pypi/old-style@1.0",
        "pkg:pypi/packaging@26.3",
        "pkg:pypi/pip@23.0.1",
        "pkg:pypi/setuptools@66.1.1",
        "pkg:pypi/typing-extensions@4.16.0",
        "pkg:pypi/urllib3@1.26.14",
    }


def test_debian_packages_name_architecture_and_distribution() -> None:
    [purl] = [purl for purl in purls(SYSTEM) if purl.startswith("pkg:deb")]
    assert purl == "pkg:deb/debian/libc6@1:2.36-9%2Bdeb12u1?arch=amd64&distro=debian-12"
    apart = {"var/lib/dpkg/status.d/tzdata": b"Package: tzdata\nVersion: 1\n", "etc/os-release": b"ID='ubuntu'\n"}
    assert purls(apart) == ["pkg:deb/ubuntu/tzdata@1?distro=ubuntu"], "as images without dpkg have it"
    assert read_distribution(kept({})).id == ""


def test_a_package_in_two_places_is_listed_once_with_both() -> None:
    [packaging] = [package for package in list_packages(kept(PACKAGES)) if package.name == "packaging"]
    assert packaging.places == (
        f"{SITE}/packaging-26.3.dist-info",
        f"{SITE}/setuptools/_vendor/packaging-26.3.dist-info",
    )
    [jinja] = [package for package in list_packages(kept(PACKAGES)) if package.name == "Jinja2"]
    assert jinja.license == "BSD-3-Clause"


def test_versions_of_interpreters_are_read_from_program_or_library(tmp_path: Path) -> None:
    files = {
        "usr/local/bin/python3.11": b"no version, a library has it",
        "usr/local/lib/libpython3.11.so.1.0": b"\0003.45.1\0003.11.9\0",
        "opt/other/bin/python3.13": b"\0003.13.0rc2\0",
        "opt/third/bin/python3.9": b"unknown",
        "usr/bin/python3.11-config": b"\0003.11.1\0",
    }
    found = components(image(tmp_path / "i.tar", files))
    assert found == {f"pkg:generic/python@{version}" for version in ("3.11.9", "3.13.0rc2", "3.9")}


def test_metadata_without_a_name_is_listed_by_its_folder() -> None:
    assert purls({f"{BASE_SITE}/some_thing-1.2.dist-info/METADATA": b"\xff\xfe"}) == ["pkg:pypi/some-thing@1.2"]


@pytest.mark.parametrize("line", [b"License-Expression: not ( a license\n", "License-Expression: Lizenz ü\n".encode()])
def test_a_license_that_is_not_spdx_is_kept_as_text(line: bytes) -> None:
    files = kept({f"{SITE}/x-1.dist-info/METADATA": b"Name: x\nVersion: 1\n" + line})
    inspection = Inspection("sha256:0", {"rootfs": {}}, (), (), files)
    assert "licenses" in generate_sbom(inspection, "team:latest", ())


FOREIGN = st.one_of(
    st.binary(max_size=60), st.text(max_size=30).map(lambda text: f"Name: {text}\nVersion: {text}".encode())
)
KEPT = ("a-1.dist-info/METADATA", ".dist-info/METADATA", "x/-.dist-info/METADATA", "pip/_vendor/vendor.txt",
        "var/lib/dpkg/status", "var/lib/dpkg/status.d/x", "etc/os-release")  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEPT), FOREIGN))
def test_whatever_the_records_say_ends_in_packages_or_in_one_error(files: dict[str, bytes]) -> None:
    try:
        assert all(package.purl.startswith("pkg:") for package in list_packages(kept(files)))
    except InvalidImage as error:
        assert "cannot be described" in str(error)
