"""From examples to the rows of each adapter, by the choices that hold for it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mevlip.answers import QuestionSpec
from mevlip.answers.question_spec import BoxSpace
from mevlip.checkpoints.routes import ImageSettings, PromptSettings, Quantization
from mevlip.core.errors import InputError
from mevlip.flare.images import spaced_indices
from mevlip.flare.issues import IssueCode
from mevlip.flare.pixels import ImageError
from mevlip.flare.store import ImageStore
from mevlip.tasks import GENERALIST, adapter_names
from mevlip_training.data.audit import audit_examples, nothing_left, reasons_to_leave_out
from mevlip_training.data.mixing import Copy, balanced, check_names, draw_copy, given, gives, is_left_out
from mevlip_training.data.pictures import survey
from mevlip_training.data.records import Example, Examples, rows_to_refit, rows_to_train
from mevlip_training.recipes.reading import RecipeFile
from mevlip_training.recipes.recipe import AdapterRecipe, ImageChoice, PerturbedCopies
from mevlip_validation.targets import TargetError, write_target

logger = logging.getLogger(__name__)


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
        perturb: Copies with perturbed pictures that are added; None for none.
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
    perturb: PerturbedCopies | None = None

    @property
    def route_images(self) -> ImageSettings:
        """The routes' image settings."""
        return self.image_settings if self.images == "all" else self.image_settings.model_copy(update={"max_count": 1})

    def by(self, recipe: RecipeFile | None, adapter: str) -> Choices:
        """The choices for one adapter: without a recipe these, with one what it says."""
        if recipe is None:
            return self
        one = recipe.recipe.of(adapter)
        return replace(
            self,
            images=one.show,
            box_space=one.box_space,
            image_settings=one.images,
            prompt=one.prompt,
            perturb=one.perturb,
            quantization=recipe.recipe.quantization,
        )


@dataclass(frozen=True)
class Row:
    """One training row.

    Attributes:
        example: The example that it was made of.
        names: The images that it shows.
        target: What is to be said about them.
        id: Its id.
        copy: How its images are made worse; None where they are not.
        pictures: Where its images lie in the prepared folder, if they were written before its row is.
    """

    example: Example
    names: tuple[str, ...]
    target: str
    id: str
    copy: Copy | None = None
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True)
class AdapterRows:
    """What one adapter is trained on.

    Attributes:
        choices: What holds for it.
        recipe: What its recipe says beyond them.
        own: Its rows, each once.
        mixed: Its rows as training reads them: small groups raised, then donors' rows, then perturbed copies.
        donated: Number of the donors' rows.
        copied: Number of the perturbed copies.
    """

    choices: Choices
    recipe: AdapterRecipe
    own: Sequence[Row]
    mixed: Sequence[Row]
    donated: int
    copied: int


@dataclass(frozen=True)
class Selected:
    """What was selected.

    Attributes:
        adapters: The rows of each adapter that has any, in the adapters' order.
        left_out: Number of records that nothing can be trained on, by reason.
    """

    adapters: Mapping[str, AdapterRows]
    left_out: Counter[str]


def select(
    examples: Examples, store: ImageStore, choices: Choices, recipe: RecipeFile | None = None, quiet: bool = False
) -> Selected:
    """Selects the rows of every adapter.

    Raises:
        InputError: No record can be trained on, or an adapter starts from another that has no rows.
    """
    builder = RowBuilder(store, condemned(examples, store, choices, quiet))
    for unknown in sorted(_unknown_names(examples, recipe)) if recipe else ():
        logger.warning("the recipe's leave_out names %s, which no row has", unknown)
    training, refit = rows_to_train(examples), rows_to_refit(examples)
    adapters = {}
    for rule in filter(None, (choices.by(recipe, name).perturb for name in adapter_names())):
        check_names(rule)
    for name in adapter_names():
        one = recipe.recipe.of(name) if recipe else AdapterRecipe()
        pool = [row for row in (refit if one.refit else training) if not is_left_out(row, one.leave_out)]
        rows = _adapter_rows(name, pool, one, choices.by(recipe, name), builder)
        if rows.own:
            adapters[name] = rows
    if not adapters:
        raise nothing_left(examples.root, builder.left_out, "the recipe leaves all of them out")
    for name, rows in adapters.items():
        if rows.recipe.start_from and rows.recipe.start_from not in adapters:
            raise InputError(
                f"Adapter {name!r} starts from {rows.recipe.start_from!r}, which has no rows to be trained on",
                "Change start_from in the recipe, or name a folder with rows of that task.",
            )
    return Selected(adapters, builder.left_out)


