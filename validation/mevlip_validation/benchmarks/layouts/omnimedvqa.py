"""OmniMedVQA: multiple choice on pictures of many data sets (Hu et al. 2024).

Source: foreverbeliever/OmniMedVQA on Hugging Face.

`QA_information/Open-access/*.json` are lists with `image_path` (below the folder, such as `Images/...`), `question`,
`option_A` to `option_D`, some of which may be absent, `gt_answer` (the right option's text) and `modality_type` (in one
record `modality`). All of it is for testing. The part under restricted access is not read: its pictures do not come
with it.
"""

from __future__ import annotations

from mevlip_validation.benchmarks.base import Benchmark, Found, Item, Split, Unusable, ask_one, fold
from mevlip_validation.benchmarks.reading import Source

_OPTIONS = tuple(f"option_{letter}" for letter in "ABCDEFGH")


def read(source: Source, split: Split) -> Found:
    """Gives all questions; there is no other split."""
    files = source.find("QA_information/Open-access/*.json")
    if not files or split != "test":
        raise BENCHMARK.missing(source, split)
    for path in files:
        for record in source.records(path):
            options = [text for name in _OPTIONS if (text := record.get(name))]
            right = fold(record.text("gt_answer"))
            image, modality = record.text("image_path"), record.text("modality_type", "modality")
            folded = [*map(fold, options)]
            try:
                if folded.count(right) != 1 or len(options) < 2:
                    raise Unusable("its answer is not exactly one of its options")
                asked = ask_one(record.text("question"), options, folded.index(right))
            except Unusable as error:
                yield error
            else:
                yield Item("omnimedvqa", (image,), modality, *asked, record.where, "image_path")


BENCHMARK = Benchmark(
    "omnimedvqa",
    "OmniMedVQA",
    "Various",
    "QA_information/Open-access/*.json beside Images/; all of it is for testing",
    read,
)
