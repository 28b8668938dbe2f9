"""Which training stands worse pictures, on the demo: `python -m benchmarks.strategies [FOLDER]`, on one core.

- Strategies: the demo's base, in bfloat16, trained on the rows of all tasks with equal rows and steps, in eight ways that
  differ in what is trained. The published benchmark finds LoRA the least robust of four ways of training segmentation.
- Cure: the demo's detection adapter, trained on its rows as they are, and on the same with perturbed copies
  (`mevlip data prepare --perturb`), in equal steps.

Both are asked the same questions about clean pictures and about perturbed ones. What is in FOLDER already
(build/strategies without one) is not made again. Results: docs/robustness.md.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.recipes import DEMO, OVERLAY, Bench, of_tasks
from mevlip.core.offline import go_offline
from mevlip.core.tables import table
from mevlip.flare.questions import read_input_folder
from mevlip.inference.families.base import OFFLINE
from mevlip.predictor import Predictor
from mevlip.tasks import GENERALIST, TaskType
from mevlip_training.demo.build import BASE_NAME, BASE_REVISION, ROWS, STEPS_OF_OTHERS
from mevlip_training.demo.build import SEED as DEMO_SEED
from mevlip_training.demo.inputs import write_inputs, write_training
from mevlip_training.demo.wordings import DATASETS
from mevlip_training.llamafactory import CONFIGS, run_training
from mevlip_training.runs import plan_run, read_yaml
from mevlip_validation.matching import read_truth, truths_of
from mevlip_validation.perturbations.registry import perturbations
from mevlip_validation.robustness.asking import Plan, ask_perturbed
from mevlip_validation.robustness.cells import Cell
from mevlip_validation.robustness.drops import ALL_TASKS, Aspect, Drops, contrast, measure_drops
from mevlip_validation.robustness.sampling import Sample, draw_sample

STEPS = 1500
"""Of eight rows, about an epoch and a half."""
LEVELS = (1, 3, 5)
QUESTIONS = {"strategies": (94, 18), "cure": (95, 60)}
"""Seed and number of questions of each data set."""
SHOWN = (TaskType.CLASSIFICATION, TaskType.DETECTION, TaskType.COUNTING)
TRAINING_SEEDS = (1, 2)


@dataclass(frozen=True)
class Strategy:
    """A way of training.

    Attributes:
        settings: What LLaMA-Factory is told beyond the demo's overlay.
        rate: The greatest learning rate.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    rate: float = 2e-3


STRATEGIES = {
    "LoRA, rank 8": Strategy(),
    "LoRA, rank 64": Strategy({"lora_rank": 64, "lora_alpha": 128}),
    "LoRA with vision": Strategy({"freeze_vision_tower": False, "lora_target": "all"}),
    "DoRA": Strategy({"use_dora": True}),
    "rsLoRA": Strategy({"use_rslora": True}),
    "last layer": Strategy({"finetuning_type": "freeze", "freeze_trainable_layers": 1}, 6e-4),
    "projector": Strategy(
        {"finetuning_type": "full", "freeze_language_model": True, "freeze_multi_modal_projector": False}, 2e-3
    ),
    "all weights": Strategy(
        {"finetuning_type": "full", "freeze_vision_tower": False, "freeze_multi_modal_projector": False}, 6e-4
    ),
}
"""The first is what the configs train."""


