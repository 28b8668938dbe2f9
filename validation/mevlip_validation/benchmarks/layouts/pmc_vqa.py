"""PMC-VQA: multiple choice on figures of papers (Zhang et al. 2023; RadGenome/PMC-VQA on Hugging Face).

Version 1: `test.csv` with `Figure_path`, `Question`, `Answer` (a text), `Choice A` to `Choice D` (such as `A:Pleura`,
with stray blanks) and `Answer_label`, and the pictures in `images`. Version 2, figures of one panel: `test_2.csv` with
the same columns, but `Answer` is the letter and there is no `Answer_label`; its pictures lie in `figures`. `train` in
place of `test` likewise. There is no validation split; where both versions are there, the second is read.
"""

from __future__ import annotations

import re

from mevlip_validation.benchmarks.base import Benchmark, Found, Item, Split, Unusable, ask_one, fold
from mevlip_validation.benchmarks.reading import Record, Source

_CHOICES = tuple("ABCD")


def read(source: Source, split: Split) -> Found:
    """Gives the questions of a split."""
    files = source.find(f"{split}_2.csv", f"{split}2.csv", f"{split}.csv")
    if not files or split == "validation":
        raise BENCHMARK.missing(source, split)
    second = files[0].stem.endswith("2")
    folder = source.folder(*(("figures", "images_2", "images2") if second else ("images", "figures")))
    for record in source.records(files[0]):
        options = [re.sub(rf"^{letter}\s*[:.)]\s*", "", record.text(f"Choice {letter}")) for letter in _CHOICES]
        image = f"{folder}/{record.text('Figure_path')}"
        try:
            asked = ask_one(record.text("Question"), options, _right(record, options))
        except Unusable as error:
            yield error
        else:
            yield Item("pmc_vqa", (image,), "Figure", *asked, record.where, "Figure_path")


def _right(record: Record, options: list[str]) -> int:
    """The index of the right option: by letter, else by text."""
    letter = record.get("Answer_label") or record.text("Answer")
    if letter in _CHOICES:
        return _CHOICES.index(letter)
    folded = [*map(fold, options)]
    if folded.count(fold(letter)) != 1:
        raise Unusable("its answer is not exactly one of its options")
    return folded.index(fold(letter))


BENCHMARK = Benchmark(
    "pmc-vqa",
    "PMC-VQA",
    "Various",
    "test_2.csv beside figures/, or test.csv beside images/ (train likewise); there is no validation split",
    read,
)
