"""How the public evaluators read an Answer: four conventions, written from their rules, none from their code.

They read the same text differently; `docs/answers.md` lists where. A reader returns None where its evaluator finds
nothing it can use; what that costs is a matter of its metric, not of reading.
"""

from __future__ import annotations

from mevlip_validation.scoring.conventions.base import Convention
from mevlip_validation.scoring.conventions.flare26 import FLARE26
from mevlip_validation.scoring.conventions.paligemma import PALIGEMMA
from mevlip_validation.scoring.conventions.qwen3 import QWEN3
from mevlip_validation.scoring.conventions.qwen25 import QWEN25

__all__ = ["CONVENTIONS", "Convention"]

CONVENTIONS: dict[str, Convention] = {one.name: one for one in (QWEN25, QWEN3, PALIGEMMA, FLARE26)}
"""By name."""
