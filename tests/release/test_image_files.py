"""The file system of an image: layers on top of each other, as an engine lays them."""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip_release.docker_client import InvalidImage
from mevlip_release.image_files import ImageFiles, LayerFiles, overlay

Added = dict[str, bytes | None]
"""What a layer has by path: content of a file, None for a folder."""


def layer(added: Added, links: dict[str, str] | None = None, hard: dict[str, str] | None = None) -> LayerFiles:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in added.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.size = (tarfile.DIRTYPE, 0) if content is None else (tarfile.REGTYPE, len(content))
            tar.addfile(entry, io.BytesIO(content or b""))
        for kind, named in ((tarfile.SYMTYPE, links), (tarfile.LNKTYPE, hard)):
            for path, target in (named or {}).items():
                entry = tarfile.TarInfo(path)
                entry.type, entry.linkname = kind, target
                tar.addfile(entry)
    buffer.seek(0)
    found = LayerFiles()
    with tarfile.open(fileobj=buffer, mode="r|") as tar:
        for entry in tar:
            found.add(entry, tar)
    return found


def sizes(files: ImageFiles) -> dict[str, int | None]:
    return {path: entry.size if entry.kind == "file" else None for path, entry in files.entries.items()}


def test_whiteouts_remove_what_lies_below_and_nothing_else() -> None:
    below = layer({"./etc/": None, "etc/a": b"1", "etc/ab": b"22", "opt": None, "opt/x/y": b"333"})
    above = layer({"etc/.wh.a": b"", "opt/.wh..wh..opq": b"", "opt/z": b"4444", ".wh..wh.plnk": b""})
    assert sizes(overlay([below, above])) == {"etc": None, "etc/ab": 2, "opt": None, "opt/z": 4}
    assert sizes(overlay([below, layer({".wh.etc": b"", "etc/new": b"1"})])) == {
        "opt": None,
        "opt/x/y": 3,
        "etc/new": 1,
    }


def test_metadata_that_a_later_layer_removes_or_replaces_does_not_count() -> None:
    path = "usr/lib/x-1.dist-info/METADATA"
    below = layer({path: b"Name: x\nVersion: 1\n"})
    assert overlay([below]).kept.keys() == {path}
    for above in ({"usr/lib/.wh.x-1.dist-info": b""}, {"usr/lib/x-1.dist-info": b"a file"}):
        assert overlay([below, layer(dict(above))]).kept == {}
    assert overlay([below, layer({}, links={path: "/elsewhere"})]).kept == {}


def test_links_are_recorded_and_hard_links_are_the_same_file() -> None:
    found = overlay([layer({"usr/a": b"123"}, links={"b": "../usr/a"}, hard={"c": "usr/a"})]).entries
    assert (found["b"].kind, found["b"].content) == ("link", "../usr/a")
    assert found["c"] == found["usr/a"] and found["c"].size == 3


def test_a_record_that_is_far_too_large_is_refused() -> None:
    with pytest.raises(InvalidImage, match="var/lib/dpkg/status in the image is too large"):
        layer({"var/lib/dpkg/status": b"x" * ((16 << 20) + 1)})


PATHS = ["a", "b", "a/a", "a/b", "a/a/a", "a/a/b"]


@st.composite
def layers(draw: st.DrawFn) -> Added:
    """A layer in which no file contains another entry; whiteouts and opaque folders included."""
    made: Added = {}
    for path in draw(st.lists(st.sampled_from(PATHS), unique=True)):
        folder, _, name = path.rpartition("/")
        kind = draw(st.sampled_from(["file", "folder", "removed", "opaque"]))
        if kind == "removed":
            made[f"{folder}/.wh.{name}".lstrip("/")] = b""
        elif kind == "opaque":
            made[f"{path}/.wh..wh..opq"] = b""
        else:
            made[path] = None if kind == "folder" else draw(st.binary(min_size=1, max_size=9))
    files = [path for path, content in made.items() if content]
    return {path: content for path, content in made.items() if not any(path.startswith(f"{file}/") for file in files)}


def on_disk(root: Path, added: Added) -> None:
    """Does to a real folder what a layer says."""

    def remove(path: Path) -> None:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    for path in added:
        folder, name = (root / path).parent, Path(path).name
        if name == ".wh..wh..opq":
            for above in (folder, *folder.relative_to(root).parents):
                if (root / above).is_file():
                    remove(root / above)
            for inner in list(folder.iterdir()) if folder.is_dir() else []:
                remove(inner)
        elif name.startswith(".wh.") and folder.is_dir():
            remove(folder / name.removeprefix(".wh."))
    for path, content in sorted((path, content) for path, content in added.items() if ".wh." not in path):
        target = root / path
        for above in reversed(target.relative_to(root).parents):
            if (root / above).is_file():
                remove(root / above)
        if content is None:
            if target.is_file():
                remove(target)
            target.mkdir(parents=True, exist_ok=True)
        else:
            remove(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


@given(st.lists(layers(), max_size=4))
def test_files_are_those_that_unpacking_in_order_leaves(stack: list[Added]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for added in stack:
            on_disk(Path(folder), added)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        expected = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    found = sizes(overlay(map(layer, stack)))
    assert {path: size for path, size in found.items() if size is not None} == expected
