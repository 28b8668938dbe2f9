"""Image names that lead nowhere, out of the folder, or to something that is not an image file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import record
from tests.mevlip.malformed.case import Case, picture, record_case

REFUSED = {
    "parent": "../good.png",
    "parents": "../../../../etc/passwd",
    "inner parent": "imagesVal/../../good.png",
    "dots": "..",
    "absolute": "/etc/passwd",
    "double slash": "//etc/passwd",
    "drive": "C:/good.png",
    "drive back": "C:\\good.png",
    "drive relative": "c:good.png",
    "share": "\\\\host\\share\\a.png",
    "back parent": "..\\good.png",
    "nul": "good.png\0",
    "nul inside": "go\0od.png",
    "url with drive": "a:b.png",
}
ABSENT = {
    "missing": "absent.png",
    "dot": ".",
    "dots of three": "...",
    "home": "~/good.png",
    "variable": "$HOME/good.png",
    "url": "http/good.png",
    "wildcard": "*.png",
    "other case": "GOOD.PNG",
    "below a file": "good.png/x.png",
    "decomposed": "e\u0301.png",
    "surrogate": "\ud800.png",
    "not utf-8": "\udcff.png",
    "control": "\x1b[2J.png",
    "bidi": "\u202egnp.png",
    "invisible": "good\u200b.png",
    "line break": "good.png\n\nx",
    "long name": "n" * 300 + ".png",
    "very long name": "n" * 100_000,
    "deep path": "a/" * 3000 + "b.png",
    "percent": "%2e%2e/good.png",
    "markup": "<img src=x>.png",
    "device name": "con",
    "question file": "x_questions_val.json",
}


def cases() -> Iterator[Case]:
    for name, image in REFUSED.items():
        yield record_case(f"image name {name}", record(image=image), "not a path below its question file")
    for name, image in ABSENT.items():
        yield record_case(f"image name {name}", record(image=image), "image ", _composed)
    for name, images in {
        "ten thousand": ["absent.png"] * 10_000,
        "good among bad": ["absent.png", "good.png", "/etc/passwd", 3],
        "long ones": ["n" * 50_000] * 4,
    }.items():
        yield record_case(f"image names {name}", record(image=images), "image ")
    for name, (make, problem) in {
        "pipe": (lambda path: os.mkfifo(path), "not found"),
        "folder": (lambda path: path.mkdir(), "not found"),
        "link to itself": (lambda path: path.symlink_to(path.name), "not found"),
        "link outside": (lambda path: path.symlink_to("/etc/hostname"), "leaves the input folder"),
        "link to zeros": (lambda path: path.symlink_to("/dev/zero"), "not found"),
        "giant": (_giant, "is larger than the allowed"),
        "giant text": (lambda path: path.write_bytes(b"x" * 1_000_000), "not a readable image"),
    }.items():
        yield record_case(
            f"image is {name}", record(image="odd.png"), problem, lambda folder, make=make: make(folder / "odd.png")
        )
    if os.geteuid() == 0:
        kind = stat.S_IFCHR | 0o600
        yield record_case(
            "image is device", record(image="odd.png"), "not found",
            lambda folder: os.mknod(folder / "odd.png", kind, os.makedev(1, 5)),
        )  # fmt: skip


def _composed(folder: Path) -> None:
    (folder / "\u00e9.png").write_bytes(picture())


def _giant(path: Path) -> None:
    path.write_bytes(picture())
    os.truncate(path, 1 << 33)
