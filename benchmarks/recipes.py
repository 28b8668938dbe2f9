"""What recipes do to the demo: `python -m benchmarks.recipes [FOLDER]`, on one core.

Draws questions and training rows, trains adapters of the demo by recipes that differ in one thing, and compares their
answers by the paired bootstrap:

- balancing: classification trained on rows in which every third answer is rare, plain and balanced, with several seeds;
- second stage: tasks that go on from the demo's generalist, and the same from fresh weights;
- shared and expert: the demo's generalist alone, its task adapters alone, both added, and both mixed as T³ does.

All but drawing and copying is done by `mevlip` commands, which are printed as they run. What is in FOLDER already
(build/recipes without one) is not made again. The questions are drawn from seeds of their own, in wordings that are
never trained on. Results: docs/demo.md.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mevlip.core.tables import table
from mevlip.tasks import GENERALIST, TaskType
from mevlip_training.demo.build import BASE_NAME, BASE_REVISION, ROWS, STEPS, STEPS_OF_OTHERS
from mevlip_training.demo.build import SEED as DEMO_SEED
from mevlip_training.demo.inputs import write_inputs, write_training
from mevlip_training.demo.wordings import DATASETS, DemoDataset
from mevlip_validation.defaults import REFERENCE

Records = list[dict[str, Any]]

DEMO = Path("checkpoints/demo")
OVERLAY = Path("training/mevlip_training/demo/overlay.yaml")

COMMON_ROWS = 60
"""Training rows of a common answer, about: scenes are drawn at random."""
RARE_ROWS = 8
"""Training rows of a rare one."""
SKEW_SEED = 6
TRAINING_SEEDS = (1, 2)
SECOND_STAGES = (TaskType.COUNTING, TaskType.REGRESSION)
FEW_STEPS = 100
"""Of eight rows: less than an epoch."""
RECIPES = {
    "plain": "about: Nothing but the paper's table",
    "balanced": f"adapters:\n  classification:\n    balance: {{rows: {COMMON_ROWS}, times: 6}}",
    "second-stage": f"default:\n  start_from: {GENERALIST}",
    "shared-expert": f"default:\n  compose: [{GENERALIST}]",
    "mixed": f"default:\n  mix: {{adapter: {GENERALIST}}}",
}
QUESTIONS = {"choices": (91, 180), "stages": (92, 300), "tasks": (93, 150)}
"""Seed and number of questions of each data set, by what they are for."""


def of_tasks(*tasks: TaskType) -> tuple[DemoDataset, ...]:
    """The data sets of some tasks."""
    return tuple(dataset for dataset in DATASETS if dataset.task in tasks)


def rows_of(*tasks: TaskType) -> dict[str, int]:
    """The demo's training rows of each data set of some tasks."""
    return {one.name: ROWS[one.task] for one in of_tasks(*tasks)}


def rare_answers(dataset: DemoDataset) -> frozenset[str]:
    """The answers that are made rare: every third option, from the second on, as its letter or its text."""
    places = range(1, len(dataset.options), 3)
    return frozenset(dataset.options[place] if dataset.style == "text" else chr(ord("A") + place) for place in places)


def thin_out(records: Iterable[dict[str, Any]], rare: frozenset[str], kept: int) -> Records:
    """The records in their order, of each rare answer the first few only.

    Args:
        records: Answered records of one data set.
        rare: The answers that are made rare.
        kept: Records that each of them keeps.
    """
    seen = dict.fromkeys(rare, 0)
    found = []
    for record in records:
        if (answer := record["Answer"]) in seen:
            seen[answer] += 1
        if seen.get(answer, 0) <= kept:
            found.append(record)
    return found


def draw_skewed(root: Path) -> None:
    """Writes a training tree of classification in which every third answer is rare."""
    datasets = of_tasks(TaskType.CLASSIFICATION)
    write_training(root, SKEW_SEED, {one.name: COMMON_ROWS * len(one.options) for one in datasets})
    for one in datasets:
        path = root / one.category / one.name / f"{one.name}_questions_train.json"
        _write(path, thin_out(json.loads(path.read_bytes()), rare_answers(one), RARE_ROWS))


def draw_even(root: Path) -> None:
    """Writes the demo's own training rows of the tasks with a second stage."""
    write_training(root, DEMO_SEED, rows_of(*SECOND_STAGES))


def draw_truths(questions: Path, root: Path) -> None:
    """Writes the true answers of classification questions as two trees: `rare` ones and `common` ones."""
    for one in of_tasks(TaskType.CLASSIFICATION):
        place = Path(one.category, one.name, f"{one.name}_questions_val_withGT.json")
        records = json.loads((questions / place).read_bytes())
        rare = rare_answers(one)
        for name, wanted in (("rare", True), ("common", False)):
            (root / name / place).parent.mkdir(parents=True)
            _write(root / name / place, [record for record in records if (record["Answer"] in rare) is wanted])


