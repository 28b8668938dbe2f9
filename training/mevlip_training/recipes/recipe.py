"""What a recipe can say, and how its default section and its adapters' sections become one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from mevlip.answers.question_spec import BoxSpace
from mevlip.checkpoints.records import FrozenModel, Line
from mevlip.checkpoints.routes import ImageSettings, Mix, PromptSettings, Quantization
from mevlip.tasks import TaskType, adapter_names
from mevlip_validation.defaults import LEVELS

TRAINED_PATCHES = 12
"""Most tiles per image in training, wherever LLaMA-Factory 0.9.5 cuts into tiles; no setting changes it."""

ImageChoice = Literal["all", "first", "explode"]


def _check_adapter(name: str) -> str:
    if name not in adapter_names():
        raise ValueError(f"{name!r} is not an adapter; adapters are {', '.join(adapter_names())}")
    return name


AdapterName = Annotated[str, AfterValidator(_check_adapter)]
Whole = Annotated[int, Field(strict=True, ge=1)]
"""A whole number from 1; `true` is not one."""


class LeaveOut(FrozenModel):
    """Rows that an adapter is not trained on, whatever task it has."""

    tasks: tuple[TaskType, ...] = ()
    """Rows of these tasks."""
    modalities: tuple[str, ...] = ()
    """Rows of these category folders, as the challenge spells them."""
    datasets: tuple[str, ...] = ()
    """Rows of these data sets."""


class Balance(FrozenModel):
    """Raising small groups of rows by repeating them."""

    by: Literal["answer", "modality"] = "answer"
    """Groups of one data set and answer, or of one modality."""
    rows: Whole | Literal["largest"]
    """Groups with fewer rows are raised to this number; `largest` is that of the largest group."""
    times: Whole | None = 6
    """No group becomes more than so many times as large; null for no such limit."""


class Donor(FrozenModel):
    """Rows of another task that are added to an adapter's own, evenly spaced over all that fit."""

    task: TaskType
    """The task that gives rows."""
    datasets: tuple[str, ...] = ()
    """Only rows of these data sets; empty for all."""
    rows: Whole | None = None
    """At most so many rows."""
    share: float | None = Field(default=None, gt=0, le=1)
    """This share of the rows."""

    @model_validator(mode="after")
    def _has_one_size(self) -> Donor:
        if (self.rows is None) == (self.share is None):
            raise ValueError("a donor has either rows or share")
        return self


class PerturbedCopies(FrozenModel):
    """Rows that are seen a second time, their pictures made worse (docs/perturbations.md has the perturbations)."""

    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The part of the rows that have such a copy."""
    levels: tuple[Annotated[int, Field(strict=True, ge=LEVELS[0], le=LEVELS[-1])], ...] = Field(
        default=LEVELS, min_length=1
    )
    """The published levels that are drawn from."""
    names: tuple[str, ...] = ()
    """The perturbations that are drawn from; empty for all that a row's modality has."""


