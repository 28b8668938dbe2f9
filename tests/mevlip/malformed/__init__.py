"""A corpus of malformed inputs, made when it is needed: each case is one folder with a question file and its images."""

from __future__ import annotations

from collections.abc import Iterator

from tests.mevlip.malformed import images, names, question_files, records
from tests.mevlip.malformed.case import Case

__all__ = ["Case", "all_cases"]


def all_cases() -> Iterator[Case]:
    """Yields every case; their names are distinct."""
    for source in (question_files, records, names, images):
        yield from source.cases()
