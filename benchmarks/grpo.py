"""What GRPO adds to the demo's adapters: `python -m benchmarks.grpo [FOLDER]`, on one core.

Each adapter that was trained by supervision is trained further on the same rows by rewards (`mevlip train grpo`), of
several images the first, and both answer the same held-out questions, constrained; the gain in score has a paired
interval. Questions are drawn from a seed of their own. What is in FOLDER already (build/grpo without one) is not made
again. Results: docs/grpo.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.recipes import DEMO, Bench, of_tasks, rows_of
from mevlip.core.tables import table
from mevlip.tasks import TaskType
from mevlip_training.demo.build import SEED as DEMO_SEED
from mevlip_training.demo.inputs import write_inputs, write_training
from mevlip_training.grpo.log import LOG_NAME, read
from mevlip_training.runs import read_yaml

OVERLAY = Path("training/mevlip_training/demo/grpo.yaml")
STEPS, QUESTIONS = 200, 8
"""Least optimizer steps, and questions of each, with eight answers; all rows are asked about once at least."""
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "constrained": {},
    "cool": {"temperature": 0.4},
    "free": {"constrain": False},
}
"""How completions are sampled: by default, nearer to the likeliest answer, and without the limits of a question."""
IMPROVED = (TaskType.MULTI_LABEL, TaskType.INSTANCE_DETECTION, TaskType.REGRESSION)
FREE = (TaskType.DETECTION, TaskType.COUNTING, *IMPROVED)
RUNS = (
    ("constrained", 1, tuple(TaskType)),
    ("constrained", 2, IMPROVED),
    ("cool", 1, (TaskType.REPORT,)),
    ("free", 1, FREE),
)
"""Variants, seeds of training and tasks."""
QUESTION_SEED, EACH = 97, 1000
"""Seed and number of questions of each data set."""
PARTS = 5
"""How many parts of a run the table of rewards shows."""


class Grpo(Bench):
    """The bench's folder, with the demo's adapters trained further."""

    recipes: Mapping[str, str] = {"first": "default:\n  show: first"}

    def data(self) -> Path:
        """The rows that the demo's adapters were trained on."""
        tree = self.draw("training", lambda root: write_training(root, DEMO_SEED, rows_of(*TaskType)))
        return self.prepare("all", tree, "first")

    def run(self, variant: str, seed: int) -> Path:
        """The folder of the runs of a variant."""
        return self.folder / "runs" / f"{variant}-seed-{seed}"

    def reinforced(self, task: TaskType, variant: str, seed: int) -> Path:
        """The demo's adapter of a task, trained further; packed."""
        rows = (self.data() / f"{task.value}.jsonl").read_bytes().count(b"\n")
        steps = max(STEPS, rows // QUESTIONS)
        settings = {**VARIANTS[variant], "max_steps": steps, "save_steps": 50, "seed": seed}
        lines = [f"{key}: {value}" for key, value in {**read_yaml(OVERLAY), **settings}.items()]
        overlay = self._file(f"overlays/{variant}-seed-{seed}-{steps}-steps.yaml", "\n".join(lines))
        runs = self.run(variant, seed)
        made = runs / "adapters" / task.value
        start = ("--from", DEMO / "adapters", "--base", DEMO / "base", "--overlay", overlay, "--out", runs)
        self.mevlip(made / "README.md", "train", "grpo", self.data(), "--task", task.value, *start)
        return made

    def questions(self, kind: str) -> Path:
        """Held-out questions of a task."""
        datasets = of_tasks(TaskType(kind))
        return self.draw(f"questions/{kind}", lambda root: write_inputs(root, QUESTION_SEED, EACH, datasets))


def gained(bench: Grpo) -> Iterator[tuple[str, ...]]:
    """Rows of pair, task, scores, gain with interval, p and verdict."""
    for variant, seed, tasks in RUNS:
        name = f"{variant}-seed-{seed}"
        made = bench.assemble(name, [bench.reinforced(task, variant, seed) for task in tasks])
        for task in tasks:
            answers = [bench.ask(task, "sft", DEMO), bench.ask(task, name, made)]
            yield from bench.compare(f"{name}-{task}", bench.questions(task), answers)


def rewarded(bench: Grpo) -> Iterator[tuple[str, ...]]:
    """Rows of variant, seed, task, mean reward in each part of the run, divergence at its end, and minutes."""
    for variant, seed, task in ((variant, seed, task) for variant, seed, tasks in RUNS for task in tasks):
        steps = read(bench.run(variant, seed) / task.value / LOG_NAME)
        ends = [len(steps) * part // PARTS for part in range(PARTS + 1)]
        parts = [steps[low:high] for low, high in pairwise(ends)]
        means = [f"{fmean(one.total.mean for one in part):.3f}" for part in parts]
        apart = fmean(one.kl or 0.0 for one in parts[-1])
        minutes = sum(one.seconds for one in steps) / 60
        yield variant, str(seed), task.value, *means, f"{apart:.3f}", f"{minutes:.0f}"


def main() -> None:
    """Makes what is missing and prints the two tables."""
    bench = Grpo(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/grpo"))
    head = ("pair", "task", "SFT", "GRPO", "gain [95 % interval]", "p", "verdict")
    gains = table(head, gained(bench))
    parts = (f"reward {part + 1}/{PARTS}" for part in range(PARTS))
    print(f"Held-out questions\n{gains}\n")
    print(f"Runs\n{table(('variant', 'seed', 'task', *parts, 'KL', 'minutes'), rewarded(bench))}")


if __name__ == "__main__":
    main()
