"""Work on many pictures of one folder, in several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mevlip.core.errors import EnvironmentProblem
from mevlip.flare.store import ImageStore

FEW = 200
"""Before other processes have started, so few pictures are done."""

_MOST_PROCESSES = 8

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def with_store(
    work: Callable[[ImageStore, _Item], _Result], root: Path, store: ImageStore, items: Sequence[_Item]
) -> Iterator[_Result]:
    """Does a work on each item.

    Args:
        work: What is done with the store of the folder and an item; for many items in several processes, so that it
            and all that it takes and gives has to be one that can be sent to another process.
        root: The store's folder, resolved.
        store: The store of this process.
        items: The items.

    Yields:
        The results, in the items' order.

    Raises:
        EnvironmentProblem: A process was killed.
    """
    processes = min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
    if len(items) < FEW or processes == 1:
        yield from (work(store, item) for item in items)
        return
    try:
        # Forked processes would inherit locks of threads that they do not have.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, _open_store, (root,)) as pool:
            yield from pool.map(partial(_work, work), items, chunksize=16)
    except BrokenProcessPool as error:
        raise EnvironmentProblem(
            "A process that reads pictures was ended from outside", "Free memory; each may need half a GiB."
        ) from error


_own_store: list[ImageStore] = []
"""The store of a process that works for another."""


def _open_store(root: Path) -> None:
    _own_store.append(ImageStore(root))


def _work(work: Callable[[ImageStore, Any], Any], item: Any) -> Any:
    return work(_own_store[0], item)
