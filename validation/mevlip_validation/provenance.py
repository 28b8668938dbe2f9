"""What a file of scores is about: the truth that was scored, the predictions, and when, by which version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mevlip import __version__
from mevlip_validation.matching import Row


@dataclass(frozen=True)
class Provenance:
    """Where scores come from.

    Attributes:
        truth: Name of the truth's file or folder.
        digest: What identifies the scored questions with their targets, see `truth_digest`.
        questions: Number of scored questions.
        predictions: The predictions file as it was named.
        written: When the scores were computed, UTC, to the second.
        version: Version of the package that computed them.
    """

    truth: str
    digest: str
    questions: int
    predictions: str
    written: str
    version: str

    @classmethod
    def of(cls, predictions: Path, truth: Path, rows: Sequence[Row]) -> Provenance:
        """The provenance of scores that are computed now."""
        written = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(truth.resolve().name, truth_digest(rows), len(rows), str(predictions), written, __version__)

    def as_json(self) -> dict[str, Any]:
        """The part of a file of scores that says what was scored."""
        return {
            "version": self.version,
            "written": self.written,
            "predictions": self.predictions,
            "truth": {"name": self.truth, "digest": self.digest, "questions": self.questions},
        }


def truth_digest(rows: Sequence[Row]) -> str:
    """The sha256 of data set, images, question and target of all rows, whatever their order and their predictions.

    Args:
        rows: The scored rows.

    Returns:
        The digest as `sha256:` and 64 hexadecimal digits. Equal digests mean the same questions with the same answers.
    """
    lines = sorted(json.dumps([row.dataset, row.images, row.question, row.target]) for row in rows)
    digest = hashlib.sha256("\n".join(lines).encode())  # JSON is ASCII, lone surrogates included
    return f"sha256:{digest.hexdigest()}"
