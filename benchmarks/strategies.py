"""Which training stands worse pictures, on the demo: `python -m benchmarks.strategies [FOLDER]`, on one core.

- Strategies: the demo's base, not quantized, trained on the rows of all tasks in equal steps, in eight ways that
  differ in what is trained. The published benchmark finds LoRA the least robust of four ways of training segmentation.
- Cure: the demo's detection adapter, trained on its rows as they are, and on the same with perturbed copies
  (`mevlip data prepare --perturb 1`), in equal steps: those in which the latter sees each row about five times.

Both are asked the same questions about clean pictures and about perturbed ones. What is in FOLDER already
(build/strategies without one) is not made again.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.recipes import DEMO, OVERLAY, Bench, of_tasks, rows_of
from mevlip.core.offline import go_offline
from mevlip.core.tables import table
from mevlip.flare.questions import read_input_folder
from mevlip.inference.families.base import OFFLINE
from mevlip.predictor import Predictor
from mevlip.tasks import GENERALIST, TaskType
from mevlip_training.demo.build import SEED as DEMO_SEED
from mevlip_training.demo.build import STEPS_OF_OTHERS
from mevlip_training.demo.inputs import write_inputs, write_training
from mevlip_training.llamafactory import CONFIGS, run_training
from mevlip_training.runs import plan_run, read_yaml
from mevlip_validation.matching import read_truth
from mevlip_validation.output import number, show
from mevlip_validation.perturbations.registry import perturbations
from mevlip_validation.robustness.asking import Plan, ask_perturbed
from mevlip_validation.robustness.cells import Cell
from mevlip_validation.robustness.drops import ALL_TASKS, Aspect, Drops, contrast, measure_drops
from mevlip_validation.robustness.sampling import Sample, draw_sample

STEPS = 600
"""Of eight rows, half an epoch: the demo's base needs few to learn how answers are written."""
LEVELS = (1, 3, 5)
QUESTIONS: Mapping[str, tuple[int, int, tuple[TaskType, ...]]] = {
    "strategies": (94, 10, tuple(TaskType)),
    "cure": (95, 75, (TaskType.DETECTION,)),
}
"""Seed, number of questions of each data set, and their tasks."""
SHOWN = (TaskType.CLASSIFICATION, TaskType.DETECTION, TaskType.REGRESSION)
"""The tasks that the table shows by themselves, beside all together."""
TRAINING_SEEDS = (1, 2)
CURE_STEPS = 2 * STEPS_OF_OTHERS
"""Of eight rows; half of those with copies are copies."""


@dataclass(frozen=True)
class Strategy:
    """A way of training.

    Attributes:
        settings: LLaMA-Factory settings beyond the demo's overlay.
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
    "last layer": Strategy({"finetuning_type": "freeze", "freeze_trainable_layers": 1}, 1e-3),
    "projector": Strategy(
        {"finetuning_type": "full", "freeze_language_model": True, "freeze_multi_modal_projector": False}, 1e-3
    ),
    "all weights": Strategy(
        {"finetuning_type": "full", "freeze_vision_tower": False, "freeze_multi_modal_projector": False}, 1e-3
    ),
}
"""The first is what the configs train."""


class Strategies(Bench):
    """The bench's folder, with strategies and what they lose."""

    recipes: Mapping[str, str] = {
        "unquantized": "quantization: {kind: none}",
        "plain": "about: Rows as they are",
        "perturbed": "default: {perturb: {share: 1.0}}",
    }

    def data(self) -> Path:
        """Rows of all tasks as the demo was trained on them, for a base that is not quantized."""
        tree = self.draw("training", lambda root: write_training(root, DEMO_SEED, rows_of(*TaskType)))
        return self.prepare("all", tree, "unquantized")

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

    def questions(self, kind: str) -> Path:
        """One of the sets of `QUESTIONS`, with its true answers beside it."""
        seed, each, tasks = QUESTIONS[kind]
        return self.draw(f"questions/{kind}", lambda made: write_inputs(made, seed, each, of_tasks(*tasks)))

    def sample(self, kind: str) -> Sample:
        """All questions of one of the sets."""
        return draw_sample(read_input_folder(self.questions(kind)), read_truth(self.questions(kind)), size=10_000)

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


def lines(drops: Drops, first: str, aspects: Sequence[Aspect], level: int | None = None) -> Iterator[tuple[str, ...]]:
    """Rows of task, training, clean score, mean drop with its interval, and what it loses beyond the first.

    Args:
        drops: Of several trainings.
        first: The training that the others are compared with.
        aspects: What is shown.
        level: The level that is shown; None for the mean of all.
    """
    for aspect in aspects:
        for name in drops.systems:
            own = drops.mean(name, aspect, level=level)
            more = "" if name == first else show(contrast(drops.mean(first, aspect, level=level), own), signed=True)
            yield aspect.title, name, number(drops.clean[name, aspect]), show(own.drop, signed=True), more


def strategies(bench: Strategies) -> Drops:
    """What each way of training loses over the twelve base perturbations."""
    sample = bench.sample("strategies")
    cells: list[Cell] = []
    for name in STRATEGIES:
        cells += bench.ask_perturbed(name, bench.checkpoint(name), sample, "base")
    return measure_drops(sample, cells)


def cure(bench: Strategies) -> tuple[Drops, list[tuple[str, ...]]]:
    """What the detection adapter loses, trained with perturbed copies and without, and how they compare when clean."""
    task = TaskType.DETECTION
    tree = bench.draw("detection", lambda root: write_training(root, DEMO_SEED, rows_of(task)))
    sample = bench.sample("cure")
    cells: list[Cell] = []
    compared: list[tuple[str, ...]] = []
    for seed in TRAINING_SEEDS:
        answers = []
        for kind in ("plain", "perturbed"):
            name = f"{kind}-{CURE_STEPS}-seed-{seed}"
            adapter = bench.train(name, bench.prepare(kind, tree, kind), task, CURE_STEPS, seed)
            made = bench.assemble(name, [adapter])
            answers.append(bench.ask("cure", name, made))
            cells += bench.ask_perturbed(f"{kind}, seed {seed}", made, sample, "routed")
        compared += bench.compare(f"cure-{CURE_STEPS}-seed-{seed}", bench.questions("cure"), answers)
    return measure_drops(sample, cells), compared


def main() -> None:
    """Makes what is missing and prints the two tables."""
    go_offline()
    bench = Strategies(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/strategies"))
    head = ("task", "training", "clean", "drop [95 % interval]", "beyond the first")
    tuned = strategies(bench)
    shown = [ALL_TASKS, *map(Aspect, SHOWN)]
    text = table(head, lines(tuned, next(iter(STRATEGIES)), shown))
    print(f"Strategies: mean drop over {len(LEVELS)} levels\n{text}\n")
    cured, compared = cure(bench)
    print(f"Cure: clean pictures\n{table(('pair', 'task', 'first', 'second', 'gain', 'p', 'verdict'), compared)}\n")
    for level in LEVELS:
        rows = [
            line
            for seed in TRAINING_SEEDS
            for line in lines(cured, f"plain, seed {seed}", [Aspect(TaskType.DETECTION)], level)
            if line[1].endswith(f"seed {seed}")
        ]
        print(f"Cure: drop at level {level}\n{table(head, rows)}\n")


if __name__ == "__main__":
    main()
