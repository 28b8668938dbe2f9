"""What `mevlip data prepare` would write and what training would make of it, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mevlip.checkpoints.routes import read_route
from mevlip.flare.store import ImageStore
from mevlip.inference.prompts import build_prompt
from mevlip.tasks import adapter_names
from mevlip_training.data.prepare import answer_budgets
from mevlip_training.data.records import read_examples
from mevlip_training.data.rows import AdapterRows, Choices, Row, select
from mevlip_training.data.tokens import Tokens, read_tokens
from mevlip_training.data.validation import select_validation
from mevlip_training.lengths import Lengths, Measurable, RowMeter, find_meter, measure, measure_file
from mevlip_training.recipes.overlays import overlay_path
from mevlip_training.recipes.reading import RecipeFile
from mevlip_training.runs import count_steps, cutoff_of, rank_of, read_yaml, validation_name

HEADER = (
    "adapter", "rows", "balanced", "donors", "perturbed", "validation", "steps", "answer tokens", "longest row",
    "cutoff", "beyond", "rank", "alpha", "images", "pixels", "start",
)  # fmt: skip
"""Its columns; the longest row is prompt, images and answer in tokens; `beyond` counts rows longer than the cut-off."""


def plan(
    source: Path,
    choices: Choices,
    recipe: RecipeFile | None,
    config_dir: Path,
    quiet: bool = False,
    validation: Path | None = None,
) -> list[Sequence[Any]]:
    """Computes the table of a dry run, a line per adapter.

    Args:
        source: A FLARE tree.
        choices: As for `prepare`; where they name no tokenizer, texts are not measured.
        recipe: As for `prepare`.
        config_dir: Folder of the training configs.
        quiet: Whether to show no progress.
        validation: As for `prepare`.

    Raises:
        InputError: There is no usable row, or a config is missing.
        EnvironmentProblem: There is no tokenizer in the folder.
    """
    tokens = read_tokens(choices.tokenizer) if choices.tokenizer else None
    meter = find_meter(choices.tokenizer)
    examples = read_examples(source)
    with ImageStore(examples.root) as store:
        adapters = select(examples, store, choices, recipe, quiet).adapters
        watched: Mapping[str, Sequence[Row]] = {}
        if validation:
            with select_validation(validation, adapters, store, choices, quiet) as found:
                watched = found.rows
        return [
            _line(name, rows, len(watched.get(name, ())), recipe, config_dir, tokens, meter, store)
            for name, rows in adapters.items()
        ]


def _line(
    name: str,
    rows: AdapterRows,
    watched: int,
    recipe: RecipeFile | None,
    config_dir: Path,
    tokens: Tokens | None,
    meter: RowMeter | None,
    store: ImageStore,
) -> Sequence[Any]:
    settings = read_yaml(config_dir / f"{name}.yaml") | (recipe.recipe.overlay(name) if recipe else {})
    images, cutoff = rows.choices.route_images, cutoff_of(settings)
    lengths = None
    if meter and tokens:
        lengths = measure(_measured_rows(rows, tokens.reserved, store), meter, images, cutoff)
    return (
        name,
        len(rows.own),
        len(rows.mixed) - rows.donated - rows.copied,
        rows.donated,
        rows.copied,
        watched or "-",
        count_steps(settings, len(rows.mixed)),
        max(answer_budgets(name, rows, tokens).values()),
        lengths.longest if lengths else "-",
        cutoff,
        len(lengths.beyond) if lengths else "-",
        rank_of(settings),
        settings.get("lora_alpha", "-"),
        f"{rows.choices.images} {images.max_count}" if rows.choices.images == "all" else rows.choices.images,
        f"{images.max_pixels} tiled" if images.crop_to_patches else images.max_pixels,
        settings.get("adapter_name_or_path", "fresh"),
    )


def _measured_rows(rows: AdapterRows, reserved: Iterable[str], store: ImageStore) -> Iterator[Measurable]:
    """An adapter's rows as they are measured."""
    for row in rows.mixed:
        sizes = store.sizes(row.example.question, row.names, rows.choices.route_images)
        prompt = build_prompt(row.example.question.text, len(sizes), rows.choices.prompt, reserved)
        yield Measurable(row.id, prompt, row.target, partial(list, sizes))


def measure_folder(data: Path, base: Path | None, config_dir: Path) -> dict[str, tuple[Lengths, int]] | None:
    """Measures what `prepare` has written.

    Args:
        data: The prepared folder.
        base: The base's folder.
        config_dir: Folder of the training configs.

    Returns:
        The lengths of each data set's rows and the cut-off that they were compared with; None where there is no base
        or there are no configs.

    Raises:
        InputError: A config cannot be read.
    """
    meter = find_meter(base)
    if meter is None or not config_dir.is_dir():
        return None
    found = {}
    for name in adapter_names():
        if not (data / f"{name}.jsonl").is_file():
            continue
        overlay = read_yaml(path) if (path := overlay_path(data, name)).is_file() else {}
        cutoff = cutoff_of(read_yaml(config_dir / f"{name}.yaml") | overlay)
        for rows in (name, validation_name(name)):
            if (file := data / f"{rows}.jsonl").is_file():
                found[rows] = measure_file(file, read_route(data / "routes" / name), meter, cutoff), cutoff
    return found
