"""Model cards: what an adapter is, from the files that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mevlip.checkpoints.adapter_config import WEIGHTS_NAME
from mevlip.checkpoints.routes import Route
from mevlip.core.files import file_sha256
from mevlip.tasks import GENERALIST, TASKS, TaskType
from mevlip_training.history import History
from mevlip_training.recipes.overlays import recipe_of
from mevlip_training.runs import AdapterRun

CARD_NAME = "README.md"

_SETTINGS = (
    "lora_rank", "lora_alpha", "lora_dropout", "lora_target", "quantization_bit", "quantization_type",
    "double_quantization", "num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps",
    "learning_rate", "lr_scheduler_type", "warmup_ratio", "optim", "cutoff_len", "bf16", "seed",
)  # fmt: skip


def model_card(run: AdapterRun, route: Route, history: History) -> str:
    """Writes an adapter's model card in Markdown.

    Args:
        run: Its run.
        route: Its route, as packed.
        history: What the run did.
    """
    settings = run.settings
    data = Path(settings["dataset_dir"])
    lines = [
        *opening(route),
        f"- Data: {run.rows} rows, sha256 of the file `{_digest(data, settings['dataset'])}`",
        *_validation_rows(run, data),
        *_recipe(data, settings),
        f"- Boxes: {route.box_space}; images: at most {route.images.max_count} of a question, "
        f"{'tiled' if route.images.crop_to_patches else 'one tile each'}, "
        f"at most {route.images.max_pixels} pixels before the image processor",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {key} | {settings[key]} |" for key in _SETTINGS if key in settings),
        "",
        "| training | |",
        "|---|---|",
        f"| optimizer steps | {history.steps} |",
        f"| rows seen | {round(run.rows * history.epochs)}, in {history.epochs:.4g} epochs |",
        f"| mean loss of {'all' if history.starts == 1 else 'the logged'} steps | {history.loss:.4f} |",
        *_kept(history),
        f"| seconds | {history.seconds:.0f}{f', in {history.starts} starts' if history.starts > 1 else ''} |",
        "",
        "Limits: it answers questions in the challenge's forms and nothing else; it is not a medical device; its "
        "score is what validation on other images gives, which the losses above do not say.",
    ]
    return "\n".join(lines) + "\n"


def opening(route: Route, kind: str = "lora", how: str = "") -> list[str]:
    """A card's first lines: what the adapter is, and its base.

    Args:
        route: The adapter's route.
        kind: Its first tags.
        how: What its title says of its training.
    """
    adapter = route.adapter
    title = "all seven tasks" if adapter == GENERALIST else TASKS[TaskType(adapter)].title.lower()
    return [
        "---",
        f"base_model: {route.base_model}",
        "library_name: peft",
        f"tags: [{kind}, medical, visual-question-answering, flare]",
        "---",
        "",
        f"# ME-VLIP adapter `{adapter}`{how}",
        "",
        f"A LoRA adapter for {title} of the FLARE 2D track. It stays unmerged beside a 4-bit base model; `route.json` "
        "says how it has to be asked.",
        "",
        f"- Base: `{route.base_model}`, revision `{route.base_revision}`{_fingerprint(route)}",
    ]


def _digest(data: Path, name: str) -> str:
    return file_sha256(data / f"{name}.jsonl")


def _validation_rows(run: AdapterRun, data: Path) -> list[str]:
    """The rows that chose the step, if there are any."""
    if not run.validation:
        return []
    return [f"- Validation: {run.validation} rows, sha256 of the file `{_digest(data, run.settings['eval_dataset'])}`"]


def _kept(history: History) -> list[str]:
    """Which step's weights these are, where it need not be the last."""
    if not (found := history.validated):
        return []
    return [
        f"| kept step | {found.step}, the one with the least validation loss |",
        f"| validation loss of this step | {found.loss:.4f} |",
        f"| validation loss of the last step | {found.last:.4f} |",
    ]


def _recipe(data: Path, settings: dict[str, Any]) -> list[str]:
    """The recipe that the data were prepared by, and the weights that training started from, if there are any."""
    lines = []
    if recipe := recipe_of(data):
        lines.append(f"- Recipe: `{recipe['name']}`, sha256 of the file `{recipe['sha256']}`")
    if start := settings.get("adapter_name_or_path"):
        weights = Path(start) / WEIGHTS_NAME  # a user's own setting may name a place elsewhere
        digest = f", sha256 of its weights `{file_sha256(weights)}`" if weights.is_file() else ""
        lines.append(f"- Started from: adapter `{Path(start).name}`{digest}")
    return lines


def _fingerprint(route: Route) -> str:
    """The base's weights, if they are known; the route has the rest."""
    return f", weights `{route.base_fingerprint.weights}`" if route.base_fingerprint else ""
