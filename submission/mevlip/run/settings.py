"""Settings of one prediction run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Routing = Literal["router", "declared", "generalist", "base"]
Device = Literal["auto", "cuda", "cpu"]


class Settings(BaseModel):
    """What a run is asked to do. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: Path
    """Folder that holds the question files."""
    output: Path
    """Folder that receives predictions.json."""
    checkpoint: str | None = None
    """Checkpoint folder or name; None for the medical one if it is there, else the demo."""
    routing: Routing = "router"
    """How a question finds its adapter: by its text, by its declared TaskType, always the generalist, or none."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least router confidence for a task-specific adapter; None for the checkpoint's."""
    device: Device = "auto"
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Most questions per forward."""
    constrain: bool = True
    """Whether the model may only say what a question allows."""
    explanations: Path | None = None
    """File that receives how each answer came about, one JSON object per line."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Answer only this many questions, for a try-out; the output is then partial."""
    max_failures: Annotated[str, Field(pattern="^[0-9]+%?$")] = "5%"
    """More failures than this, a number or a share of the questions, end the run with status 4.

    A failure is a question that the model was asked and that got a fallback answer; see `RunReport.failures`.
    """

    def allowed_failures(self, questions: int) -> int:
        """Number of failures among that many questions that `max_failures` allows."""
        if self.max_failures.endswith("%"):
            return questions * int(self.max_failures[:-1]) // 100
        return int(self.max_failures)
