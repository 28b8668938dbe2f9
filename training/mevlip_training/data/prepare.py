"""From a FLARE tree to what LLaMA-Factory trains on, and to the routes that prediction will follow.

OUT/generalist.jsonl             every row, in ShareGPT form
OUT/<task>.jsonl                 the rows of one task
OUT/dataset_info.json            LLaMA-Factory's list of them
OUT/images/<category>/<dataset>  the images, as links where that is possible
OUT/routes/<adapter>/route.json  the contract of each adapter
OUT/prepared.json                choices, counts and checksums
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from math import ceil, floor
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from mevlip.answers import QuestionSpec
from mevlip.answers.numbers import Measurement
from mevlip.answers.question_spec import BoxSpace
from mevlip.checkpoints.records import FrozenModel
from mevlip.checkpoints.routes import (
    DEFAULT_RANGE,
    ImageSettings,
    PromptSettings,
    Quantization,
    Route,
    write_route,
)
from mevlip.core.errors import InputError
from mevlip.core.files import file_sha256, link_or_copy, whole_folder
from mevlip.core.progress import Progress
from mevlip.flare.images import ImageError, image_path, spaced_indices
from mevlip.flare.issues import IssueCode
from mevlip.flare.store import ImageStore
from mevlip.inference.families import find_family
from mevlip.inference.prompts import build_prompt
from mevlip.tasks import GENERALIST, TASKS, TaskType, adapter_names
from mevlip_training.data.audit import audit_examples
from mevlip_training.data.records import Example, Examples, read_examples, rows_to_train
from mevlip_training.data.targets import TargetError, write_target
from mevlip_training.data.tokens import Tokens, read_tokens, token_budgets
from mevlip_training.families import DEFAULT

PREPARED_NAME = "prepared.json"

ImageChoice = Literal["all", "first", "explode"]


@dataclass(frozen=True)
class Choices:
    """What a team decides; all of it ends up in the routes.

    Attributes:
        images: Up to four evenly spaced images in one row, the first only, or one row for each.
        box_space: What box numbers in the targets mean.
        image_settings: How images become pixels; how many of them are shown is decided by `images`.
        prompt: The prompt's wording.
        base_model: Name of the base model.
        base_revision: Its revision.
        quantization: How the base is stored.
        tokenizer: A folder with the base's tokenizer, by which token budgets are measured; None for the task table's.
        keep_flagged: Whether rows that the audit would leave out are kept, if they can be written at all.
    """

    images: ImageChoice = "all"
    box_space: BoxSpace = "norm1000"
    image_settings: ImageSettings = field(default_factory=ImageSettings)
    prompt: PromptSettings = field(default_factory=PromptSettings)
    base_model: str = "OpenGVLab/InternVL3-8B-hf"
    base_revision: str = "259a3b64a14623c0ec91a045cb43f7c5af5fa6af"
    quantization: Quantization = field(default_factory=Quantization)
    tokenizer: Path | None = None
    keep_flagged: bool = False

    @property
    def route_images(self) -> ImageSettings:
        """The routes' image settings."""
        return self.image_settings if self.images == "all" else self.image_settings.model_copy(update={"max_count": 1})


@dataclass(frozen=True)
class Prepared:
    """What was written.

    Attributes:
        out: The folder.
        rows: Number of rows by task and data set.
        left_out: Number of records left out, by reason.
        sha256: Hash of each jsonl, by adapter.
    """

    out: Path
    rows: Counter[tuple[TaskType, str]]
    left_out: Counter[str]
    sha256: dict[str, str]


@dataclass(frozen=True)
class _Row:
    """One training row: an example, the images that it shows, what is to be said, and its id."""

    example: Example
    names: tuple[str, ...]
    target: str
    id: str


def prepare(source: Path, out: Path, choices: Choices, quiet: bool = False) -> Prepared:
    """Writes training data and routes.

    The training split is taken; a tree that is but one other split is taken whole.

    Args:
        source: A FLARE tree, its images in folders or archives.
        out: The folder to write; it appears whole or not at all.
        choices: What the routes fix.
        quiet: Whether to show no progress.

    Raises:
        InputError: There is no usable row.
        EnvironmentProblem: `out` is not empty and not of this command's making, or there is no tokenizer in the folder.
    """
    tokens = read_tokens(choices.tokenizer) if choices.tokenizer else None
    examples = read_examples(source)
    with ImageStore(examples.root) as store, whole_folder(out, PREPARED_NAME, examples.root) as folder:
        rows, left_out = _select(examples, store, choices, quiet)
        if not rows:
            reasons = ", ".join(f"{count} x {reason}" for reason, count in left_out.most_common())
            raise InputError(
                f"No row below {source} can be trained on ({reasons})", "Run `mevlip data check` for the causes."
            )
        images = _ImageFolder(folder, store)
        sha256 = _write_rows(folder, rows, images, choices, tokens, quiet)
        budgets = token_budgets(((r.example.task, r.target) for r in rows), tokens)
        _write_routes(folder, choices, list(sha256), budgets, _value_range(rows))
        prepared = Prepared(out, Counter((r.example.task, r.example.dataset) for r in rows), left_out, sha256)
        _write_json(folder / PREPARED_NAME, _summary(prepared, choices))
    return prepared