def condemned(examples: Examples, store: ImageStore, choices: Choices, quiet: bool) -> dict[str, IssueCode]:
    """Why the checks leave records out, by the record's place; empty where the choices keep them."""
    if choices.keep_flagged:
        return {}
    survey(examples.root, store, (row.question for row in examples.rows), quiet)
    return reasons_to_leave_out(audit_examples(examples, store, quiet))


def _unknown_names(examples: Examples, recipe: RecipeFile) -> set[str]:
    """What a recipe leaves out that is not there: mostly a name spelled otherwise."""
    there = {"tasks": "task", "modalities": "modality", "datasets": "dataset"}
    found = set()
    for rule in (recipe.recipe.of(name).leave_out for name in adapter_names()):
        for named_by, attribute in there.items():
            named = set(getattr(rule, named_by)) - {getattr(row, attribute) for row in examples.rows}
            found |= {f"the {attribute} {one!s}" for one in named}
    return found


def _adapter_rows(
    name: str, pool: Sequence[Example], recipe: AdapterRecipe, choices: Choices, builder: RowBuilder
) -> AdapterRows:
    own = mixed = builder.rows((one for one in pool if name in (GENERALIST, one.task)), choices)
    if recipe.balance is not None:
        mixed = list(balanced(own, _by_modality if recipe.balance.by == "modality" else _by_answer, recipe.balance))
    donated: list[Row] = []
    for donor in recipe.donors if own else ():
        rows = builder.rows((one for one in pool if gives(one, donor)), choices)
        if len(rows) < (donor.rows or 1):
            logger.warning("%s: donor %s has only %d rows to give", name, donor.task, len(rows))
        donated += given(rows, donor)
    seen = [*mixed, *donated]
    copies = list(_copies(seen, choices.perturb)) if choices.perturb else []
    return AdapterRows(choices, recipe, own, [*seen, *copies], len(donated), len(copies))


def _copies(rows: Iterable[Row], rule: PerturbedCopies) -> Iterator[Row]:
    """Copies of rows; a repeated row's are perturbed differently."""
    times = Counter[str]()
    for row in rows:
        times[row.id] += 1
        if copy := draw_copy(row.example, f"{row.id}/{times[row.id]}", rule):
            yield replace(row, id=f"{row.id}/{copy.perturbation}-{copy.level}", copy=copy)


def _by_answer(row: Row) -> Hashable:
    return row.example.dataset, row.target


def _by_modality(row: Row) -> Hashable:
    return row.example.modality


class RowBuilder:
    """Makes rows of examples, each once for the same choices, and counts examples that no row can be made of."""

    def __init__(self, store: ImageStore, reasons: dict[str, IssueCode]) -> None:
        self._store, self._reasons = store, reasons
        self._made: dict[tuple[str, ImageChoice, int, BoxSpace], list[Row]] = {}
        self._refused: set[str] = set()
        self.left_out: Counter[str] = Counter()

    def rows(self, examples: Iterable[Example], choices: Choices) -> list[Row]:
        """The rows of examples, in their order."""
        return [row for example in examples for row in self._rows(example, choices)]

    def _rows(self, example: Example, choices: Choices) -> list[Row]:
        where = example.question.where
        key = (where, choices.images, choices.route_images.max_count, choices.box_space)
        if key not in self._made:
            reason = self._reasons.get(where)
            self._made[key] = []
            if reason is None:
                try:
                    self._made[key] = _make_rows(example, self._store, choices)
                except TargetError as error:
                    reason = error.code
                except ImageError:
                    reason = IssueCode.UNREADABLE_IMAGE
            if reason is not None and where not in self._refused:
                self._refused.add(where)
                self.left_out[reason.value] += 1
        return self._made[key]


def _make_rows(example: Example, store: ImageStore, choices: Choices) -> list[Row]:
    names = example.question.image_names
    if not names:
        raise ImageError("the record's ImageName names no image")
    shown: list[tuple[str, ...]] = [(name,) for name in names]
    if choices.images != "explode":
        shown = [tuple(names[index] for index in spaced_indices(len(names), choices.route_images.max_count))]
    return [
        Row(example, part, _target(example, part, store, choices), example.id + (f"/{n}" if len(shown) > 1 else ""))
        for n, part in enumerate(shown)
    ]


def _target(example: Example, names: tuple[str, ...], store: ImageStore, choices: Choices) -> str:
    first, *_ = [store.facts(example.question, name) for name in names]  # all of them must be readable
    return write_target(
        example.task, example.answer, QuestionSpec(example.question.text, first.size, choices.box_space)
    )