def steps_from_fresh(task: TaskType) -> int:
    """Steps in which fresh weights see as many rows of a task as its second stage and the generalist have together."""
    own, everything = sum(rows_of(task).values()), sum(rows_of(*TaskType).values())
    return STEPS_OF_OTHERS + round(STEPS[GENERALIST] * own / everything)


class Bench:
    """A folder in which trees, runs, checkpoints and answers are made once each."""

    recipes: Mapping[str, str] = RECIPES

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def draw(self, name: str, write: Callable[[Path], object]) -> Path:
        """Gives a folder of the bench, which is written first if it is not there."""
        made = self.folder / name
        if not made.exists():
            draft = made.with_name(f"{made.name}-draft")
            shutil.rmtree(draft, ignore_errors=True)
            draft.parent.mkdir(parents=True, exist_ok=True)
            write(draft)
            draft.rename(made)
        return made

    def mevlip(self, made: Path, *arguments: object) -> None:
        """Runs a command, on one thread, unless what it makes is there.

        Raises:
            CalledProcessError: It failed; it has said why.
        """
        if made.exists():
            return
        words = [str(one) for one in arguments]
        print("$ mevlip", shlex.join(words), file=sys.stderr, flush=True)
        subprocess.run(
            [sys.executable, "-m", "mevlip", *words],
            stdout=sys.stderr,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
        )

    def prepare(self, name: str, tree: Path, recipe: str) -> Path:
        """Rows and routes of a tree by one of `recipes`."""
        data = self.folder / "data" / name
        base = ("--tokenizer", DEMO / "base", "--base-model", BASE_NAME, "--base-revision", BASE_REVISION)
        made = data / "prepared.json"
        self.mevlip(made, "data", "prepare", tree, "--recipe", self.recipe(recipe), "--out", data, *base)
        return data

    def recipe(self, name: str) -> Path:
        """The file of one of `recipes`."""
        return self._file(f"{name}.yaml", self.recipes[name])

    def train(self, run: str, data: Path, task: TaskType, steps: int, seed: int, start: Path | None = None) -> Path:
        """The packed adapter of a task.

        Args:
            run: Name of the run's folder.
            data: The prepared rows.
            task: The task.
            steps: Steps of eight rows.
            seed: Of weights and of the rows' order.
            start: The packed adapter that a recipe's `start_from` means, which is not trained here.
        """
        settings: dict[str, object] = {"max_steps": steps, "seed": seed, "data_seed": seed}
        name = f"{steps}-steps-seed-{seed}"
        if start:
            settings |= {"adapter_name_or_path": start}
            name += "-from-demo"
        lines = [OVERLAY.read_text("utf-8").rstrip(), *(f"{key}: {value}" for key, value in settings.items())]
        overlay = self._file(f"overlays/{name}.yaml", "\n".join(lines))
        runs = self.folder / "runs" / run
        made = runs / "adapters" / task.value
        base = ("--base", DEMO / "base", "--overlay", overlay, "--out", runs)
        self.mevlip(made / "README.md", "train", "adapters", data, "--task", task.value, *base)
        return made

    def assemble(self, name: str, adapters: Sequence[Path] = (), *options: object) -> Path:
        """The demo with some adapters exchanged, as a checkpoint of its own."""

        def exchange(folder: Path) -> None:
            shutil.copytree(DEMO / "adapters", folder)
            for one in adapters:
                shutil.copytree(one, folder / one.name, dirs_exist_ok=True)

        parts = self.draw(f"adapters/{name}", exchange)
        made = self.folder / "checkpoints" / name
        rest = ("--base", DEMO / "base", "--router", DEMO / "router", "--kind", "demo", *options)
        self.mevlip(made, "checkpoint", "assemble", "--adapters", parts, "--out", made, *rest)
        return made

    def ask(self, kind: str, system: str, checkpoint: Path, routing: str = "declared") -> Path:
        """The answers of a system to one of the sets of `QUESTIONS`."""
        made = self.folder / "answers" / kind / system / "predictions.json"
        where = ("--checkpoint", checkpoint, "--routing", routing, "--quiet")
        self.mevlip(made, "predict", self.questions(kind), made.parent, *where)
        return made

    def questions(self, kind: str) -> Path:
        """One of the sets of `QUESTIONS`, with its true answers beside it."""
        seed, number = QUESTIONS[kind]
        tasks = {"choices": (TaskType.CLASSIFICATION,), "stages": SECOND_STAGES, "tasks": tuple(TaskType)}[kind]
        return self.draw(f"questions/{kind}", lambda root: write_inputs(root, seed, number, of_tasks(*tasks)))

    def compare(self, name: str, truth: Path, systems: Iterable[Path]) -> Iterator[tuple[str, ...]]:
        """Rows of pair, task, scores, gain, corrected p and verdict under the macro protocol."""
        made = self.folder / "compared" / f"{name}.json"
        made.parent.mkdir(parents=True, exist_ok=True)
        self.mevlip(made, "compare", *systems, "--truth", truth, "--json", made)
        return gains(json.loads(made.read_bytes()))

    def _file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", "utf-8")
        return path


