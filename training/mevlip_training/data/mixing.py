"""Which rows an adapter is trained on: left out, raised by repetition, given by other tasks, and perturbed."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from mevlip.core.errors import InputError
from mevlip.core.extras import needing
from mevlip.flare.images import spaced_indices
from mevlip_training.data.records import Example
from mevlip_training.recipes.recipe import Balance, Donor, LeaveOut, PerturbedCopies

_Row = TypeVar("_Row")


class Copy(NamedTuple):
    """How the pictures of a row's copy are made worse: name and published level of a perturbation."""

    perturbation: str
    level: int


def is_left_out(example: Example, rule: LeaveOut) -> bool:
    """Whether a rule leaves an example out."""
    return example.task in rule.tasks or example.modality in rule.modalities or example.dataset in rule.datasets


def gives(example: Example, donor: Donor) -> bool:
    """Whether an example is one of a donor's."""
    return example.task == donor.task and (not donor.datasets or example.dataset in donor.datasets)


def raised_sizes(sizes: Counter[Hashable], balance: Balance) -> dict[Hashable, int]:
    """The number of rows that each group is raised to.

    A group of n rows, fewer than the balance's N, becomes min(n times its limit, N); any other keeps its n.
    """
    goal = max(sizes.values(), default=0) if balance.rows == "largest" else balance.rows
    return {
        group: max(size, goal if balance.times is None else min(size * balance.times, goal))
        for group, size in sizes.items()
    }


def balanced(rows: Sequence[_Row], group: Callable[[_Row], Hashable], balance: Balance) -> Iterator[_Row]:
    """Yields rows in their order, each copy after its original.

    A group's rows are repeated equally often; where that does not come out even, its first ones once more.

    Args:
        rows: The rows.
        group: The group that a row belongs to.
        balance: What groups are raised to.
    """
    sizes: Counter[Hashable] = Counter(map(group, rows))
    raised = raised_sizes(sizes, balance)
    passed: dict[Hashable, int] = defaultdict(int)
    for row in rows:
        name = group(row)
        times, once_more = divmod(raised[name], sizes[name])
        yield from [row] * (times + (passed[name] < once_more))
        passed[name] += 1


def given(rows: Sequence[_Row], donor: Donor) -> list[_Row]:
    """A donor's share of its rows, evenly spaced in their order; all of them where it has fewer than asked for."""
    if not rows:
        return []
    wanted = donor.rows if donor.share is None else max(round(len(rows) * donor.share), 1)
    return [rows[index] for index in spaced_indices(len(rows), wanted or 1)]


def check_names(rule: PerturbedCopies) -> None:
    """Refuses a rule that names a perturbation that does not exist.

    Raises:
        InputError: It does.
        EnvironmentProblem: The packages of perturbations are not installed.
    """
    with needing("robust", "Perturbed copies need"):
        from mevlip_validation.perturbations.registry import find
    try:
        for name in rule.names:
            find(name)
    except LookupError as error:
        raise InputError(f"perturb.names: {error.args[0]}", "docs/perturbations.md lists them.") from error


def draw_copy(example: Example, key: str, rule: PerturbedCopies) -> Copy | None:
    """Draws whether and how the pictures of an example are made worse; the same key draws the same.

    What would change the answer is not drawn: where a perturbation is the evidence itself, or moves things that are
    counted out of the picture.

    Args:
        example: The example.
        key: What the drawing depends on.
        rule: What may be drawn.

    Returns:
        None where it has no copy.
    """
    from mevlip_validation.perturbations.asked import Asked
    from mevlip_validation.perturbations.registry import modality_named, perturbations

    draw = random.Random(key)  # noqa: S311 - data, not secrets
    if draw.random() >= rule.share:
        return None
    asked = Asked(example.task, modality_named(example.modality))
    fitting = [
        name
        for name, one in perturbations().items()
        if asked.is_reached_by(one) and not asked.is_apart(one) and (name in rule.names or not rule.names)
    ]
    return Copy(draw.choice(fitting), draw.choice(rule.levels)) if fitting else None
