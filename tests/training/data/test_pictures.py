from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mevlip.core.errors import EnvironmentProblem
from mevlip.flare.frames.base import Frames
from mevlip.flare.frames.reading import open_frames
from mevlip.flare.images import load_image
from mevlip.flare.pixels import ImageError
from mevlip.flare.questions import Question, read_input_folder
from mevlip.flare.store import ImageStore
from mevlip_training.data import pictures, processes
from mevlip_training.data.pictures import near_pairs, survey
from tests.mevlip.real_pictures import PICTURES
from tests.training.data.conftest import paint, row, weave

Flare = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Remembers few pictures as it does many, away from the user's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(pictures, "FEW", 1)
    monkeypatch.setattr(processes, "FEW", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    return tmp_path / "cache" / "mevlip"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is decoded."""
    found: list[object] = []

    def open_counted(content: Path | bytes) -> AbstractContextManager[Frames]:
        found.append(content)
        return open_frames(content)

    monkeypatch.setattr("mevlip.flare.store.open_frames", open_counted)
    return found


def look(root: Path, compare: bool = True) -> tuple[dict[str, str], list[str]]:
    """The hashes, and what the store then says of every picture."""
    folder = read_input_folder(root)
    said = []
    with ImageStore(folder.root) as store:
        looks = survey(folder.root, store, folder.questions, quiet=True, compare=compare)
        for question in folder.questions:
            for name in question.image_names:
                try:
                    said.append(repr(store.facts(question, name)))
                except ImageError as error:
                    said.append(str(error))
    return looks, said


def tree(flare: Flare) -> Path:
    root = flare(*(row(image=f"imagesTr/{n}.png") for n in range(12)), row(image=["imagesTr/1.png", "imagesTr/12.png"]))
    images = root / "training/Xray/dental/imagesTr"
    (images / "2.png").write_bytes(b"no picture")
    (images / "3.png").unlink()
    with zipfile.ZipFile(images.parent / "imagesTr.zip", "w") as archive:
        archive.write(images / "4.png", "4.png")
    (images / "4.png").unlink()
    return root


def test_the_store_knows_each_picture_after_one_look(flare: Flare, decoded: list[object]) -> None:
    root = tree(flare)
    with ImageStore(root) as store:
        expected = []
        for question in read_input_folder(root).questions:
            for name in question.image_names:
                try:
                    expected.append(repr(store.facts(question, name)))
                except ImageError as error:
                    expected.append(str(error))
    decoded.clear()
    looks, said = look(root)
    assert said == expected
    assert len(decoded) == 12, "13 names, one file is absent, and no picture is decoded twice"
    assert len(looks) == 11


def test_what_was_seen_is_not_decoded_again_until_its_file_changes(flare: Flare, decoded: list[object]) -> None:
    root = tree(flare)
    first = look(root)
    decoded.clear()
    assert look(root) == first
    assert len(decoded) == 1, "the broken one, whose fault may have been the disk's"
    weave(root / "training/Xray/dental/imagesTr/7.png", 99)
    decoded.clear()
    assert look(root) != first
    assert [path.name for path in decoded if isinstance(path, Path)] == ["2.png", "7.png"]


def test_other_rules_and_an_unreadable_memory_are_no_memory(
    flare: Flare, decoded: list[object], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(flare)
    first = look(root)
    (memory,) = cache.iterdir()
    kept = memory.read_bytes()
    for spoil in (b"{", kept.replace(b'"rules":"', b'"rules":"0'), b"[]"):
        memory.write_bytes(spoil)
        decoded.clear()
        assert look(root) == first and len(decoded) == 12
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "training/Xray/dental/dental_questions_train.json"))
    assert look(root) == first, "a cache that cannot be written is none"


def test_hashes_are_computed_once_they_are_asked_for(flare: Flare) -> None:
    root = tree(flare)
    assert look(root, compare=False)[0] == {}
    assert len(look(root)[0]) == 11


def test_several_processes_see_the_same(flare: Flare, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    root = tree(flare)
    alone = look(root)
    for memory in cache.iterdir():
        memory.unlink()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert look(root) == alone


def test_without_the_library_the_need_is_named(flare: Flare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "can_compare", lambda: False)
    with pytest.raises(EnvironmentProblem, match="imagehash") as caught:
        look(tree(flare))
    assert "me-vlip[data]" in str(caught.value.remedy)
    assert look(tree(flare), compare=False)[0] == {}


def hashes(images: dict[str, Image.Image], folder: Path) -> dict[str, str]:
    """The perceptual hash of each picture, by name."""
    for name, image in images.items():
        image.save(folder / f"{name}.png")
    with ImageStore(folder) as store:
        question = Question(0, "", 0, {"ImageName": [f"{name}.png" for name in images]}, folder)
        by_digest = survey(folder, store, [question], quiet=True, compare=True)
        return {name: by_digest.get(store.facts(question, f"{name}.png").sha256, "") for name in images}


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def test_copies_of_real_pictures_are_found_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    chosen = [one for one in PICTURES if one.name in ("retina.jpg", "ct_signed.tif", "ultrasound.png", "cell.png")]
    missed, originals = [], {}
    for one in chosen:
        image = load_image(one.put(tmp_path / "sources"))
        half = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
        copies = {"jpeg": jpeg(image, 75), "half": half, "gray": image.convert("L"), "half, jpeg": jpeg(half, 75)}
        folder = tmp_path / one.name
        folder.mkdir()
        looks = hashes(copies | {"original": image}, folder)
        near = {frozenset(pair) for pair in near_pairs(looks)}
        missed += [f"{one.name} {copy}" for copy in copies if {copy, "original"} not in near]
        originals[one.name] = looks["original"]
    assert len(chosen) == 4 and missed == []
    assert list(near_pairs(originals)) == []


def test_pictures_with_nothing_to_see_are_not_compared(tmp_path: Path) -> None:
    faint = np.random.default_rng(1).integers(100, 103, (64, 64), dtype=np.uint8)
    found = hashes({"one": Image.fromarray(faint), "two": Image.fromarray(faint.T)}, tmp_path)
    assert found == {"one": "", "two": ""}
    assert paint(tmp_path / "even.png").is_file()
    assert list(near_pairs({})) == []
