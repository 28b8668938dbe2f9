"""Whatever is done to a real file: its frames, or a cause; never another error, and never a crash."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.checkpoints.routes import ImageSettings
from mevlip.flare.given import load_given_images
from mevlip.flare.questions import Question
from tests.mevlip.frame_files import dicom_path, film, nifti, npy, pages, slices

SMALL = slices(3, 8, 9).astype(np.int16)
FILES = {
    "dicom": dicom_path("CT_small.dcm").read_bytes(),
    "dicom enhanced": dicom_path("emri_small.dcm").read_bytes(),
    "dicom RLE": dicom_path("SC_rgb_rle_2frame.dcm").read_bytes(),
    "dicom JPEG": dicom_path("SC_rgb_jpeg_dcmtk.dcm").read_bytes(),
    "dicom JPEG 2000": dicom_path("MR_small_jp2klossless.dcm").read_bytes(),
    "dicom palette": dicom_path("examples_palette.dcm").read_bytes(),
    "npy": npy(SMALL),
    "nifti": nifti(SMALL),
    "nifti packed": gzip.compress(nifti(SMALL)),
    "mp4": film(20, 5),
    "matroska": film(20, 5, "matroska"),
    "avi": film(20, 5, "avi"),
    "tiff": pages("TIFF", [plane.astype(np.uint8) for plane in SMALL], compression="tiff_lzw"),
    "gif": pages("GIF", [plane.astype(np.uint8) for plane in SMALL]),
}


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_it_is_shown_or_its_fault_is_named(name: str, data: st.DataObject) -> None:
    content = bytearray(FILES[name])
    head = min(len(content), 2000)  # where headers are
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, head - 1) | st.integers(0, len(content) - 1))
        change = data.draw(st.binary(min_size=1, max_size=8))
        content[place : place + len(change)] = change
    cut = data.draw(st.none() | st.integers(0, len(content)))
    loaded = load_given_images(Question.given_as("What?", [bytes(content[:cut])]), ImageSettings())
    assert bool(loaded.images) != bool(loaded.problems)
    assert len(loaded.images) == len(loaded.sizes) <= 11
    assert all(one.mode == "RGB" for one in loaded.images)
