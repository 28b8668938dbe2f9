from __future__ import annotations

import json

import pytest

from benchmarks.startup import SPLIT, Cost, Split, compare, measure


def test_programs_are_measured_in_turn_after_a_warm_up() -> None:
    costs = compare({"idle": "pass", "busy": "import time\nwhile time.process_time() < 0.3: pass"}, 1)
    assert list(costs) == ["idle", "busy"]
    assert all(isinstance(cost, Cost) and cost.wall > 0 for cost in costs.values())
    assert costs["busy"].cpu >= 0.3


def test_a_phase_is_counted_without_those_inside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 4.0, 5.0, 10.0])
    monkeypatch.setattr("time.process_time", lambda: next(clock))
    phases = Split()
    with phases("outer"):
        phases.around("inner", lambda: None)()
        with phases("inner"):
            pass
    assert phases.seconds == {"inner": 2.0 + 1.0, "outer": 10.0 - 3.0}


@pytest.mark.model
def test_a_start_is_split_into_its_phases() -> None:
    cost, printed = measure(SPLIT)
    seconds = json.loads(printed)
    assert {"import the libraries", "verify", "router", "base", "adapters", "prove the adapters"} <= set(seconds)
    assert 0 < sum(seconds.values()) < cost.cpu and min(seconds.values()) >= 0
