"""What a start costs above the libraries it needs: `python -m benchmarks.startup [ROUNDS]`.

In turn, each in a process of its own: the plain imports of the five libraries, as anyone would write them; the same as
the predictor imports them, without what it never uses; and `Predictor.load("checkpoints/demo")` with one question. CPU
seconds are those of the whole process, threads and helpers included. They say something about this machine only; the
differences are what a start adds. The demo's weights take no time, so that what is left is what every start pays.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, NamedTuple
from unittest.mock import patch

from mevlip.core.tables import table

ROUNDS = 5
QUESTION = "Which finding? A: Cyst, B: Tumor"
PLAIN = "plain imports"
LEAN = "the predictor's imports"
START = "load and one question"
PROGRAMS = {
    PLAIN: "import torch, transformers, peft, bitsandbytes, gliclass",
    LEAN: "from benchmarks.startup import import_libraries; import_libraries()",
    START: f"import mevlip; mevlip.Predictor.load('checkpoints/demo', 'cpu').ask({QUESTION!r})",
}
SPLIT = "import json; from benchmarks.startup import split; print(json.dumps(split()))"


class Cost(NamedTuple):
    """Seconds of one process."""

    cpu: float
    wall: float


def import_libraries() -> None:
    """Imports the five libraries as the predictor does."""
    from mevlip.core.lean_imports import import_gliclass, import_peft, import_transformers
    from mevlip.core.offline import go_offline

    go_offline()
    import_transformers()
    import_gliclass()
    import_peft()


def measure(program: str) -> tuple[Cost, str]:
    """Runs a program in a process of its own, on one thread where libraries compute.

    Returns:
        What it cost, and what it printed.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, check=True
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall), done.stdout.decode()


def compare(programs: Mapping[str, str], rounds: int) -> dict[str, Cost]:
    """Measures programs in turn, after one round that is not counted; medians."""
    costs: dict[str, list[Cost]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, program in programs.items():
            cost, _ = measure(program)
            if number:
                costs[name].append(cost)
    return {
        name: Cost(statistics.median(one.cpu for one in own), statistics.median(one.wall for one in own))
        for name, own in costs.items()
    }


class Split:
    """CPU seconds by phase, each without the phases inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = 0.0

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Counts the block's time for a phase."""
        outside, self._inside = self._inside, 0.0
        began = time.process_time()
        try:
            yield
        finally:
            taken = time.process_time() - began
            self.seconds[phase] = self.seconds.get(phase, 0.0) + taken - self._inside
            self._inside = outside + taken

    def around(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose time is counted for a phase."""

        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            with self(phase):
                return function(*arguments, **options)

        return timed


def split() -> dict[str, float]:
    """Loads the demo and asks it, one phase after another, in this process.

    Returns:
        CPU seconds by phase. Weights are verified before they are loaded here, so that each phase has its own time.
    """
    phases = Split()
    with phases("import the libraries"):
        import_libraries()
    with phases("import our code"):
        from mevlip.inference import model
        from mevlip.predictor import Predictor
        from mevlip.settings import PredictorSettings
    with phases("read manifest and routes"):
        predictor = Predictor.find(PredictorSettings(checkpoint="checkpoints/demo", device="cpu"))
    with phases("verify"):
        predictor.verify()
    with phases("router"):
        _ = predictor.router
    parts = {
        "base": (model, "load_base"),
        "adapters": (model, "load_adapters"),
        "tokenizer and processor": (model, "PromptEncoder"),
        "grammars for the vocabulary": (model.VisionLanguageModel, "_pin_decoding"),
        "prove the adapters": (model.VisionLanguageModel, "_prove_adapters"),
        "prove templates and grammars": (model.VisionLanguageModel, "_prove_routes"),
    }
    with ExitStack() as stack:
        for phase, (place, name) in parts.items():
            stack.enter_context(patch.object(place, name, phases.around(phase, getattr(place, name))))
        with phases("rest of the model"):
            _ = predictor.model
    with phases("one question"):
        predictor.ask(QUESTION)
    return phases.seconds


def main() -> None:
    """Prints both tables."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    costs = compare(PROGRAMS, rounds)
    rows = [(name, f"{cost.cpu:.2f}", f"{cost.wall:.2f}") for name, cost in costs.items()]
    for name in (PLAIN, LEAN):
        above = Cost(costs[START].cpu - costs[name].cpu, costs[START].wall - costs[name].wall)
        rows.append((f"a start above {name}", f"{above.cpu:.2f}", f"{above.wall:.2f}"))
    print(f"medians of {rounds} rounds in turn, one thread, the demo checkpoint")
    print(table(("process", "CPU s", "wall s"), rows))
    taken = [json.loads(measure(SPLIT)[1]) for _ in range(rounds)]
    print(table(("phase", "CPU s"), [(p, f"{statistics.median(one[p] for one in taken):.3f}") for p in taken[0]]))


if __name__ == "__main__":
    main()
