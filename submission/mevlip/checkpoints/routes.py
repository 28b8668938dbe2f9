"""Routes: everything that training and prediction must share for one adapter.

Training writes one `route.json` next to each adapter; the predictor reads it and asks nobody else. A setting that both
sides need is a field here or it does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializationInfo, SerializerFunctionWrapHandler, model_serializer, model_validator

from mevlip.answers.question_spec import GREATEST, BoxSpace, QuestionSpec
from mevlip.checkpoints.fingerprints import AdapterFingerprint, BaseFingerprint
from mevlip.checkpoints.records import LINE_LIMIT, FrozenModel, Line, read_record
from mevlip.core.errors import CheckpointError
from mevlip.core.text import visible
from mevlip.reading import ANSWER_CLOSES, ANSWER_OPENS, THINK_CLOSES, THINK_OPENS
from mevlip.tasks import GENERALIST, TASKS, TaskType

ROUTE_NAME = "route.json"
DEFAULT_RANGE = (0.0, 1000.0)
"""Plausible measurements where training data say nothing: percentages, degrees and millimetres lie in it."""

MOST_TOKENS = 8192
"""Greatest token budget, of an answer or of the thinking before it."""


class Thinking(FrozenModel):
    """Letting the model think before it answers."""

    tokens: int = Field(default=1024, ge=1, le=MOST_TOKENS)
    """Token budget of the thinking; where it is used up, the answer begins."""
    preset: str = Field(
        default="Think about the question before you answer it. First write down your reasoning, step by step, inside "
        f"{THINK_OPENS} {THINK_CLOSES}. Then write nothing but the final answer, as concise as the question allows, "
        f"inside {ANSWER_OPENS} {ANSWER_CLOSES}.",
        min_length=1,
    )
    """What asks for it: it stands before the images, in lines of its own."""

    @model_validator(mode="after")
    def _holds_no_places(self) -> Thinking:
        if any(place in self.preset for place in ("<image>", "<video>", "<audio>")):
            raise ValueError("preset holds no <image>, <video> or <audio>, which are places in training data")
        return self


class PromptSettings(FrozenModel):
    """How a question becomes the user's turn."""

    system: str = ""
    """Text of the system turn; empty means no such turn at all."""
    template: str = "{question}"
    """The user's text; `{question}` is replaced by the question."""
    image_mark: Line = ""
    """Text before each image of a question that shows several, such as `Image-{number}: `, in one line; `{number}` is
    replaced by the image's number, from 1. Before a single image nothing stands; empty for nothing before any."""
    thinking: Thinking | None = None
    """Whether the model thinks before it answers, and how it is asked to; None for no thinking."""

    @model_validator(mode="after")
    def _has_places(self) -> PromptSettings:
        if self.template.count("{question}") != 1:
            raise ValueError("template holds {question} exactly once")
        if self.image_mark and self.image_mark.count("{number}") != 1:
            raise ValueError("image_mark holds {number} exactly once")
        if "<" in self.image_mark:
            raise ValueError("image_mark holds no <, with which special tokens and the places of images begin")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_no_thinking(
        self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """Leaves out what older routes do not have where it is the default, so that they are written as they were.

        Where only fields that were set are asked for, as when sections of a recipe are merged, it was set on purpose.
        """
        keeps = info.exclude_unset or self.thinking is not None
        return {key: value for key, value in serialize(self).items() if keeps or key != "thinking"}

    @property
    def preset(self) -> str:
        """What stands before the images, in lines of its own; empty for nothing."""
        return self.thinking.preset if self.thinking else ""

    @property
    def thinking_tokens(self) -> int:
        """Token budget of the thinking; 0 for none."""
        return self.thinking.tokens if self.thinking else 0


Intensity = Literal["volume", "slice"]
"""Which values of a volume become black and white: least and greatest of the whole file, or of each frame by itself."""


class ImageSettings(FrozenModel):
    """How a question's images become pixels."""

    max_count: int = Field(default=4, ge=1, le=64)
    """At most this many images of a question are used, evenly spaced."""
    min_pixels: int = Field(default=32 * 32, ge=1)
    """Smaller images are enlarged to this area before the image processor, as LLaMA-Factory does."""
    max_pixels: int = Field(default=768 * 768, ge=1)
    """Larger images are shrunk to this area before the image processor, as LLaMA-Factory does."""
    crop_to_patches: bool = False
    """Cut images into tiles (InternVL); always passed on, because libraries differ in the default."""
    max_patches: int = Field(default=12, ge=1, le=256)
    """Most tiles per image where tiling is on."""
    frames: int = Field(default=11, ge=1, le=64)
    """At most this many frames of a volume, a film or a file of several pages are used, evenly spaced; several files of
    a question share them."""
    intensity: Intensity = "volume"
    """Which values of a volume without a window of its own become black and white: least and greatest of all of it, or
    of each slice by itself, as Fleming-VL has it."""

    @model_serializer(mode="wrap")
    def _leave_out_defaults(self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """Leaves out what older routes do not have where it is the default, as `PromptSettings` does."""
        late = () if info.exclude_unset else ("frames", "intensity")
        defaults = {name: type(self).model_fields[name].default for name in late}
        return {key: value for key, value in serialize(self).items() if defaults.get(key, ...) != value}


class Quantization(FrozenModel):
    """How the base model's linear layers are stored (bitsandbytes)."""

    kind: Literal["nf4", "none"] = "nf4"
    double: bool = True
    """Whether the quantization constants are quantized too (equations 1 and 2 of the paper)."""


class Mix(FrozenModel):
    """Answering each question with the route's own adapter and another one, in shares that the question decides.

    T³'s formula for language models: the other adapter's share is

        least + (most - least) * sigmoid(gamma * JS)

    and the route's own adapter has the rest; JS is the Jensen-Shannon divergence, with the natural logarithm, of the
    two adapters' distributions of the answer's first token over the whole vocabulary. The more they disagree, the more
    the other one counts, which is meant to be the generalist. The published gamma is 0.5; least and most are not known
    to us. A divergence is never negative and the sigmoid of zero is a half, so that a share is never below the middle
    of the two: with 0 and 1 it lies between 0.5 and 0.586.
    """

    adapter: Line = GENERALIST
    """The other adapter, of the same checkpoint. What its own route says does not matter."""
    least: float = Field(default=0.0, ge=0, le=1)
    """The formula's lower end, as a share."""
    most: float = Field(default=1.0, ge=0, le=1)
    """Its upper end; equal ends fix the share: 1 is the other adapter alone, 0 the route's own."""
    gamma: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    """How much the divergence counts."""

    @model_validator(mode="after")
    def _has_ends_in_order(self) -> Mix:
        if self.least > self.most:
            raise ValueError("least must not be greater than most")
        return self


class Route(FrozenModel):
    """The contract of one adapter."""

    version: Literal[2, 3] = 3
    """3 since routes have fingerprints. A checkpoint with routes of version 2 has to be assembled again."""
    adapter: str
    """Folder name of the adapter: a task's name, or `generalist`."""
    base_model: Line
    """Name of the base model that the adapter was trained on."""
    base_revision: Line
    """Its revision: a commit of the hub, or the demo's version."""
    base_fingerprint: BaseFingerprint | None = None
    """That base's files. None before training, and where training knew the base by its name only: assembling fills it
    in from the base that it is given."""
    base_assumed: bool = False
    """Whether assembling filled that in: nothing but its shapes and its name then says that the adapter was trained on
    this base."""
    adapter_fingerprint: AdapterFingerprint | None = None
    """The adapter's own files. None before training."""
    compose: tuple[Line, ...] = ()
    """Adapters of the same checkpoint that are active together with this one: their changes of the base are added. What
    these adapters' own routes say does not matter."""
    mix: Mix | None = None
    """Another adapter of the same checkpoint that this one is mixed with, question by question; not beside compose."""
    prompt: PromptSettings = PromptSettings()
    images: ImageSettings = ImageSettings()
    box_space: BoxSpace = "norm1000"
    value_range: tuple[float, float] = DEFAULT_RANGE
    """Least and greatest plausible measurement; others are clamped."""
    count_range: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(le=GREATEST)]] = (0, GREATEST)
    """Least and greatest plausible count; others are clamped. Older routes have none: then any count is."""
    max_new_tokens: dict[TaskType, Annotated[int, Field(ge=1, le=MOST_TOKENS)]]
    """Token budget of each task that the adapter may be asked."""
    quantization: Quantization = Quantization()

    @model_validator(mode="after")
    def _covers_its_tasks(self) -> Route:
        expected = set(TASKS) if self.adapter == GENERALIST else {TaskType(self.adapter)}
        if set(self.max_new_tokens) != expected:
            raise ValueError(f"max_new_tokens covers exactly {sorted(expected)}")
        if len({self.adapter, *self.compose}) <= len(self.compose):
            raise ValueError("compose names other adapters, each once")
        if self.mix and self.mix.adapter == self.adapter:
            raise ValueError("mix names another adapter")
        if self.mix and self.compose:
            raise ValueError("an adapter is composed with others or mixed with one, not both")
        if self.value_range[0] >= self.value_range[1]:
            raise ValueError("value_range goes from a lower to a higher number")
        if self.count_range[0] >= self.count_range[1]:
            raise ValueError("count_range goes from a lower to a higher number")
        return self

    @property
    def others(self) -> tuple[str, ...]:
        """Adapters that are active together with this one."""
        return (self.mix.adapter,) if self.mix else self.compose

    def with_thinking(self, choice: str | None) -> Route:
        """This route, but for what it says of thinking.

        Args:
            choice: `on` for its own budget, or the default where it has none; `off` for no thinking; or a budget in
                tokens. None changes nothing.
        """
        if choice is None:
            return self
        thinking = None if choice == "off" else self.prompt.thinking or Thinking()
        if thinking and choice != "on":
            thinking = thinking.model_copy(update={"tokens": int(choice)})
        return self.model_copy(update={"prompt": self.prompt.model_copy(update={"thinking": thinking})})

    def spec(self, question: str, image_size: tuple[int, int] | None) -> QuestionSpec:
        """What a question asks for, as this adapter answers it.

        Args:
            question: The question's text.
            image_size: Width and height of its first image in pixels; None where there is none.
        """
        return QuestionSpec(question, image_size, self.box_space, self.value_range, self.count_range)


