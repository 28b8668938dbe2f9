"""Known answers: the logits with which each adapter answers one fixed prompt, recorded when a checkpoint is assembled.

Fingerprints show that the right files are there; a known answer shows that what was loaded from them computes what it
did then, whatever library, kernel or device computes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, model_validator

from mevlip.checkpoints.records import FrozenModel, Line

PROBE_NAME = "probe.json"
QUESTION = "Describe the image."
"""The question of new records; it is asked without an image, which keeps a pass short."""
TOLERANCE = 0.1
"""How far logits may lie from the recorded ones, in standard deviations of all logits."""
SHARE = 0.04
"""The same as a share of what the adapter changes, where that is more: rounding grows with the adapter's own part.

Measured on the demo and on the thin checkpoint of the true vocabulary, on a CPU, eight adapters each. One and two
threads give the same logits bit for bit. The whole computation in float32 instead of bfloat16, a larger change than
other kernels are, moves them by 0.005 to 0.021 (with two other questions by at most 0.033, but for one adapter: 0.14,
a share of 0.012 of its effect). The base in place of the adapter is 0.19 to 12 away, another adapter 0.25 to 20, twice
the alpha 0.13 to 4.7, use_rslora 0.11 to 4.4, half the alpha 0.09 to 7.

Not measured on a GPU, nor at InternVL3-8B's depth: rounding that grows as the root of the depth would give it 0.06. The
tolerance can be wide: fingerprints find altered files exactly, and refusing a sound checkpoint would cost a run.
"""

Logits = Sequence[float]


class Probe(FrozenModel):
    """Content of probe.json."""

    version: Literal[1] = 1
    question: Annotated[Line, Field(min_length=1)] = QUESTION
    """The question, as the route's prompt is built around it."""
    tokens: Annotated[tuple[int, ...], Field(min_length=1, max_length=10_000)]
    """The encoded prompt."""
    ids: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=256)]
    """The tokens whose logits were recorded: the highest, and some that are the same for every adapter."""
    logits: tuple[FiniteFloat, ...]
    """Their logits as the answer's first token."""
    spread: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Standard deviation of all logits at that place."""
    effect: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Distance of the base's logits, without an adapter, from these."""
    recorded_on: Line
    """Device and torch version."""

    @model_validator(mode="after")
    def _has_a_logit_of_each(self) -> Probe:
        if len(self.ids) != len(self.logits):
            raise ValueError("logits has one number for each of ids")
        return self

    @property
    def tolerance(self) -> float:
        """Greatest distance that passes."""
        return max(TOLERANCE, SHARE * self.effect)

    @property
    def shows_the_adapter(self) -> bool:
        """Whether the base without the adapter would be found out; not so where the adapter changes next to nothing."""
        return self.effect > 1.5 * self.tolerance

    def distance(self, logits: Logits) -> float:
        """Root mean square of the differences, in units of `spread`; not a number where a logit is none."""
        return distance(self.logits, logits, self.spread)


def distance(recorded: Logits, found: Logits, spread: float) -> float:
    """Root mean square of the differences between logits of the same tokens, in units of `spread`."""
    return math.dist(recorded, found) / math.sqrt(len(recorded)) / spread
