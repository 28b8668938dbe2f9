"""What a run is asked to do. Command-line options are made from these models, so that each default stands once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mevlip.checkpoints.routes import MOST_TOKENS
from mevlip.flare.shards import Shard
from mevlip.inference.memory import parse_size
from mevlip.routing.policy import Routing

Device = Literal["auto", "cuda", "cpu"]
Verify = Literal["full", "quick"]

_KEEPS_ANSWERS: dict[str, Any] = {"keeps_answers": True}
"""Marks a setting that cannot change an answer; see `RunSettings.identity`."""


def _a_size(text: str | None) -> str | None:
    if text is not None:
        parse_size(text)
    return text


def _a_thinking(text: str | None) -> str | None:
    if text is None or text in ("on", "off"):
        return text
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= MOST_TOKENS:
        raise ValueError(f"is on, off or a number of tokens from 1 to {MOST_TOKENS}")
    return str(int(text))


class _Settings(BaseModel):
    """Frozen settings; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PredictorSettings(_Settings):
    """Which system answers, and where."""

    checkpoint: str | None = None
    """Checkpoint folder, or its name below checkpoints. Default: me-vlip if it is there, else demo."""
    device: Device = "auto"
    """auto takes the GPU if there is one and logs which; cuda never falls back."""
    max_memory: Annotated[str | None, AfterValidator(_a_size)] = None
    """Most memory to take, such as 9GB. Default: 9GB of a GPU, or without one what is free."""
    reference: bool = False
    """Answer one question at a time with the libraries' own code, sharing nothing: slow, to compare with."""
    verify: Verify = "full"
    """full hashes every file of the checkpoint; quick only those changed since this user's last quick run."""


class AnswerSettings(_Settings):
    """How questions are answered."""

    routing: Routing = "router"
    """Choose adapters by question text, by the records' TaskType, always the generalist, or none at all."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least router confidence for a task's own adapter. Default: the checkpoint's."""
    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    """Most prompt tokens per forward. Default: as many as memory has room for."""
    constrain: bool = True
    """Constrain decoding to the answers that a question allows; otherwise free text is parsed and repaired."""
    thinking: Annotated[str | None, AfterValidator(_a_thinking)] = None
    """Let the model think first: on, off, or at most N tokens. Default: as the adapter's route says."""


def _check_shard(text: str | None) -> str | None:
    return None if text is None else str(Shard.parse(text))


class RunSettings(AnswerSettings):
    """A run over an input folder."""

    input: Annotated[Path, Field(json_schema_extra=_KEEPS_ANSWERS)]
    """Folder that holds the question files."""
    output: Annotated[Path, Field(json_schema_extra=_KEEPS_ANSWERS)]
    """Folder that receives predictions.json."""
    explanations: Annotated[Path | None, Field(json_schema_extra=_KEEPS_ANSWERS)] = None
    """Write how each answer came about, as JSON lines."""
    limit: Annotated[int | None, Field(ge=1, json_schema_extra=_KEEPS_ANSWERS)] = None
    """Answer only the first N questions; the output is partial."""
    # Cannot change an answer, but a shard has a journal of its own.
    shard: Annotated[str | None, AfterValidator(_check_shard)] = None
    """Answer only part I of N of the questions, all of a picture together; `mevlip predictions merge` joins them."""
    run_report: Annotated[Path | None, Field(json_schema_extra=_KEEPS_ANSWERS)] = None
    """Write versions, settings, checksums, counters, reasons, timings and peak memory of the run, as JSON."""
    time_limit: Annotated[float | None, Field(gt=0, json_schema_extra=_KEEPS_ANSWERS)] = None
    """Seconds: once they are nearly over, questions left get fallback answers and the run ends with status 4."""
    max_failures: Annotated[str, Field(pattern="^[0-9]+%?$", json_schema_extra=_KEEPS_ANSWERS)] = "5%"
    """Exit 4 if the model fails on more questions than this number or share. Unreadable images are not counted."""

    @property
    def identity(self) -> dict[str, Any]:
        """The settings on which answers depend: all that are not marked otherwise."""
        kept = {name for name, field in type(self).model_fields.items() if field.json_schema_extra == _KEEPS_ANSWERS}
        return self.model_dump(mode="json", exclude=kept)

    def allowed_failures(self, questions: int) -> int:
        """Number of failures among that many questions that `max_failures` allows.

        A failure is a question that the model was asked and that got a fallback answer; see `RunReport.failures`.
        """
        if self.max_failures.endswith("%"):
            return questions * int(self.max_failures[:-1]) // 100
        return int(self.max_failures)
