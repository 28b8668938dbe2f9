"""The public evaluators' protocols, one file each, written from their rules, none from their code.

A file holds how its evaluator reads answers and, where that is known, what its reading costs; it defines one
`PROTOCOL`. Nothing else names it: a file that is added is found. The evaluators read the same text differently;
`docs/answers.md` lists where.
"""

from __future__ import annotations

import importlib
import pkgutil

from mevlip.tasks import TaskType
from mevlip_validation.metrics.base import Measure
from mevlip_validation.protocols.base import Formula, Protocol, Reader, Scoring

__all__ = ["Formula", "Protocol", "Reader", "Scoring", "protocols", "scoring_protocols", "scorings", "shown_protocols"]

_ORDER = ("flare25", "flare26", "board2026", "macro", "qwen25", "qwen3")
"""The order of those that come with the package; others follow by name."""
_SHARED = ("base", "misreadings")


def protocols() -> tuple[Protocol, ...]:
    """Finds every protocol.

    Raises:
        LookupError: A file here does not define one.
    """
    found = []
    for module in pkgutil.iter_modules(__path__):
        if module.name in _SHARED:
            continue
        protocol = getattr(importlib.import_module(f"{__name__}.{module.name}"), "PROTOCOL", None)
        if not isinstance(protocol, Protocol):
            raise LookupError(f"mevlip_validation/protocols/{module.name}.py does not define PROTOCOL, a Protocol")
        found.append(protocol)
    rank = {name: place for place, name in enumerate(_ORDER)}
    return tuple(sorted(found, key=lambda one: (rank.get(one.name, len(rank)), one.name)))


def scoring_protocols() -> list[Protocol]:
    """The protocols that score, which are the columns of the score table."""
    return [protocol for protocol in protocols() if protocol.scores]


def shown_protocols(first: str = "") -> list[str]:
    """Names of the protocols that tables show, one of them first if it is named."""
    names = [protocol.name for protocol in scoring_protocols() if not protocol.repeats or protocol.name == first]
    return sorted(names, key=lambda name: name != first)


def scorings(task: TaskType, measure: Measure) -> list[Scoring]:
    """How each protocol that knows a measure of a task scores it."""
    found = (protocol.scoring(task, measure) for protocol in scoring_protocols())
    return [scoring for scoring in found if scoring]