def gains(compared: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Rows of what `mevlip compare --json` wrote: pair, task, two scores, gain with interval, corrected p, verdict."""
    for one in compared["pairs"]:
        if one["protocol"] == REFERENCE:
            first, second = one["systems"]
            low, value, high = (_number(one["gain"][part], "+") for part in ("low", "value", "high"))
            scores = map(_number, one["scores"])
            yield (
                f"{second} over {first}", one["task"], *scores, f"{value} [{low}, {high}]",
                _number(one["p_corrected"]), one["verdict"],
            )  # fmt: skip


def balancing(bench: Bench) -> Iterator[tuple[str, ...]]:
    """Plain against balanced classification, on questions with rare answers, with common ones, and on all."""
    skewed = bench.draw("skewed", draw_skewed)
    questions = bench.questions("choices")
    truths = bench.draw("truth", lambda root: draw_truths(questions, root))
    for seed in TRAINING_SEEDS:
        answers = []
        for recipe in ("plain", "balanced"):
            data, name = bench.prepare(recipe, skewed, recipe), f"{recipe}-seed-{seed}"
            adapter = bench.train(name, data, TaskType.CLASSIFICATION, STEPS_OF_OTHERS, seed)
            answers.append(bench.ask("choices", name, bench.assemble(name, [adapter])))
        for part, truth in {"rare": truths / "rare", "common": truths / "common", "all": questions}.items():
            for row in bench.compare(f"{part}-seed-{seed}", truth, answers):
                yield part, *row


def second_stage(bench: Bench) -> Iterator[tuple[str, ...]]:
    """Tasks from fresh weights, from fresh weights with as many of their own rows, and from the demo's generalist.

    Then from fresh weights and from the generalist in few steps.
    """
    even = bench.draw("even", draw_even)
    fresh, second = bench.prepare("fresh", even, "plain"), bench.prepare("second", even, "second-stage")
    start = DEMO / "adapters" / GENERALIST
    trained: dict[str, Callable[[str, TaskType, int], Path]] = {
        "fresh": lambda run, task, seed: bench.train(run, fresh, task, STEPS_OF_OTHERS, seed),
        "fresh-longer": lambda run, task, seed: bench.train(run, fresh, task, steps_from_fresh(task), seed),
        "second": lambda run, task, seed: bench.train(run, second, task, STEPS_OF_OTHERS, seed, start),
        "fresh-short": lambda run, task, seed: bench.train(run, fresh, task, FEW_STEPS, seed),
        "second-short": lambda run, task, seed: bench.train(run, second, task, FEW_STEPS, seed, start),
    }
    for seed in TRAINING_SEEDS:
        answers = []
        for kind, train in trained.items():
            name = f"{kind}-seed-{seed}"
            adapters = [train(name, task, seed) for task in SECOND_STAGES]
            answers.append(bench.ask("stages", name, bench.assemble(name, adapters)))
        yield from bench.compare(f"stages-seed-{seed}", bench.questions("stages"), answers[:3])
        yield from bench.compare(f"stages-short-seed-{seed}", bench.questions("stages"), answers[3:])


def shared_and_expert(bench: Bench) -> Iterator[tuple[str, ...]]:
    """The demo's generalist alone, its task adapters alone, and each task's beside the generalist in two ways."""
    answers = [bench.ask("tasks", GENERALIST, DEMO, GENERALIST), bench.ask("tasks", "expert", DEMO)]
    for recipe in ("shared-expert", "mixed"):
        together = bench.assemble(recipe, (), "--recipe", bench.recipe(recipe))
        answers.append(bench.ask("tasks", recipe, together))
    yield from bench.compare("tasks", bench.questions("tasks"), answers)


def main() -> None:
    """Makes what is missing and prints the three tables."""
    bench = Bench(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/recipes"))
    head = ("pair", "task", "first", "second", "gain [95 % interval]", "p", "verdict")
    balanced = table(("answers", *head), balancing(bench))
    staged = table(head, second_stage(bench))
    composed = table(head, shared_and_expert(bench))
    for title, text in (("Balancing", balanced), ("Second stage", staged), ("Shared and expert", composed)):
        print(f"{title}\n{text}\n")


def _number(value: float | str | None, sign: str = "") -> str:
    """A number of the JSON file, where NaN is null and infinity a text."""
    return f"{value:{sign}.3f}" if isinstance(value, float) else str(value)


def _write(path: Path, records: Records) -> None:
    path.write_text(json.dumps(records, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
