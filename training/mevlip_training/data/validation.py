"""Rows on which a training is watched: of other images than those trained on, and as prediction asks them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mevlip.core.errors import InputError
from mevlip.flare.images import spaced_indices
from mevlip.flare.store import ImageStore
from mevlip.tasks import GENERALIST
from mevlip_training.data.mixing import is_left_out
from mevlip_training.data.records import read_examples, rows_to_train
from mevlip_training.data.rows import AdapterRows, Choices, Row, RowBuilder, condemned

logger = logging.getLogger(__name__)

MOST_ROWS = 1000
"""Most rows of an adapter. Training takes a row forward twice (gradient checkpointing) and back once, evaluation only
forward: by that count 1,000 rows each 500 steps of eight cost a twelfth of the training, and all 6,860 rows of a tenth
of the challenge's data would cost more than half of it."""


@dataclass(frozen=True)
class Watched:
    """What was selected.

    Attributes:
        rows: The rows of each adapter that has any.
        store: The store of their images.
    """

    rows: Mapping[str, list[Row]]
    store: ImageStore


@contextmanager
def select_validation(
    source: Path, adapters: Mapping[str, AdapterRows], store: ImageStore, choices: Choices, quiet: bool = False
) -> Iterator[Watched]:
    """Selects the rows that each adapter's training is watched on; their images can be read within the block.

    Each is asked with its adapter's prompt and images, once, however training repeats or explodes rows: a question of
    which training shows every image in a row of its own is asked with the first, as prediction does. Of more than
    `MOST_ROWS` of them so many are taken, evenly spaced, so that every data set keeps its share.

    Args:
        source: A FLARE tree with answers that is but one split.
        adapters: What is trained on.
        store: The store of its images.
        choices: What holds without a recipe.
        quiet: Whether to show no progress.

    Yields:
        What was selected.

    Raises:
        InputError: No row is left.
    """
    examples = read_examples(source)
    trained = {digest for rows in adapters.values() for row in rows.mixed for digest in _digests(row, store)}
    with ImageStore(examples.root) as own:
        builder = RowBuilder(own, condemned(examples, own, choices, quiet))
        candidates = rows_to_train(examples)
        kept: dict[str, list[Row]] = {}
        shared: set[str] = set()
        for name, rows in adapters.items():
            asked = replace(rows.choices, images="first") if rows.choices.images == "explode" else rows.choices
            pool = (one for one in candidates if name in (GENERALIST, one.task))
            found = builder.rows((one for one in pool if not is_left_out(one, rows.recipe.leave_out)), asked)
            known = {row.example.question.where for row in found if not trained.isdisjoint(_digests(row, own))}
            shared |= known
            if unknown := [row for row in found if row.example.question.where not in known]:
                kept[name] = [unknown[index] for index in spaced_indices(len(unknown), MOST_ROWS)]
        if not kept:
            causes = [f"{count} x {reason}" for reason, count in builder.left_out.most_common()]
            causes += [f"{len(shared)} show an image that is trained on"] if shared else []
            raise InputError(
                f"No row below {source} can be validated on ({', '.join(causes) or 'none of a trained task'})",
                "Name a folder of other images with answers, such as the validation part of `mevlip data split`.",
            )
        if shared:
            logger.warning("%s: %d questions show an image that is trained on: left out", source, len(shared))
        if bare := [name for name in adapters if name not in kept]:
            logger.warning("%s has no rows for %s: trained without validation", source, ", ".join(bare))
        yield Watched(kept, own)


def _digests(row: Row, store: ImageStore) -> Iterable[str]:
    """Hashes of the images that a row shows."""
    return (store.facts(row.example.question, name).sha256 for name in row.names)