def _select(examples: Examples, store: ImageStore, choices: Choices, quiet: bool) -> tuple[list[_Row], Counter[str]]:
    """The rows to train on, and how many records are not among them for which reason."""
    reasons: dict[str, IssueCode] = {}
    for found in () if choices.keep_flagged else audit_examples(examples, store, quiet):
        if found.left_out:
            reasons.setdefault(found.where, found.code)
    rows: list[_Row] = []
    left_out: Counter[str] = Counter()
    for example in rows_to_train(examples):
        reason = reasons.get(example.question.where)
        if reason is None:
            try:
                rows += _rows(example, store, choices)
                continue
            except TargetError as error:
                reason = error.code
            except ImageError:
                reason = IssueCode.UNREADABLE_IMAGE
        left_out[reason.value] += 1
    return rows, left_out


def _rows(example: Example, store: ImageStore, choices: Choices) -> list[_Row]:
    names = example.question.image_names
    if not names:
        raise ImageError("the record's ImageName names no image")
    shown: list[tuple[str, ...]] = [(name,) for name in names]
    if choices.images != "explode":
        shown = [tuple(names[index] for index in spaced_indices(len(names), choices.route_images.max_count))]
    return [
        _Row(example, part, _target(example, part, store, choices), example.id + (f"/{n}" if len(shown) > 1 else ""))
        for n, part in enumerate(shown)
    ]


def _target(example: Example, names: tuple[str, ...], store: ImageStore, choices: Choices) -> str:
    first, *_ = [store.facts(example.question, name) for name in names]  # all of them must be readable
    return write_target(
        example.task, example.answer, QuestionSpec(example.question.text, first.size, choices.box_space)
    )


class _ImageFolder:
    """Puts images below a folder, in a form that a bare `Image.open` reads as prediction does."""

    def __init__(self, folder: Path, store: ImageStore) -> None:
        self._folder, self._store = folder, store
        self._taken: dict[PurePosixPath, str] = {}

    def put(self, example: Example, name: str) -> str:
        """Path of an image relative to the folder; it is there afterward."""
        facts = self._store.facts(example.question, name)
        path = PurePosixPath("images", example.place, image_path(name))
        if not facts.plain and path.suffix.lower() != ".png":
            path = path.with_name(f"{path.name}.png")
        if self._taken.setdefault(path, facts.sha256) != facts.sha256:  # data sets of one name in two folders
            path = path.with_name(f"{facts.sha256[:12]}-{path.name}")
            self._taken[path] = facts.sha256
        target = self._folder / path
        if not target.exists():
            if facts.plain:
                with self._store.file(example.question, name) as file:
                    link_or_copy(file, target)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                self._store.image(example.question, name).save(target, "PNG")
        return path.as_posix()


def _write_rows(
    folder: Path, rows: Sequence[_Row], images: _ImageFolder, choices: Choices, tokens: Tokens | None, quiet: bool
) -> dict[str, str]:
    """Writes the jsonl files and LLaMA-Factory's list of them; gives the hash of each by adapter."""
    present = {GENERALIST, *(row.example.task.value for row in rows)}
    names = [name for name in adapter_names() if name in present]
    with ExitStack() as stack, Progress("writing", len(rows), "rows", quiet) as progress:
        files = {name: stack.enter_context((folder / f"{name}.jsonl").open("w", encoding="utf-8")) for name in names}
        for row in rows:
            line = json.dumps(_sharegpt(row, images, choices.prompt, tokens), ensure_ascii=False) + "\n"
            files[GENERALIST].write(line)
            files[row.example.task.value].write(line)
            progress.advance()
    columns = {"messages": "conversations", "images": "images"} | (
        {"system": "system"} if choices.prompt.system else {}
    )
    info = {name: {"file_name": f"{name}.jsonl", "formatting": "sharegpt", "columns": columns} for name in names}
    _write_json(folder / "dataset_info.json", info)
    return {name: file_sha256(folder / f"{name}.jsonl") for name in names}


def _sharegpt(row: _Row, images: _ImageFolder, settings: PromptSettings, tokens: Tokens | None) -> dict[str, Any]:
    reserved = tokens.reserved if tokens else frozenset()
    prompt = build_prompt(row.example.question.text, len(row.names), settings, reserved)
    gap = tokens.image_gap if tokens else find_family(DEFAULT).image_gap
    turns = [{"from": "human", "value": prompt.sharegpt(gap)}, {"from": "gpt", "value": row.target}]
    system = {"system": prompt.system} if prompt.system else {}
    return {"conversations": turns, **system, "images": [images.put(row.example, n) for n in row.names], "id": row.id}


def _value_range(rows: Sequence[_Row]) -> tuple[float, float]:
    """Zero and the greatest measurement that was trained on, or the least if that is below zero, in whole numbers."""
    values = [float(row.target) for row in rows if TASKS[row.example.task].answer is Measurement]
    return (min(0.0, floor(min(values))), max(float(ceil(max(values))), 1.0)) if values else DEFAULT_RANGE


def _write_routes(
    folder: Path,
    choices: Choices,
    adapters: Sequence[str],
    budgets: dict[TaskType, int],
    value_range: tuple[float, float],
) -> None:
    for adapter in adapters:
        route = Route(
            adapter=adapter,
            base_model=choices.base_model,
            base_revision=choices.base_revision,
            prompt=choices.prompt,
            images=choices.route_images,
            box_space=choices.box_space,
            value_range=value_range,
            max_new_tokens=budgets if adapter == GENERALIST else {TaskType(adapter): budgets[TaskType(adapter)]},
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
        "sha256": prepared.sha256,
    }


def _write_json(path: Path, content: Any) -> None:
    def plain(value: Any) -> Any:
        return value.model_dump() if isinstance(value, FrozenModel) else str(value)

    path.write_text(json.dumps(content, indent=1, default=plain) + "\n", "utf-8")
