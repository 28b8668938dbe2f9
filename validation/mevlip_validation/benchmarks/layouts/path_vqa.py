"""PathVQA: questions on pathology pictures of textbooks (He et al. 2020; https://github.com/UCSD-AI4H/PathVQA).

The authors ship `qas/<split>/<split>_qa.pkl`, which is not read: loading a pickle runs whatever program it holds. The
mirror flaviagiammarino/path-vqa on Hugging Face has `data/<split>-*.parquet` with `image`, `question` and `answer`. The
authors' tree with JSON in the pickle's place is read, too: `qas/<split>/<split>_qa.json`, a list with `image` (a name
without extension), `question` and `answer`, and `images/<split>/<image>.jpg`.
"""

from __future__ import annotations

from mevlip.core.errors import InputError
from mevlip_validation.benchmarks.base import Benchmark, Found, Item, Split, Unusable, ask
from mevlip_validation.benchmarks.reading import Source
from mevlip_validation.benchmarks.shared import from_parquet

_MODALITY = "Pathology"
_FOLDERS: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}


def read(source: Source, split: Split) -> Found:
    """Gives the questions of a split."""
    folder = _FOLDERS[split]
    files = source.find(f"qas/{folder}/{folder}_qa.json", f"qas/{folder}/{folder}_qa.jsonl")
    if not files:
        if not source.find("data/*.parquet", "*.parquet") and (pickles := source.find("**/*.pkl", "**/*.pickle")):
            raise InputError(
                f"{source.name(pickles[0])} is a pickle, which can run any program when it is read",
                "Take data/*.parquet of the mirror flaviagiammarino/path-vqa, or store the list as JSON in its place.",
            )
        yield from from_parquet(BENCHMARK, source, split, "path_vqa", _MODALITY)
        return
    for record in source.records(files[0]):
        name = record.text("image")
        image = f"images/{folder}/{name}" + ("" if name.lower().endswith((".jpg", ".jpeg", ".png")) else ".jpg")
        try:
            asked = ask(record.text("question"), record.text("answer"))
        except Unusable as error:
            yield error
        else:
            yield Item("path_vqa", (image,), _MODALITY, *asked, record.where, "image")


BENCHMARK = Benchmark(
    "path-vqa",
    "PathVQA",
    "Pathology",
    "data/<split>-*.parquet of the mirror flaviagiammarino/path-vqa, or qas/test/test_qa.json with images/test",
    read,
)
