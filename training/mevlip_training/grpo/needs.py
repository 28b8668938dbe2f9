"""What a GRPO run takes of a GPU's memory and of time, by arithmetic; nothing is loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mevlip.checkpoints.adapter_config import CONFIG_NAME
from mevlip.core.errors import CheckpointError
from mevlip_training.grpo.plan import GrpoRun
from mevlip_training.lengths import find_meter
from mevlip_training.memory import (
    BESIDE,
    Sampling,
    optimizer_bytes,
    read_shape,
    sampling_memory,
    sampling_operations,
)  # fmt: skip

HEADER = (
    "adapter", "rows", "questions a generation", "completions", "steps", "longest prompt", "longest answer", "GPU GB",
    "hours", "finished",
)  # fmt: skip
RATE = 1e14
"""Operations a second: a third of what an A100 can do in half precision."""
NOTE = (
    f"GPU GB: arithmetic, not measured; what torch reserves at most, beside {BESIDE / 1e9} of the driver's\n"
    f"hours: arithmetic, not measured; at {RATE / 1e12:.0f} TFLOP/s, which sampling token by token does not reach"
)


def need_row(run: GrpoRun) -> Sequence[Any]:
    """A row of `HEADER`.

    Raises:
        CheckpointError: The base has no tokenizer, or is not a model.
    """
    one, shape = _sampling(run), read_shape(run.base)
    memory = f"{sampling_memory(shape, one) / 1e9:.1f}" if run.settings.gradient_checkpointing else "-"
    hours = run.generations * sampling_operations(shape, one) / RATE / 3600
    return (
        run.adapter, len(run.questions), run.settings.questions, one.completions, run.steps, one.prompt, one.answer,
        memory, f"{hours:.2g}", "yes" if run.finished else "no",
    )  # fmt: skip


def _sampling(run: GrpoRun) -> Sampling:
    meter = find_meter(run.base)
    if meter is None:
        raise CheckpointError(f"{run.base} has no tokenizer or image processor", "Fetch the base again.")
    settings = run.settings
    return Sampling(
        completions=settings.completions,
        batch=settings.per_device_train_batch_size,
        prompt=max(meter.prompt(one.prompt, run.route.images) for one in run.questions),
        answer=run.cap,
        rank=int(json.loads((run.start / CONFIG_NAME).read_bytes())["r"]),
        optimizer=optimizer_bytes({"optim": settings.optim}),
        quantization=run.route.quantization,
        has_start=settings.beta > 0,
        is_stale=settings.gradient_accumulation_steps % settings.steps_per_generation > 0,
    )
