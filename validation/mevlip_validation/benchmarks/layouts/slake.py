"""SLAKE: questions in English and Chinese on radiographs, CT and MR (Liu et al. 2021; BoKelvin/SLAKE on Hugging Face).

`train.json`, `validate.json` (`validation.json` in the mirror) and `test.json` are lists with `img_name`, `question`,
`answer`, `q_lang` (en or zh), `answer_type` (OPEN or CLOSED) and `modality`; the pictures lie in `imgs`. The two
languages become two data sets.
"""

from __future__ import annotations

from mevlip_validation.benchmarks.base import Benchmark, Found, Item, Split, Unusable, ask
from mevlip_validation.benchmarks.reading import Source

_FILES = {"train": ("train.json",), "validation": ("validate.json", "validation.json"), "test": ("test.json",)}
_LANGUAGES = ("en", "zh")


def read(source: Source, split: Split) -> Found:
    """Gives the questions of a split."""
    files = source.find(*_FILES[split])
    if not files:
        raise BENCHMARK.missing(source, split)
    for record in source.records(files[0]):
        language = record.text("q_lang").lower()
        if language not in _LANGUAGES:
            yield Unusable("its q_lang is neither en nor zh")
            continue
        closed = record.get("answer_type").upper() == "CLOSED"
        image = f"imgs/{record.text('img_name')}"
        try:
            asked = ask(record.text("question"), record.text("answer"), language, closed=closed)
        except Unusable as error:
            yield error
        else:
            modality = record.get("modality") or "Radiology"
            yield Item(f"slake_{language}", (image,), modality, *asked, record.where, "img_name")


BENCHMARK = Benchmark(
    "slake", "SLAKE", "Radiology", "train.json, validate.json or validation.json, and test.json, beside imgs/", read
)
