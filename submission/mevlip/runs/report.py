"""What a run did, and whether the model failed too often."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mevlip.answers import STAGES
from mevlip.core.errors import TooManyFailures
from mevlip.inference.engine import Answer, Counters
from mevlip.runs.explanations import Explanation
from mevlip.settings import RunSettings


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes:
        predictions: The file written.
        answers: The answer to each question, in output order.
        explanations: How each of them came about.
        resumed: How many answers came from an earlier run's journal.
        counters: Machine-independent cost.
        seconds: Wall time by phase.
    """

    predictions: Path
    answers: tuple[Answer, ...]
    explanations: tuple[Explanation, ...]
    resumed: int
    counters: Counters
    seconds: dict[str, float]

    @property
    def fallbacks(self) -> int:
        """Number of answers that are legal stand-ins."""
        return sum(answer.stage == "fallback" for answer in self.answers)

    @property
    def failures(self) -> tuple[Answer, ...]:
        """Fallbacks of questions that the model was asked: it broke, or said nothing of use."""
        return tuple(answer for answer in self.answers if answer.stage == "fallback" and answer.asked)

    @property
    def reasons(self) -> Counter[str]:
        """How often each reason led to a fallback."""
        return Counter(answer.reason for answer in self.answers if answer.stage == "fallback")

    def by_task(self) -> list[tuple[str | int, ...]]:
        """Rows of task, questions, answered by its own adapter, by the generalist, and by each of `STAGES`."""
        rows: list[tuple[str | int, ...]] = []
        for task in dict.fromkeys(sorted(answer.task for answer in self.answers)):
            mine = [answer for answer in self.answers if answer.task == task]
            own = sum(answer.adapter == task.value for answer in mine)
            stages = Counter(answer.stage for answer in mine)
            rows.append((task.value, len(mine), own, len(mine) - own, *(stages[stage] for stage in STAGES)))
        return rows


def check_failures(report: RunReport, settings: RunSettings) -> None:
    """Raises TooManyFailures where the model failed on more questions than the settings allow; the output stays."""
    failures, total = report.failures, len(report.answers)
    allowed = settings.allowed_failures(total)
    if len(failures) > allowed:
        [(cause, _)] = Counter(answer.reason for answer in failures).most_common(1)
        raise TooManyFailures(
            f"The model failed on {len(failures)} of {total} questions, which have fallback answers; "
            f"--max-failures {settings.max_failures} allows {allowed}; most frequent cause: {cause}",
            f"{report.predictions} is complete and valid; fix the cause and run again, or raise --max-failures.",
        )
