"""What a run did, and whether all questions were asked and the model failed too often."""

from __future__ import annotations

import json
import platform
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mevlip import __version__
from mevlip.answers import STAGES
from mevlip.checkpoints.routes import ROUTE_NAME
from mevlip.core import memory
from mevlip.core.errors import TimeLimitReached, TooManyFailures
from mevlip.core.files import write_text_atomically
from mevlip.inference.engine import Answer, Counters
from mevlip.runs.explanations import Explanation
from mevlip.settings import RunSettings
from mevlip.tasks import TaskType

if TYPE_CHECKING:
    from mevlip.predictor import Predictor

_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "gliclass", "llguidance", "numpy", "pillow")


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes:
        predictions: The file written.
        answers: The answer to each question, in output order.
        explanations: How each of them came about.
        resumed: How many answers came from an earlier run's journal.
        late: How many questions were not asked for want of time.
        counters: Machine-independent cost.
        seconds: Wall time by phase.
    """

    predictions: Path
    answers: tuple[Answer, ...]
    explanations: tuple[Explanation, ...]
    resumed: int
    late: int
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

    @property
    def corrected(self) -> Counter[str]:
        """How often a question's form excluded the task that the router or the record named, by both tasks."""
        return corrections((answer.corrected_from, answer.task) for answer in self.answers)

    def by_task(self) -> list[tuple[str | int, ...]]:
        """Rows of task, questions, answered by its own adapter, by the generalist, and by each of `STAGES`."""
        rows: list[tuple[str | int, ...]] = []
        for task in dict.fromkeys(sorted(answer.task for answer in self.answers)):
            mine = [answer for answer in self.answers if answer.task == task]
            own = sum(answer.adapter == task.value for answer in mine)
            stages = Counter(answer.stage for answer in mine)
            rows.append((task.value, len(mine), own, len(mine) - own, *(stages[stage] for stage in STAGES)))
        return rows


def corrections(tasks: Iterable[tuple[TaskType | None, TaskType]]) -> Counter[str]:
    """How often a task was corrected, as in `detection -> classification`; None stands for one that stood."""
    return Counter(f"{named.value} -> {decided.value}" for named, decided in tasks if named is not None)


def check_failures(report: RunReport, settings: RunSettings) -> None:
    """Raises an error where questions were not asked, or the model failed on more than allowed; the output stays.

    Raises:
        TimeLimitReached: The time limit left no time for some questions.
        TooManyFailures: The model failed on more questions than the settings allow.
    """
    failures, total = report.failures, len(report.answers)
    if report.late:
        raise TimeLimitReached(
            f"The time limit of {settings.time_limit:g} s left no time for {report.late} of {total} questions, "
            "which have fallback answers",
            f"{report.predictions} is complete and valid; the same command asks what is left, the others are kept.",
        )
    allowed = settings.allowed_failures(total)
    if len(failures) > allowed:
        [(cause, _)] = Counter(answer.reason for answer in failures).most_common(1)
        raise TooManyFailures(
            f"The model failed on {len(failures)} of {total} questions, which have fallback answers; "
            f"--max-failures {settings.max_failures} allows {allowed}; most frequent cause: {cause}",
            f"{report.predictions} is complete and valid; fix the cause and run again, or raise --max-failures.",
        )


def write_run_report(
    path: Path, report: RunReport, settings: RunSettings, predictor: Predictor, sources: Mapping[str, str]
) -> None:
    """Writes what `describe_run` gives as JSON.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    content = describe_run(report, settings, predictor, sources)
    remedy = "Name another file for --run-report; the predictions are there."
    write_text_atomically(path, json.dumps(content, indent=1) + "\n", remedy)


def describe_run(
    report: RunReport, settings: RunSettings, predictor: Predictor, sources: Mapping[str, str]
) -> dict[str, Any]:
    """How a run was made and what it cost, without a question or an answer.

    Args:
        report: What the run did.
        settings: What it was asked to do.
        predictor: What answered.
        sources: Where settings come from; one that is not named was given where it was set, else is the default.
    """
    checkpoint = predictor.checkpoint
    given = {
        "checkpoint": str(checkpoint.folder),
        **predictor.settings.model_dump(exclude={"checkpoint"}),
        **settings.model_dump(mode="json"),
    }
    default = {name for name in type(settings).model_fields if name not in settings.model_fields_set}
    return {
        "version": 1,
        "mevlip": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "gpu": _gpu(),
        "settings": {
            name: {"value": value, "source": sources.get(name, "default" if name in default else "given")}
            for name, value in given.items()
        },
        "checkpoint": {
            "name": checkpoint.manifest.name,
            "kind": checkpoint.manifest.kind,
            "manifest_sha256": checkpoint.digest,
            "routes_sha256": {
                name: checkpoint.manifest.files[f"adapters/{name}/{ROUTE_NAME}"].sha256 for name in checkpoint.routes
            },
        },
        "loads": asdict(predictor.loads),
        "questions": len(report.answers),
        "resumed": report.resumed,
        "late": report.late,
        "failures": len(report.failures),
        "tasks": [
            dict(zip(("task", "questions", "own_adapter", "generalist", *STAGES), row, strict=True))
            for row in report.by_task()
        ],
        "corrected_tasks": dict(report.corrected.most_common()),
        "fallback_reasons": dict(report.reasons.most_common()),
        "problems": Counter(_cause(problem) for answer in report.answers for problem in answer.problems),
        "counters": asdict(report.counters),
        "seconds": {phase: round(value, 3) for phase, value in report.seconds.items()},
        "peak_memory_bytes": memory.peak(),
    }


def _cause(problem: str) -> str:
    """A problem without the image's name that it begins with."""
    return problem.rpartition("': ")[2]


def _gpu() -> dict[str, Any] | None:
    """The GPU that was used, its driver, and the most of its memory that this process has held; None without."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    from mevlip.inference.device import driver_version

    peak = torch.cuda.max_memory_reserved()
    return {"name": torch.cuda.get_device_name(), "driver": driver_version(), "peak_memory_bytes": peak}
