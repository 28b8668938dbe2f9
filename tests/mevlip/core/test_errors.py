from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from mevlip.core.errors import ExitCode, MevlipError, ModelFailure


def kinds(base: type[MevlipError] = MevlipError) -> Iterator[type[MevlipError]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_an_error_says_cause_and_remedy_and_passes_between_processes(kind: type[MevlipError]) -> None:
    error = pickle.loads(pickle.dumps(kind("The disk is full.", "Free some.")))
    assert (type(error), error.cause, error.remedy) == (kind, "The disk is full.", "Free some.")
    assert str(error) == "The disk is full. Free some."


def test_a_broken_model_has_a_status_of_its_own() -> None:
    assert ModelFailure.exit_code == 8
    assert [code.value for code in ExitCode] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130]
