"""The predictor against a loop of one question at a time: `python -m benchmarks.predict [INPUT]`.

The baseline does what the published container does: in input order, it classifies one question, selects its adapter and
generates one row. Both sides run the same model code in one process, in turn, on the demo checkpoint. Times say
something about this machine only, and a ratio on a CPU is not a ratio on a GPU; the counters hold anywhere.
"""

from __future__ import annotations

import logging
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mevlip.checkpoints.checkpoint import Checkpoint, find_checkpoint, open_checkpoint
from mevlip.core.offline import go_offline
from mevlip.core.tables import table
from mevlip.flare.questions import InputFolder, read_input_folder
from mevlip.flare.store import ImageStore
from mevlip.inference.batching import Batch, plan
from mevlip.inference.completion import Model
from mevlip.inference.engine import Counters, Engine
from mevlip.predictor import load_model
from mevlip.routing.policy import route
from mevlip.routing.router import Router
from mevlip.settings import AnswerSettings

ROUNDS = 3
BATCH_SIZE: int = AnswerSettings.model_fields["batch_size"].default


def one_by_one(folder: InputFolder, router: Router, model: Model, checkpoint: Checkpoint) -> Counters:
    """The baseline: everything anew for each question, in input order."""
    counters = Counters()
    load = ImageStore(folder.root).load
    start = router.forwards
    for question in folder.questions:
        item = route(question, "router", router.classify([question.text]), router.settings.threshold)
        Engine(model, checkpoint.routes, load, counters).answer(Batch(item.adapter, item.task, (item,)))
    counters.router_forwards = router.forwards - start
    return counters


def planned(folder: InputFolder, router: Router, model: Model, checkpoint: Checkpoint) -> Counters:
    """The predictor's way: all questions routed first, then laid out in batches by adapter and length."""
    start = router.forwards
    predictions = router.classify(question.text for question in folder.questions)
    routed = [route(question, "router", predictions, router.settings.threshold) for question in folder.questions]
    engine = Engine(model, checkpoint.routes, ImageStore(folder.root).load)
    list(engine.run(plan(routed, BATCH_SIZE)))
    engine.counters.router_forwards = router.forwards - start
    return engine.counters


def measure(folder: InputFolder, checkpoint: Checkpoint) -> list[tuple[object, ...]]:
    """Runs both sides in turn and returns a table row for each."""
    router, model = Router.load(checkpoint.router), load_model(checkpoint, "auto")
    sides = {"one by one": one_by_one, "planned": planned}
    wall: dict[str, list[float]] = {name: [] for name in sides}
    processor: dict[str, list[float]] = {name: [] for name in sides}
    counters = {}
    for side in sides.values():
        side(folder, router, model, checkpoint)  # warm-up, not counted
    for _ in range(ROUNDS):
        for name, side in sides.items():
            began, began_processor = time.perf_counter(), time.process_time()
            counters[name] = side(folder, router, model, checkpoint)
            wall[name].append(time.perf_counter() - began)
            processor[name].append(time.process_time() - began_processor)
    return [_row(name, wall[name], processor[name], counters[name]) for name in sides]


def _row(name: str, wall: Sequence[float], processor: Sequence[float], counters: Counters) -> tuple[object, ...]:
    times = (f"{min(wall):.2f} / {statistics.median(wall):.2f}", f"{min(processor):.2f}")
    return (
        name,
        *times,
        counters.router_forwards,
        counters.adapter_switches,
        counters.forwards,
        counters.prefill_tokens,
    )


def main() -> None:
    """Prints the table."""
    logging.basicConfig(level=logging.WARNING)
    go_offline()
    folder = read_input_folder(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("examples/inputs"))
    checkpoint = open_checkpoint(find_checkpoint("demo"))
    rows = measure(folder, checkpoint)
    print(f"{len(folder.questions)} questions, {ROUNDS} rounds in turn, demo checkpoint")
    header = (
        "system",
        "wall s min / median",
        "CPU s min",
        "router batches",
        "adapter switches",
        "forwards",
        "prompt tokens",
    )
    print(table(header, rows))
    print("A ratio on a CPU is not a ratio on a GPU; the counters hold anywhere.")


if __name__ == "__main__":
    main()
