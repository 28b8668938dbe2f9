"""Files of a small image, made by hand: a Debian with Python, packages, and a checkpoint of a few bytes."""

from __future__ import annotations

import json

from mevlip_release.inspection import Inspection
from tests.conftest import DEMO
from tests.release.test_inspection import digest

SITE = "opt/venv/lib/python3.11/site-packages"
BASE_SITE = "usr/local/lib/python3.11/site-packages"
STATUS = b"""Package: libc6
Status: install ok installed
Architecture: amd64
Version: 1:2.36-9+deb12u1
Description: GNU C Library
 of many lines
Package-Type: deb

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1.0
"""
SYSTEM = {
    "usr/lib/os-release": b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n',
    "var/lib/dpkg/status": STATUS,
    "usr/bin/python3.11": b"\x7fELF\0 3.45.1 \0" + b"3.11.2\0",
    f"{BASE_SITE}/pip-23.0.1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: pip\nVersion: 23.0.1\n\ntext\n",
    f"{BASE_SITE}/pip/_vendor/vendor.txt": b"CacheControl==0.12.11  # why\n    urllib3==1.26.14\nsetuptools>=1\n",
    "usr/share/python-wheels/setuptools-66.1.1-py3-none-any.whl": b"PK",
}
PACKAGES = {
    f"{SITE}/Jinja2-3.1.6.dist-info/METADATA": b"Name: Jinja2\nVersion: 3.1.6\nLicense-Expression: BSD-3-Clause\n",
    f"{SITE}/typing_extensions-4.16.0.dist-info/METADATA": b"Name: typing_extensions\r\nVersion: 4.16.0\r\n\r\nName: x",
    f"{SITE}/setuptools/_vendor/packaging-26.3.dist-info/METADATA": b"Name: packaging\nVersion: 26.3\n",
    f"{SITE}/packaging-26.3.dist-info/METADATA": b"Name: packaging\nVersion: 26.3\n",
    f"{SITE}/old_style-1.0.egg-info": b"Name: old-style\nVersion: 1.0\n",
}
LABELS = {
    "org.opencontainers.image.version": "0.1.0",
    "org.opencontainers.image.revision": "a" * 40,
    "org.opencontainers.image.base.name": "python:3.11-slim-bookworm",
    "org.opencontainers.image.base.digest": "sha256:" + "b" * 64,
    "org.me-vlip.checkpoint": "demo",
    "org.me-vlip.cuda": "cuda13",
    "org.me-vlip.lock-sha256": "c" * 64,
}
CREATED = "2026-01-02T03:04:05.678901234Z"


def _checkpoint() -> dict[str, bytes]:
    """The demo checkpoint with a few bytes in place of each large file."""
    manifest = json.loads((DEMO / "manifest.json").read_text())
    files = {}
    for name, record in manifest["files"].items():
        files[name] = (DEMO / name).read_bytes() if record["size"] < 5000 else f"content of {name}".encode()
        manifest["files"][name] = {"size": len(files[name]), "sha256": digest(files[name])[7:]}
    return {**files, "manifest.json": json.dumps(manifest, indent=1).encode()}


CHECKPOINT = {f"app/checkpoints/demo/{name}": content for name, content in _checkpoint().items()}
CODE = {"app/predict.sh": b"exec true"}
LAYERS = (SYSTEM, CHECKPOINT, PACKAGES, CODE)
CONFIG = {"config": {"Labels": LABELS}, "created": CREATED}


def components(inspection: Inspection) -> set[str]:
    """What the small image contains, as package URLs without Debian's qualifiers."""
    from mevlip_release.packages import list_packages

    return {package.purl.partition("?")[0] for package in list_packages(inspection.files)}