class Strategies(Bench):
    """The bench's folder, with strategies and what they lose."""

    def data(self) -> Path:
        """Rows of all tasks as the demo was trained on them, for a base that is not quantized."""
        tree = self.draw("training", lambda root: write_training(root, DEMO_SEED, rows_of(TaskType)))
        made = self.folder / "data" / "all"
        recipe = self._file("unquantized.yaml", "quantization: {kind: none}")
        names = ("--base-model", BASE_NAME, "--base-revision", BASE_REVISION)
        self.mevlip(
            made / "prepared.json", "data", "prepare", tree, "--recipe", recipe, "--out", made, "--tokenizer",
            DEMO / "base", *names,
        )  # fmt: skip
        return made

    def tuned(self, name: str) -> Path:
        """The demo's base as a strategy has changed it, adapters merged into it."""
        slug = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
        return self.draw(f"bases/{slug}", lambda made: merge(self._trained(name, slug), made))

    def _trained(self, name: str, slug: str) -> Path:
        one, output = STRATEGIES[name], self.folder / "runs" / slug
        overlay = {**read_yaml(OVERLAY), "max_steps": STEPS, "learning_rate": one.rate}
        plan = plan_run(GENERALIST, CONFIGS, self.data(), self.folder / "runs", overlay, str(DEMO / "base"))
        output.mkdir(parents=True, exist_ok=True)
        config = output / "config.yaml"
        settings = {**plan.settings, **one.settings, "output_dir": str(output.resolve())}
        config.write_text(yaml.safe_dump(settings), "utf-8")
        run_training(config, output, lambda step, _: print(f"\r{name}: {step} of {STEPS}", end="", file=sys.stderr))
        return output

    def checkpoint(self, name: str) -> Path:
        """A checkpoint around a tuned base. Its adapter, of three steps, is there because a checkpoint has one."""
        base, slug = self.tuned(name), self.tuned(name).name
        overlay = self._file("overlays/3-steps.yaml", OVERLAY.read_text("utf-8").rstrip() + "\nmax_steps: 3")
        runs = self.folder / "runs" / f"{slug}-adapter"
        self.mevlip(
            runs / "adapters" / GENERALIST / "README.md", "train", "adapters", self.data(), "--task", GENERALIST,
            "--base", base, "--overlay", overlay, "--out", runs,
        )  # fmt: skip
        made = self.folder / "checkpoints" / slug
        parts = ("--base", base, "--adapters", runs / "adapters", "--router", DEMO / "router", "--kind", "demo")
        self.mevlip(made, "checkpoint", "assemble", *parts, "--out", made)
        return made

    def sample(self, kind: str, *tasks: TaskType) -> Sample:
        """One of the sets of `QUESTIONS`."""
        seed, number = QUESTIONS[kind]
        root = self.draw(f"questions/{kind}", lambda made: write_inputs(made, seed, number, of_tasks(*tasks)))
        return draw_sample(read_input_folder(root), read_truth(root), size=10_000)

    def ask_perturbed(self, name: str, checkpoint: Path, sample: Sample, system: str) -> list[Cell]:
        """The answers of one system of a checkpoint, under the name given; parameters are searched for once."""
        out = self.folder / "asked" / checkpoint.name
        kept = self.folder / "calibrations.json"
        if kept.is_file() and not out.is_dir():
            out.mkdir(parents=True)
            shutil.copy(kept, out)
        plan = Plan(tuple(one for one in perturbations().values() if one.is_base), LEVELS, (system,))
        run = ask_perturbed(Predictor.load(checkpoint, "cpu", verify="quick"), sample, plan, out, quiet=False)
        shutil.copy(out / kept.name, kept)
        return [replace(cell, system=name) for cell in run.cells]


def rows_of(tasks: Iterable[TaskType]) -> dict[str, int]:
    """The demo's training rows of the data sets of some tasks."""
    return {one.name: ROWS[one.task] for one in of_tasks(*tasks)}


def merge(output: Path, made: Path) -> None:
    """Writes the base that a run ended with: its weights where they were trained, else the demo's and the adapter."""
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    shutil.copytree(DEMO / "base", made)
    if (output / "adapter_config.json").is_file():
        base = AutoModelForImageTextToText.from_pretrained(DEMO / "base", dtype="float32", **OFFLINE)
        merged = PeftModel.from_pretrained(base, output).merge_and_unload()
        merged.save_pretrained(made)
    else:
        shutil.copy(output / "model.safetensors", made)


def lines(drops: Drops, first: str, tasks: Sequence[TaskType]) -> Iterator[tuple[str, ...]]:
    """Rows of name, clean score and mean drop for each aspect, with its interval, and what it loses beyond the first.

    Args:
        drops: Of several trainings.
        first: The training that the others are compared with.
        tasks: The tasks that are shown beside all together.
    """
    for name in drops.systems:
        row = [name]
        for aspect in (ALL_TASKS, *map(Aspect, tasks)):
            own = drops.mean(name, aspect)
            more = "" if name == first else show(contrast(drops.mean(first, aspect), own))
            row += [number(drops.clean[name, aspect]), show(own.drop), more]
        yield tuple(row)


def strategies(bench: Strategies) -> Drops:
    """What each way of training loses over the twelve base perturbations."""
    sample = bench.sample("strategies", *TaskType)
    cells: list[Cell] = []
    for name in STRATEGIES:
        cells += bench.ask_perturbed(name, bench.checkpoint(name), sample, "base")
    return measure_drops(sample, cells)


def cure(bench: Strategies) -> Drops:
    """What the detection adapter loses, trained with perturbed copies and without."""
    task = TaskType.DETECTION
    tree = bench.draw("detection", lambda root: write_training(root, DEMO_SEED, rows_of([task])))
    sample = bench.sample("cure", task)
    cells: list[Cell] = []
    for seed in TRAINING_SEEDS:
        for kind in ("plain", "perturbed"):
            adapter = bench.train(f"{kind}-seed-{seed}", bench.prepare(kind, tree, kind), task, STEPS_OF_OTHERS, seed)
            name = f"{kind}, seed {seed}"
            cells += bench.ask_perturbed(name, bench.assemble(f"cure-{kind}-{seed}", [adapter]), sample, "routed")
    return measure_drops(sample, cells)


def main() -> None:
    """Makes what is missing and prints the two tables."""
    go_offline()
    bench = Strategies(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/strategies"))
    ...


if __name__ == "__main__":
    main()
