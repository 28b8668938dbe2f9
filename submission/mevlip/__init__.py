"""The offline predictor of FLARE 2D questions: `Predictor.load("checkpoints/demo").ask(question, images)`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mevlip.checkpoints.routes import Route as Route
    from mevlip.core.errors import MevlipError as MevlipError
    from mevlip.flare.questions import Question as Question
    from mevlip.flare.questions import read_input_folder as read_input_folder
    from mevlip.inference.completion import Completion as Completion
    from mevlip.inference.engine import Answer as Answer
    from mevlip.predictor import Predictor as Predictor
    from mevlip.runs.folder import run as run
    from mevlip.runs.report import RunReport as RunReport
    from mevlip.settings import AnswerSettings as AnswerSettings
    from mevlip.tasks import TASKS as TASKS
    from mevlip.tasks import TaskType as TaskType

_HOMES = {
    "Answer": "inference.engine",
    "AnswerSettings": "settings",
    "Completion": "inference.completion",
    "MevlipError": "core.errors",
    "Predictor": "predictor",
    "Question": "flare.questions",
    "Route": "checkpoints.routes",
    "RunReport": "runs.report",
    "TASKS": "tasks",
    "TaskType": "tasks",
    "read_input_folder": "flare.questions",
    "run": "runs.folder",
}
"""The module of each public name; it is imported when the name is first used."""

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604 - names of a table


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
