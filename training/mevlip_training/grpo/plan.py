"""Planning GRPO runs: settings, rows and the adapter to start from put together and compared."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mevlip.checkpoints.adapter_config import WEIGHTS_NAME
from mevlip.checkpoints.fingerprints import adapter_fingerprint
from mevlip.checkpoints.routes import Route, read_route
from mevlip.core.errors import CheckpointError, InputError
from mevlip.core.files import file_sha256
from mevlip.inference.completion import thinking_room
from mevlip.inference.families import base_family, find_family
from mevlip.tasks import TaskType
from mevlip_training.bases import base_folder
from mevlip_training.families import DEFAULT
from mevlip_training.grpo.questions import Question, read_questions
from mevlip_training.grpo.rewards import rewards_of
from mevlip_training.grpo.scoring import Rewards
from mevlip_training.grpo.settings import Settings, check_settings
from mevlip_training.runs import is_finished, read_yaml
from mevlip_training.written import REMEDY

logger = logging.getLogger(__name__)

_SHARED = ("prompt", "images", "box_space", "quantization")
"""What a model must not be asked otherwise than it was taught."""


@dataclass(frozen=True)
class GrpoRun:
    """One run.

    Attributes:
        adapter: Name of the adapter.
        settings: Its settings.
        data: Folder of the rows, which `mevlip data prepare` wrote.
        base: The base's folder.
        start: The packed adapter that it starts from.
        route: The route of that adapter.
        questions: What is asked.
        output: Its folder.
    """

    adapter: str
    settings: Settings
    data: Path
    base: Path
    start: Path
    route: Route
    questions: list[Question]
    output: Path

    @property
    def rows_file(self) -> Path:
        """The file of its rows."""
        return self.data / f"{self.adapter}.jsonl"

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return self.settings.steps(len(self.questions))

    @property
    def generations(self) -> float:
        """How often completions are sampled."""
        return self.steps * self.settings.gradient_accumulation_steps / self.settings.steps_per_generation

    @property
    def unasked(self) -> int:
        """How many questions are never asked, where a run is shorter than an epoch: its last ones, the most open."""
        each = self.settings.questions
        return max(len(self.questions) // each - int(self.generations), 0) * each

    @property
    def cap(self) -> int:
        """Most tokens of a completion."""
        return longest_completion(self.route, self.settings)

    @property
    def rewards(self) -> dict[TaskType, Rewards]:
        """The rewards of each of its tasks."""
        return rewards_for(self.questions, self.settings)

    @property
    def finished(self) -> bool:
        """Whether an earlier start has reached the end."""
        return is_finished(self.output)

    @property
    def config(self) -> dict[str, Any]:
        """All that decides its weights, as YAML values."""
        return {
            "adapter": self.adapter,
            "base": str(self.base.resolve()),
            "rows": str(self.rows_file.resolve()),
            "rows_sha256": file_sha256(self.rows_file),
            "start": str(self.start.resolve()),
            "start_sha256": file_sha256(self.start / WEIGHTS_NAME),
            "output": str(self.output.resolve()),
            "settings": self.settings.model_dump(mode="json"),
        }


def longest_completion(route: Route, settings: Settings) -> int:
    """Most tokens of a completion: by default those of an answer, and of thinking where the route has it."""
    own = max(route.max_new_tokens.values()) + thinking_room(route.prompt.thinking_tokens)
    return settings.max_completion_length or own


def rewards_for(questions: Iterable[Question], settings: Settings) -> dict[TaskType, Rewards]:
    """The rewards of each task that is asked for; a weight counts for the tasks that have its reward.

    Raises:
        InputError: A weight is of no reward of these tasks, or impossible.
        EnvironmentProblem: A reward needs a package that is not installed.
    """
    tasks = sorted({one.task for one in questions})
    known = {task: {reward.name for reward in rewards_of(task)} for task in tasks}
    stray = settings.weights.keys() - set().union(*known.values())
    return {
        task: Rewards(task, {name: settings.weights[name] for name in settings.weights.keys() & {*known[task], *stray}})
        for task in tasks
    }


def plan_grpo(
    adapter: str, config: Path, data: Path, starts: Path, runs: Path, overlay: dict[str, Any], base: str | None
) -> GrpoRun:
    """Reads a run's settings and rows, and checks that they agree with the adapter that it starts from.

    Args:
        adapter: Name of the adapter.
        config: The YAML file of settings.
        data: Folder that `mevlip data prepare` wrote.
        starts: Parent of the packed adapters.
        runs: Parent of the output folders.
        overlay: Settings that replace the file's own.
        base: Folder of the base model, in place of the file's.

    Raises:
        InputError: A file is missing, settings are impossible, or a row is none that GRPO can learn from.
        CheckpointError: The adapter to start from is absent, was altered, or belongs to another base.
        EnvironmentProblem: A reward needs a package that is not installed.
    """
    named = {"model_name_or_path": base} if base else {}
    settings = check_settings({**read_yaml(config), **named, **overlay}, config)
    folder = base_folder(settings.model_dump())
    if folder is None:
        raise InputError(
            f"{settings.model_name_or_path} is not on this machine",
            "Get it with `mevlip checkpoint fetch` and name its folder as --base.",
        )
    start = starts / adapter
    route = _start_route(start, folder)
    rows = data / f"{adapter}.jsonl"
    if not rows.is_file():
        raise InputError(f"{rows} does not exist, so there is nothing to train {adapter!r} on", REMEDY)
    _check_same(route, data / "routes" / adapter, start)
    run = GrpoRun(
        adapter, settings, data, folder, start, route, read_questions(rows, route, find_family(DEFAULT)), runs / adapter
    )
    if len(run.questions) < settings.questions:
        raise InputError(
            f"{rows} has {len(run.questions)} rows, fewer than the {settings.questions} questions of one generation",
            "Lower steps_per_generation or per_device_train_batch_size, or prepare more rows.",
        )
    _ = run.rewards
    if run.unasked:
        epoch = settings.model_copy(update={"max_steps": 0, "num_train_epochs": 1.0}).steps(len(run.questions))
        logger.warning(
            "%s: the run ends before %d of %d questions are asked, the most open; an epoch is %d steps",
            adapter, run.unasked, len(run.questions), epoch,
        )  # fmt: skip
    return run


def _start_route(start: Path, base: Path) -> Route:
    """The route of the adapter that a run starts from, which has to be one that TRL can sample from."""
    try:
        route = read_route(start)
        if route.adapter_fingerprint != adapter_fingerprint(start):
            raise CheckpointError(f"{start}: its files are not those that were packed", "Pack or fetch it again.")
    except CheckpointError as error:
        raise CheckpointError(
            f"There is no adapter to start from: {error.cause}",
            "Train it first with `mevlip train adapters`, and name the folder of packed adapters as --from.",
        ) from error
    if route.others:
        how = "mixed" if route.mix else "composed"
        raise InputError(
            f"{start}: its route has it {how} with {', '.join(route.others)}, and GRPO trains an adapter alone",
            "Train it without that, and assemble the checkpoint with a --recipe that says it.",
        )
    if route.images.crop_to_patches:
        raise InputError(
            f"{start}: its route cuts images into tiles, and TRL 0.24 gives the model one tile of each",
            "Train the adapter on rows that were prepared without --crop-to-patches.",
        )
    if base_family(base) is not find_family(DEFAULT):
        raise InputError(
            f"{base} is not of InternVL's family, the only one that GRPO has been tested with", "Name another --base."
        )
    return route


def _check_same(route: Route, prepared: Path, start: Path) -> None:
    """Refuses rows that were prepared to ask in another way than the adapter was taught."""
    try:
        other = read_route(prepared)
    except CheckpointError as error:
        raise InputError(error.cause, REMEDY) from error
    # Of several images only one is shown here, so how many there may be does not matter.
    ours, theirs = (
        one.model_copy(update={"images": one.images.model_copy(update={"max_count": 1})}) for one in (route, other)
    )
    if different := [name for name in _SHARED if getattr(ours, name) != getattr(theirs, name)]:
        raise InputError(
            f"{prepared} and {start} have routes that differ in {', '.join(different)}",
            "Prepare the rows by the choices that the adapter was trained with.",
        )
