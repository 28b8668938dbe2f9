"""From a FLARE tree to what LLaMA-Factory trains on, and to the routes that prediction will follow.

OUT/generalist.jsonl             every row, in ShareGPT form
OUT/<task>.jsonl                 the rows of one task
OUT/<adapter>_validation.jsonl   rows that its training is watched on, where a folder of them is named
OUT/dataset_info.json            LLaMA-Factory's list of them
OUT/images/<category>/<dataset>  the images, as links where that is possible
OUT/images/perturbed/...         those of perturbed copies, fitted to the pixel budget, as PNG
OUT/routes/<adapter>/route.json  the contract of each adapter
OUT/overlays/<adapter>.yaml      what a recipe changes in that adapter's training config
OUT/prepared.json                choices, counts and checksums
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import ceil, floor
from pathlib import Path
from typing import Any

from mevlip.answers.numbers import Count, Measurement
from mevlip.answers.question_spec import GREATEST
from mevlip.checkpoints.records import FrozenModel
from mevlip.checkpoints.routes import DEFAULT_RANGE, Route, write_route
from mevlip.core.files import file_sha256, whole_folder
from mevlip.core.progress import Progress
from mevlip.flare.store import ImageStore
from mevlip.tasks import GENERALIST, TASKS, TaskType
from mevlip_training.data.records import read_examples
from mevlip_training.data.rows import AdapterRows, Choices, Row, select
from mevlip_training.data.tokens import Tokens, read_tokens, token_budgets
from mevlip_training.data.validation import select_validation
from mevlip_training.data.writing import RowWriter
from mevlip_training.recipes.overlays import PREPARED_NAME, provenance, write_overlays
from mevlip_training.recipes.reading import RecipeFile
from mevlip_training.runs import validation_name

__all__ = ["Choices", "Prepared", "prepare"]

_MARGIN = 2
"""How far plausible counts reach beyond the greatest of training. Counts have a long tail, so that a true one may well
be greater than all before; one twice as great is rare, and no model counts what it never saw the like of. What this is
for is wrong by factors of a thousand."""


@dataclass(frozen=True)
class Prepared:
    """What was written.

    Attributes:
        out: The folder.
        rows: Number of rows by task and data set.
        left_out: Number of records left out, by reason.
        sha256: Hash of each jsonl that is trained on, by adapter.
        copied: Number of perturbed copies among these rows, by adapter.
        validation: Number of rows that training is watched on, by adapter.
    """

    out: Path
    rows: Counter[tuple[TaskType, str]]
    left_out: Counter[str]
    sha256: dict[str, str]
    copied: dict[str, int]
    validation: dict[str, int]


def prepare(
    source: Path,
    out: Path,
    choices: Choices,
    quiet: bool = False,
    recipe: RecipeFile | None = None,
    validation: Path | None = None,
) -> Prepared:
    """Writes training data and routes.

    The training split is taken; a tree that is but one other split is taken whole.

    Args:
        source: A FLARE tree, its images in folders or archives.
        out: The folder to write; it appears whole or not at all.
        choices: What the routes fix.
        quiet: Whether to show no progress.
        recipe: What each adapter has in place of the choices, and how its rows are mixed.
        validation: A FLARE tree that is but one split, on whose rows training is watched; None for none.

    Raises:
        InputError: There is no usable row, or an adapter starts from one without rows.
        EnvironmentProblem: `out` is not empty and not of this command's making, or there is no tokenizer in the folder.
    """
    tokens = read_tokens(choices.tokenizer) if choices.tokenizer else None
    examples = read_examples(source)
    sources = [examples.root, *([validation] if validation else ())]
    with ImageStore(examples.root) as store, whole_folder(out, PREPARED_NAME, *sources) as folder:
        selected = select(examples, store, choices, recipe, quiet)
        adapters = selected.adapters
        if any(rows.copied for rows in adapters.values()):
            from mevlip_training.data.perturbing import write_copies  # its packages are an extra

            adapters = write_copies(folder, examples.root, store, adapters, quiet)
        watched = _write_rows(folder, adapters, store, tokens, choices, validation, quiet)
        _write_routes(folder, adapters, tokens)
        tasks = (row for name, rows in adapters.items() if name != GENERALIST for row in rows.own)
        rows = Counter((row.example.task, row.example.dataset) for row in tasks)
        sha256 = {name: file_sha256(folder / f"{name}.jsonl") for name in adapters}
        copied = {name: rows.copied for name, rows in adapters.items() if rows.copied}
        prepared = Prepared(out, rows, selected.left_out, sha256, copied, watched)
        summary = _summary(prepared, choices.by(recipe, GENERALIST))
        if recipe:
            write_overlays(folder, recipe, adapters)
            summary["recipe"] = provenance(recipe)
        _write_json(folder / PREPARED_NAME, summary)
    return prepared


def _write_rows(
    folder: Path,
    adapters: Mapping[str, AdapterRows],
    store: ImageStore,
    tokens: Tokens | None,
    choices: Choices,
    validation: Path | None,
    quiet: bool,
) -> dict[str, int]:
    """Writes the jsonl files and LLaMA-Factory's list of them; gives the number of validation rows by adapter."""
    writer = RowWriter(folder, tokens)
    with Progress("writing", sum(len(rows.mixed) for rows in adapters.values()), "rows", quiet) as progress:
        for name, rows in adapters.items():
            writer.write(name, rows.mixed, rows.choices, store, progress)
    watched: dict[str, int] = {}
    if validation is not None:
        with select_validation(validation, adapters, store, choices, quiet) as found:
            watched = {name: len(rows) for name, rows in found.rows.items()}
            with Progress("writing", sum(watched.values()), "validation rows", quiet) as progress:
                for name, some in found.rows.items():
                    writer.write(validation_name(name), some, adapters[name].choices, found.store, progress)
    _write_json(folder / "dataset_info.json", writer.info)
    return watched


