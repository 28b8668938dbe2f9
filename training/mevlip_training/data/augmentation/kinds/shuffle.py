"""Lettered questions with their options in another order."""

from __future__ import annotations

import random

from mevlip.answers.choice import Choice
from mevlip_training.data.augmentation.base import DataSet, Options, Original, kind, may_move
from mevlip_validation.rewordings import with_options


@kind("shuffle", "lettered options in another order; the answer's letter follows")
def shuffle(row: Original, _dataset: DataSet, _draw: random.Random) -> Options | None:
    """Keeps a lettered question's words and marks, and moves its options' texts."""
    options = row.spec.options
    if row.answer_type is not Choice or row.target not in options or not may_move(options.values()):
        return None
    wrong = tuple(text for mark, text in options.items() if mark != row.target)
    return Options(options[row.target], wrong, lambda texts: with_options(row.spec, texts), row.spec.line)
