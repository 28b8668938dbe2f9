"""What a GRPO run can be told: the file `grpo.yaml` with an overlay's values in place of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from mevlip.checkpoints.records import FrozenModel, first_error
from mevlip.core.errors import InputError
from mevlip_training.grpo.monitor import Limits

CONFIG = Path(__file__).with_name("grpo.yaml")
"""The paper's values."""

Whole = Annotated[int, Field(strict=True, ge=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(FrozenModel):
    """Settings of a run; those without a word here are TRL's and transformers' own."""

    model_name_or_path: str
    """The base's folder, or its name on the hub, whose files are on this machine."""
    model_revision: str = "main"
    num_generations: Annotated[int, Field(strict=True, ge=2)]
    """Completions of a question."""
    constrain: bool = True
    """Whether completions keep to what their question allows, as predictions do."""
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    beta: Amount
    """Weight of the divergence from the adapter that training starts from."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    weight_decay: Amount = 0.0
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    lr_scheduler_type: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    max_grad_norm: Amount = 1.0
    steps_per_generation: Whole
    """Batches that the completions of one generation are divided into; each is one forward and backward pass."""
    num_train_epochs: Annotated[float, Field(gt=0)] = 1.0
    max_steps: Annotated[int, Field(strict=True, ge=0)] = 0
    """Optimizer steps in place of epochs; 0 for epochs."""
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "grpo"
    per_device_train_batch_size: Whole
    """Completions of a batch."""
    gradient_accumulation_steps: Whole = 1
    gradient_checkpointing: bool = True
    optim: Literal["adamw_torch", "adamw_8bit", "paged_adamw_8bit"] = "adamw_torch"
    seed: Annotated[int, Field(strict=True, ge=0)] = 42
    """Of the questions' order and of sampling."""
    save_steps: Whole = 100
    save_total_limit: Whole | None = None
    max_completion_length: Whole | None = None
    """Most tokens of a completion; by default those that the route gives the task's answers, and thinking."""
    use_cpu: bool = False
    """Whether a GPU is left alone."""
    weights: dict[str, Amount] = Field(default_factory=dict)
    """Weights of rewards in place of their own, by name."""
    limits: Limits = Limits()
    """When a run is ended because it would learn nothing."""

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if self.completions % self.num_generations:
            raise ValueError(
                "per_device_train_batch_size x steps_per_generation is a multiple of num_generations, so that the "
                "completions of a question stay together"
            )
        batches, steps = self.steps_per_generation, self.gradient_accumulation_steps
        if batches % steps and steps % batches:
            raise ValueError("one of steps_per_generation and gradient_accumulation_steps divides the other")
        if self.save_steps % self.round:
            raise ValueError(f"save_steps is a multiple of {self.round}, so that no generation is divided by a stop")
        return self

    @property
    def completions(self) -> int:
        """Completions of one generation."""
        return self.per_device_train_batch_size * self.steps_per_generation

    @property
    def questions(self) -> int:
        """Questions of one generation."""
        return self.completions // self.num_generations

    @property
    def round(self) -> int:
        """Optimizer steps that one generation, or the generations of one step, take."""
        return max(self.steps_per_generation // self.gradient_accumulation_steps, 1)

    def steps(self, rows: int) -> int:
        """Optimizer steps of a run on one device, as transformers' Trainer counts them.

        Args:
            rows: Its questions; those beyond a multiple of a generation's are left out.
        """
        batches = rows // self.questions * self.steps_per_generation
        per_epoch = -(-batches // self.gradient_accumulation_steps)
        return self.max_steps or int(per_epoch * self.num_train_epochs)


def check_settings(content: Mapping[str, Any], source: Path) -> Settings:
    """Reads the settings of a file with an overlay's in place of its own.

    Raises:
        InputError: One is unknown or impossible.
    """
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        raise InputError(
            f"{source} with its overlay: {first_error(error)}",
            f"Change it in the --overlay; settings are {', '.join(Settings.model_fields)}.",
        ) from error
