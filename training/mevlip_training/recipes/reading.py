"""Reading a recipe by name or file; whatever is wrong with it is named with its place and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mevlip.checkpoints.records import LINE_LIMIT, RECORD_LIMIT, FrozenModel
from mevlip.checkpoints.routes import ImageSettings, Mix, PromptSettings, Quantization, Thinking
from mevlip.core.errors import InputError
from mevlip.core.files import read_bounded
from mevlip.core.text import visible
from mevlip.tasks import GENERALIST, adapter_names
from mevlip_training.recipes.recipe import (
    TRAINED_PATCHES,
    AdapterRecipe,
    Balance,
    Donor,
    LeaveOut,
    PerturbedCopies,
    Recipe,
)

_FOLDER = Path(__file__).parent
_TABLE = "docs/training.md has the table of fields."
_SECTIONS: dict[str, type[FrozenModel]] = {
    "prompt": PromptSettings,
    "images": ImageSettings,
    "leave_out": LeaveOut,
    "balance": Balance,
    "donors": Donor,
    "perturb": PerturbedCopies,
    "mix": Mix,
    "thinking": Thinking,
    "quantization": Quantization,
}


@dataclass(frozen=True)
class RecipeFile:
    """A recipe with its provenance.

    Attributes:
        name: The file's name without its suffix.
        sha256: Hash of the file.
        recipe: Its content.
    """

    name: str
    sha256: str
    recipe: Recipe


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def read_recipe(name: str) -> RecipeFile:
    """Reads a recipe.

    Args:
        name: One of `shipped_recipes`, or a YAML file.

    Raises:
        InputError: There is no such recipe, it is not valid, or its parts contradict each other.
    """
    path = _FOLDER / f"{name}.yaml" if name in shipped_recipes() else Path(name)
    try:
        content = read_bounded(path, RECORD_LIMIT)
    except OSError as error:
        raise InputError(
            f"{name} is not a recipe that can be read ({error.strerror})",
            f"Name a YAML file, or one of {', '.join(shipped_recipes())}.",
        ) from error
    return RecipeFile(visible(path.stem, LINE_LIMIT), sha256(content).hexdigest(), parse_recipe(content, str(path)))


def parse_recipe(content: bytes, source: str) -> Recipe:
    """Reads a recipe's YAML.

    Args:
        content: The file's content.
        source: The file, for messages.

    Raises:
        InputError: It is not valid, or its parts contradict each other; file, adapter, field and remedy are named.
    """
    try:
        recipe = Recipe.model_validate(_load(content))
    except ValidationError as error:
        raise _refusal(dict(error.errors(include_url=False)[0]), source) from error
    except (ValueError, RecursionError) as error:
        lines = " ".join(str(error).split())
        raise InputError(f"{source} is not YAML ({visible(lines, LINE_LIMIT)})", "Fix its syntax.") from error
    for adapter, field, cause, remedy in _contradictions(recipe):
        raise InputError(f"{source}, adapter {adapter!r}, field {field}: {cause}", remedy)
    return recipe


def _load(content: bytes) -> Any:
    """The YAML's value; an empty file says nothing, and a key that stands twice in a section is refused.

    Raises:
        ValueError: It is not YAML.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """PyYAML takes the last of two equal keys, so that half a section would silently go."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key in (key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key!r} stands twice", node.start_mark)
                seen.add(key)
            return super().construct_mapping(node, deep)

    try:
        loaded = yaml.load(content, Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(str(error)) from error
    return {} if loaded is None else loaded


def _refusal(error: dict[str, Any], source: str) -> InputError:
    """The message for what pydantic found first."""
    *above, last = [part for part in error["loc"] if part != "[key]"] or [""]
    place, rest = source, [*above, last]
    if rest[0] == "adapters" and len(rest) > 1:
        place, rest = f"{source}, adapter {visible(str(rest[1]), LINE_LIMIT)!r}", rest[2:]
    elif rest[0] == "default":
        place, rest = f"{source}, default section", rest[1:]
    field = ".".join(map(str, rest))
    field = f", field {visible(field, LINE_LIMIT)}" if field else ""
    if error["type"] == "extra_forbidden":
        fields = list(_model_at(above).model_fields)
        close = get_close_matches(str(last), fields, 1)
        remedy = f"Did you mean {close[0]}?" if close else f"Fields here are {', '.join(fields)}."
        return InputError(f"{place}{field}: there is no such field", remedy)
    given = error["input"] if isinstance(error["input"], str | int | float | bool) else type(error["input"]).__name__
    message = str(error["msg"]).removeprefix("Value error, ")
    shown = "" if error["type"] in ("value_error", "missing") else f", not {visible(repr(given), LINE_LIMIT)}"
    return InputError(f"{place}{field}: {visible(message, 2 * LINE_LIMIT)}{shown}", f"Change it; {_TABLE}")


def _model_at(place: list[Any]) -> type[FrozenModel]:
    """The model whose fields stand at a place."""
    for part in reversed(place):
        if part in _SECTIONS:
            return _SECTIONS[part]
    return AdapterRecipe if place else Recipe


def _contradictions(recipe: Recipe) -> Iterator[tuple[str, str, str, str]]:
    """Adapter, field, cause and remedy of everything that contradicts something else."""
    for name in adapter_names():
        one = recipe.of(name)
        if one.show != "all" and "max_count" in one.images.model_fields_set and one.images.max_count > 1:
            yield name, "images.max_count", f"{one.images.max_count} images, but show is {one.show}", "Remove either."
        if one.images.min_pixels > one.images.max_pixels:
            yield (
                name, "images.min_pixels",
                f"{one.images.min_pixels} is more than max_pixels, {one.images.max_pixels}", "Exchange the two.",
            )  # fmt: skip
        if one.images.crop_to_patches and one.images.max_patches != TRAINED_PATCHES:
            yield (
                name, "images.max_patches",
                f"{one.images.max_patches} tiles, but LLaMA-Factory always cuts into {TRAINED_PATCHES} at most",
                "Remove it.",
            )  # fmt: skip
        for donor in one.donors:
            if name in (GENERALIST, donor.task):
                rows = "it is trained on the rows of all tasks" if name == GENERALIST else "its own task is its donor"
                yield name, "donors", rows, "Set donors to [] there, or name another task."
        if name in one.compose or len(set(one.compose)) < len(one.compose):
            yield name, "compose", "it names itself or one adapter twice", "Name other adapters, each once."
        if one.mix and one.mix.adapter not in adapter_names():
            cause = f"{visible(one.mix.adapter, LINE_LIMIT)!r} is not an adapter"
            yield name, "mix.adapter", cause, f"Adapters are {', '.join(adapter_names())}."
        if one.mix and one.mix.adapter == name:
            yield name, "mix.adapter", "it names itself", "Name another adapter, or set mix to null."
        if one.mix and one.compose:
            cause = "an adapter is composed with others or mixed with one, not both"
            yield name, "mix", cause, "Set compose to [] or mix to null there."
        if one.start_from in one.compose:
            yield (
                name, "compose", f"it starts from {one.start_from!r}, so what that learned would be added twice",
                "Remove either.",
            )  # fmt: skip
        if one.start_from:
            start = recipe.of(one.start_from)
            if (one.rank, one.lora_alpha) != (start.rank, start.lora_alpha):
                yield (
                    name, "rank", f"it starts from {one.start_from!r}, which has another rank or alpha",
                    "Set the same rank and alpha for both: weights that are trained on keep their shape.",
                )  # fmt: skip
    starts = {name: recipe.of(name).start_from for name in adapter_names()}
    try:
        TopologicalSorter({name: [start] for name, start in starts.items() if start}).prepare()
    except CycleError as error:
        *circle, _ = reversed(error.args[1])
        cause = f"adapters start from each other in a circle: {', '.join(circle)}"
        yield circle[0], "start_from", cause, "Let one of them start from fresh weights: start_from: null."