def _value_range(rows: Iterable[Row]) -> tuple[float, float]:
    """Zero and the greatest measurement that was trained on, or the least if that is below zero, in whole numbers."""
    values = [float(row.target) for row in rows if TASKS[row.example.task].answer is Measurement]
    return (min(0.0, floor(min(values))), max(float(ceil(max(values))), 1.0)) if values else DEFAULT_RANGE


def _count_range(rows: Iterable[Row]) -> tuple[int, int]:
    """Zero, for an image without anything to count, and `_MARGIN` times the greatest count that was trained on."""
    values = [int(row.target) for row in rows if TASKS[row.example.task].answer is Count]
    return (0, min(max(_MARGIN * max(values), 1), GREATEST)) if values else (0, GREATEST)


def answer_budgets(adapter: str, rows: AdapterRows, tokens: Tokens | None) -> dict[TaskType, int]:
    """Token budget of each task that an adapter may be asked: the recipe's, or that of its own rows."""
    budgets = token_budgets(((row.example.task, row.target) for row in rows.own), tokens)
    if rows.recipe.answer_tokens:
        budgets = dict.fromkeys(budgets, rows.recipe.answer_tokens)
    return budgets if adapter == GENERALIST else {TaskType(adapter): budgets[TaskType(adapter)]}


def _write_routes(folder: Path, adapters: Mapping[str, AdapterRows], tokens: Tokens | None) -> None:
    own = [row for rows in adapters.values() for row in rows.own]
    value_range, count_range = _value_range(own), _count_range(own)
    for adapter, rows in adapters.items():
        choices = rows.choices
        route = Route(
            adapter=adapter,
            base_model=choices.base_model,
            base_revision=choices.base_revision,
            compose=rows.recipe.compose,
            mix=rows.recipe.mix,
            prompt=choices.prompt,
            images=choices.route_images,
            box_space=choices.box_space,
            value_range=value_range,
            count_range=count_range,
            max_new_tokens=answer_budgets(adapter, rows, tokens),
            quantization=choices.quantization,
        )
        target = folder / "routes" / adapter
        target.mkdir(parents=True)
        write_route(target, route)


def _summary(prepared: Prepared, choices: Choices) -> dict[str, Any]:
    rows: dict[str, dict[str, int]] = {}
    for (task, dataset), count in sorted(prepared.rows.items()):
        rows.setdefault(task.value, {})[dataset] = count
    return {
        "choices": {choice.name: getattr(choices, choice.name) for choice in fields(choices)},
        "rows": rows,
        "left_out": dict(prepared.left_out.most_common()),
        "perturbed": prepared.copied,
        "sha256": prepared.sha256,
        "validation": prepared.validation,
    }


def _write_json(path: Path, content: Any) -> None:
    def plain(value: Any) -> Any:
        return value.model_dump() if isinstance(value, FrozenModel) else str(value)

    path.write_text(json.dumps(content, indent=1, default=plain) + "\n", "utf-8")
