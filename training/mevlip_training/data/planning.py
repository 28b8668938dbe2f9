"""What `mevlip data prepare` would write and what training would make of it, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mevlip.flare.store import ImageStore
from mevlip.inference.prompts import build_prompt
from mevlip_training.data.prepare import answer_budgets
from mevlip_training.data.records import read_examples
from mevlip_training.data.rows import AdapterRows, Choices, select
from mevlip_training.data.tokens import Tokens, read_tokens
from mevlip_training.recipes.reading import RecipeFile
from mevlip_training.runs import count_steps, read_yaml

HEADER = (
    "adapter", "rows", "balanced", "donors", "steps", "answer tokens", "longest text", "rank", "alpha", "images",
    "pixels", "start",
)  # fmt: skip
"""Its columns; the longest text is that of a row, prompt and answer, in tokens without those of its images."""


def plan(
    source: Path, choices: Choices, recipe: RecipeFile | None, config_dir: Path, quiet: bool = False
) -> list[Sequence[Any]]:
    """Computes the table of a dry run, a line per adapter.

    Args:
        source: A FLARE tree.
        choices: As for `prepare`; where they name no tokenizer, texts are not measured.
        recipe: As for `prepare`.
        config_dir: Folder of the training configs.
        quiet: Whether to show no progress.

    Raises:
        InputError: There is no usable row, or a config is missing.
        EnvironmentProblem: There is no tokenizer in the folder.
    """
    tokens = read_tokens(choices.tokenizer) if choices.tokenizer else None
    examples = read_examples(source)
    with ImageStore(examples.root) as store:
        adapters = select(examples, store, choices, recipe, quiet).adapters
    table: list[Sequence[Any]] = []
    for name, rows in adapters.items():
        settings = read_yaml(config_dir / f"{name}.yaml") | (recipe.recipe.overlay(name) if recipe else {})
        images = rows.choices.route_images
        table.append(
            (
                name,
                len(rows.own),
                len(rows.mixed) - rows.donated,
                rows.donated,
                count_steps(settings, len(rows.mixed)),
                max(answer_budgets(name, rows, tokens).values()),
                _longest(rows, tokens) if tokens else "-",
                settings.get("lora_rank", 8),  # LLaMA-Factory's default
                settings.get("lora_alpha", "-"),
                f"{rows.choices.images} {images.max_count}" if rows.choices.images == "all" else rows.choices.images,
                f"{images.max_pixels} tiled" if images.crop_to_patches else images.max_pixels,
                settings.get("adapter_name_or_path", "fresh"),
            )
        )
    return table


def _longest(rows: AdapterRows, tokens: Tokens) -> int:
    prompt = rows.choices.prompt
    texts = {(row.example.question.text, row.target) for row in rows.mixed}
    return max(
        tokens.count(prompt.system)
        + tokens.count(build_prompt(text, 0, prompt, tokens.reserved).text)
        + tokens.count(target)
        for text, target in texts
    )
