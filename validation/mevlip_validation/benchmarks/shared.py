"""What several layouts have in common: the Parquet mirrors of questions with one picture each."""

from __future__ import annotations

from mevlip_validation.benchmarks.base import Benchmark, Found, Item, Split, Unusable, ask
from mevlip_validation.benchmarks.reading import Source


def from_parquet(benchmark: Benchmark, source: Source, split: Split, dataset: str, modality: str) -> Found:
    """The questions of a mirror's `data/<split>-*.parquet`, with `image`, `question` and `answer`.

    Raises:
        InputError: There is no such file.
    """
    files = source.find(f"data/{split}-*.parquet", f"{split}-*.parquet")
    if not files:
        raise benchmark.missing(source, split)
    for path in files:
        for record, content in source.parquet(path):
            try:
                asked = ask(record.text("question"), record.text("answer"))
            except Unusable as error:
                yield error
            else:
                yield Item(dataset, content, modality, *asked, record.where, "image")
