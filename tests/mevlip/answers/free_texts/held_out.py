"""A third of all texts, not looked at while the reader was changed: how well it does on new ones.

They were written before any change to it; which of them it misread was printed only when no further change was made.
"""

from __future__ import annotations

from mevlip.tasks import TaskType
from tests.mevlip.answers.free_texts.case import Case
from tests.mevlip.answers.free_texts.held_out_first import FIRST
from tests.mevlip.answers.free_texts.held_out_second import SECOND

HELD_OUT: dict[TaskType, tuple[Case, ...]] = {task: FIRST[task] + SECOND[task] for task in FIRST}