class AdapterRecipe(FrozenModel):
    """What is decided for one adapter; a field that is not set is as without a recipe."""

    prompt: PromptSettings = PromptSettings()
    """The prompt's wording; in the route."""
    images: ImageSettings = ImageSettings()
    """How images become pixels and how many are shown; in the route."""
    show: ImageChoice = "all"
    """For questions with several images: evenly spaced ones in one row, the first only, or a row for each."""
    box_space: BoxSpace = "norm1000"
    """Boxes in thousandths of the image's sides, or in its pixels; in the route."""
    answer_tokens: Annotated[int, Field(strict=True, ge=1, le=8192)] | None = None
    """Token budget of an answer, the generalist's for each task; null for that of the data or of the task table."""
    leave_out: LeaveOut = LeaveOut()
    """Rows that are not trained on."""
    balance: Balance | None = None
    """Small groups of rows that are raised by repetition."""
    donors: tuple[Donor, ...] = ()
    """Rows of other tasks that are added."""
    perturb: PerturbedCopies | None = None
    """Copies of rows with perturbed pictures, their boxes moved, that are added."""
    refit: bool = False
    """Whether answered validation rows are trained on, too: once everything has been chosen on them."""
    compose: tuple[AdapterName, ...] = ()
    """Adapters that are active together with this one in prediction; in the route. Each is trained alone."""
    mix: Mix | None = None
    """The adapter that this one is mixed with in prediction, question by question; in the route, as `compose` is."""
    start_from: AdapterName | None = None
    """The adapter that this one goes on from, instead of fresh weights."""
    rank: Whole | None = None
    """LoRA's rank."""
    alpha: Whole | None = None
    """LoRA's alpha; twice the rank where only the rank is set."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the rows."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Greatest learning rate."""
    cutoff_len: Whole | None = None
    """Tokens of a row, its images among them; a longer one is cut."""

    @property
    def lora_alpha(self) -> int | None:
        """The alpha that training gets; None where its config decides."""
        return self.alpha or (2 * self.rank if self.rank else None)

    def overlay(self) -> dict[str, Any]:
        """What LLaMA-Factory is told beyond its config: the fields that are set, by its own keys."""
        settings = {
            "default_system": self.prompt.system if "system" in self.prompt.model_fields_set else None,
            "image_max_pixels": self.images.max_pixels if "max_pixels" in self.images.model_fields_set else None,
            "image_min_pixels": self.images.min_pixels if "min_pixels" in self.images.model_fields_set else None,
            "crop_to_patches": (
                self.images.crop_to_patches if "crop_to_patches" in self.images.model_fields_set else None
            ),
            "adapter_name_or_path": self.start_from,
            "lora_rank": self.rank,
            "lora_alpha": self.lora_alpha,
            "num_train_epochs": self.epochs,
            "learning_rate": self.learning_rate,
            "cutoff_len": self.cutoff_len,
        }
        return {key: value for key, value in settings.items() if value is not None}


class Recipe(FrozenModel):
    """A whole recipe. `mevlip_training.recipes.reading` reads it and checks that its parts agree."""

    about: Line = ""
    """What the recipe is, in one line."""
    quantization: Quantization = Quantization()
    """How the base is stored, the same for all adapters; in the routes."""
    default: AdapterRecipe = AdapterRecipe()
    """What holds for every adapter that does not say otherwise."""
    adapters: dict[AdapterName, AdapterRecipe] = {}  # noqa: RUF012 - pydantic copies it
    """What holds for one adapter, field by field in place of the default section's."""

    def of(self, adapter: str) -> AdapterRecipe:
        """What holds for an adapter: its own fields, then those of the default section.

        An adapter that the default section starts all others from starts from fresh weights itself, and one that it
        composes or mixes all others with is active alone.
        """
        own = self.adapters.get(adapter, AdapterRecipe()).model_dump(exclude_unset=True)
        merged = _merge(self.default.model_dump(exclude_unset=True), own)
        if merged.get("start_from") == adapter and "start_from" not in own:
            merged["start_from"] = None
        if adapter in merged.get("compose", ()) and "compose" not in own:
            merged["compose"] = ()
        if "mix" not in own and self.default.mix and self.default.mix.adapter == adapter:
            merged["mix"] = None
        return AdapterRecipe.model_validate(merged)

    def overlay(self, adapter: str) -> dict[str, Any]:
        """What LLaMA-Factory is told of an adapter beyond its config; empty where the recipe changes nothing there."""
        overlay = self.of(adapter).overlay()
        if "quantization" in self.model_fields_set:
            four_bit = self.quantization.kind != "none"
            overlay |= {"quantization_bit": 4 if four_bit else None, "double_quantization": self.quantization.double}
        return overlay


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Sections field by field; anything else, lists included, is replaced."""
    merged = {**below, **above}
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            merged[key] = _merge(below[key], value)
    return merged
