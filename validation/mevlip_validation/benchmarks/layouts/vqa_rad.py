"""VQA-RAD: questions of clinicians on radiographs, CT and MR (Lau et al. 2018; https://osf.io/89kps).

`VQA_RAD Dataset Public.json` is a list with `image_name`, `question`, `answer`, `answer_type` (OPEN or CLOSED, some
with a blank behind them) and `phrase_type`, which begins with `test` for the test questions; the pictures lie in
`VQA_RAD Image Folder`. There is no validation split. The mirror flaviagiammarino/vqa-rad on Hugging Face has
`data/test-*.parquet` with `image`, `question` and `answer`.
"""

from __future__ import annotations

from mevlip_validation.benchmarks.base import Benchmark, Found, Item, Split, Unusable, ask
from mevlip_validation.benchmarks.reading import Source
from mevlip_validation.benchmarks.shared import from_parquet

_MODALITY = "Radiology"


def read(source: Source, split: Split) -> Found:
    """Gives the questions of a split."""
    files = source.find("VQA_RAD*Public.json")
    if not files:
        yield from from_parquet(BENCHMARK, source, split, "vqa_rad", _MODALITY)
        return
    if split == "validation":
        raise BENCHMARK.missing(source, split)
    folder = source.folder("VQA_RAD Image Folder", "VQA_RAD_Image_Folder", "images")
    for record in source.records(files[0]):
        if record.text("phrase_type").lower().startswith("test") != (split == "test"):
            continue
        closed = record.get("answer_type").upper() == "CLOSED"
        image = f"{folder}/{record.text('image_name')}"
        try:
            asked = ask(record.text("question"), record.text("answer"), closed=closed)
        except Unusable as error:
            yield error
        else:
            yield Item("vqa_rad", (image,), _MODALITY, *asked, record.where, "image_name")


BENCHMARK = Benchmark(
    "vqa-rad",
    "VQA-RAD",
    "Radiology",
    "'VQA_RAD Dataset Public.json' with 'VQA_RAD Image Folder', or data/test-*.parquet of the mirror "
    "flaviagiammarino/vqa-rad; there is no validation split",
    read,
)
