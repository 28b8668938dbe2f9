"""IU X-ray: chest radiographs with reports (Demner-Fushman et al. 2016), in the split of R2Gen (Chen et al. 2020).

`annotation.json` is an object with `train`, `val` and `test`, lists with `id`, `report` and `image_path`, the names of
one or more pictures below `images`. The question is this package's own.
"""

from __future__ import annotations

from mevlip.answers import QuestionSpec
from mevlip.core.errors import InputError
from mevlip.core.text import one_line
from mevlip.tasks import TaskType
from mevlip_validation.benchmarks.base import Benchmark, Found, Item, Split, Unusable
from mevlip_validation.benchmarks.reading import Source
from mevlip_validation.targets import TargetError, write_target

QUESTION = "Describe the findings of this chest examination in a short report."

_KEYS: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}


def read(source: Source, split: Split) -> Found:
    """Gives the reports of a split."""
    files = source.find("annotation.json")
    if not files:
        raise BENCHMARK.missing(source, split)
    content = source.json(files[0])
    if not isinstance(content, dict) or _KEYS[split] not in content:
        raise BENCHMARK.missing(source, split)
    for record in source.list_of(content[_KEYS[split]], f"annotation.json: {_KEYS[split]}"):
        names = record.fields.get("image_path")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise InputError(f"{record.where}: field 'image_path' is not a list of names", "Download the file again.")
        report = one_line(record.text("report"))
        try:
            write_target(TaskType.REPORT, report, QuestionSpec(QUESTION))
        except TargetError as error:
            yield Unusable(f"its report cannot be scored ({error.code})")
            continue
        images = tuple(f"images/{name}" for name in names)
        yield Item("iu_xray", images, "X-ray", TaskType.REPORT, QUESTION, report, record.where, "image_path")


BENCHMARK = Benchmark("iu-xray", "IU X-ray", "Xray", "annotation.json of R2Gen beside images/", read)