def read_route(adapter_folder: Path) -> Route:
    """Reads the route beside an adapter.

    Raises:
        CheckpointError: The file is absent or breaks the contract.
    """
    owner = f"adapter {adapter_folder.name!r}: "
    remedy = "Write it again with the training commands, or fetch the checkpoint again."
    route = read_record(adapter_folder / ROUTE_NAME, Route, "route", remedy, owner)
    if route.adapter != adapter_folder.name:
        raise CheckpointError(
            f"{owner}its {ROUTE_NAME} belongs to {visible(route.adapter, LINE_LIMIT)!r}",
            "Put each route beside the adapter it was written for.",
        )
    return route


def check_together(routes: Mapping[str, Route]) -> None:
    """Raises CheckpointError where the routes of one checkpoint contradict each other."""
    for name, route in routes.items():
        if unknown := sorted({*route.compose} - {*routes}):
            raise CheckpointError(
                f"adapter {name!r}: its {ROUTE_NAME} composes it with {unknown[0]!r}, which is not in the checkpoint",
                f"Name some of {', '.join(routes)}, or leave compose out.",
            )
        if route.mix and route.mix.adapter not in routes:
            raise CheckpointError(
                f"adapter {name!r}: its {ROUTE_NAME} mixes it with {route.mix.adapter!r}, "
                "which is not in the checkpoint",
                f"Name one of {', '.join(routes)}, or leave mix out.",
            )
    if len({route.quantization for route in routes.values()}) > 1:
        raise CheckpointError(
            "The adapters' routes ask for different quantization of one base",
            "Train all adapters with the same quantization settings.",
        )


def write_route(adapter_folder: Path, route: Route) -> None:
    """Writes a route into an adapter's folder."""
    (adapter_folder / ROUTE_NAME).write_text(route.model_dump_json(indent=1) + "\n", "utf-8")
