"""What LLaMA-Factory has to be told of a base model's family."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from mevlip.inference.families import Family
from mevlip.inference.prompts import IMAGE_PLACE

DEFAULT = "internvl"
"""The family of the published configs' base."""


def misfits(family: Family, settings: dict[str, Any], rows: Iterable[bytes]) -> Iterator[str]:
    """In what a config or its rows are for a base of another family.

    Args:
        family: The base's family.
        settings: The config.
        rows: Lines of the training data; the first one with an image is looked at.
    """
    if family.template and settings.get("template") != family.template:
        yield f"template is {settings.get('template')!r} here and {family.template!r} for this base"
    for row in rows:
        turns = json.loads(row).get("conversations") or [{}]
        before, image, after = str(turns[0].get("value", "")).partition(IMAGE_PLACE)
        if image and not before:
            if after.startswith("\n") != (family.image_gap == "\n"):
                yield "the rows' images are followed by what another base's chat template writes there"
            return
