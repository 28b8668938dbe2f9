from __future__ import annotations

import pytest

from benchmarks.predict import one_by_one, planned
from mevlip.checkpoints.checkpoint import open_checkpoint
from mevlip.flare.questions import read_input_folder
from mevlip.routing.router import Router
from tests.conftest import DEMO, EXAMPLES, FakeModel


@pytest.mark.model
def test_planning_saves_router_batches_switches_and_forwards_and_loses_no_question() -> None:
    folder, checkpoint = read_input_folder(EXAMPLES), open_checkpoint(DEMO)
    router = Router.load(checkpoint.router)
    plain = one_by_one(folder, router, FakeModel(), checkpoint)
    better = planned(folder, router, FakeModel(), checkpoint)
    assert plain.questions == better.questions == 54
    assert plain.image_encodes == better.image_encodes == 63
    assert plain.prefill_tokens == better.prefill_tokens
    assert (plain.router_forwards, plain.adapter_switches, plain.forwards) == (54, 54, 108)
    assert (better.router_forwards, better.adapter_switches) == (2, 8)
    # 27 classification questions in four batches of at most 8, each other task in one, and one question that the router
    # is unsure of with the generalist; two fake forwards each.
    assert better.forwards == 2 * (4 + 6 + 1)
