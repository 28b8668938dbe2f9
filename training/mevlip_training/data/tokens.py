"""Token budgets measured with the base's own tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mevlip.core.errors import EnvironmentProblem
from mevlip.inference.encoder import reserved_tokens
from mevlip.inference.families import base_family, find_family
from mevlip.tasks import TASKS, TaskType
from mevlip_training.families import DEFAULT

_ROUND_TO = 8


@dataclass(frozen=True)
class Tokens:
    """What training data needs to know of a tokenizer.

    Attributes:
        reserved: Strings that it turns into special tokens, wherever they stand.
        count: Number of tokens of a text.
        image_gap: What the base's chat template writes after each image.
    """

    reserved: frozenset[str]
    count: Callable[[str], int]
    image_gap: str


def read_tokens(folder: Path) -> Tokens:
    """Reads a tokenizer.

    Args:
        folder: The tokenizer as transformers saves it, such as the base model's folder.

    Raises:
        EnvironmentProblem: There is none in the folder.
        CheckpointError: The folder has InternVL's original layout.
    """
    from transformers import AutoTokenizer

    family = base_family(folder) or find_family(DEFAULT)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"{folder} has no tokenizer ({type(error).__name__})", "Name the base model's folder as --tokenizer."
        ) from error
    return Tokens(
        reserved_tokens(tokenizer),
        lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"]),
        family.image_gap,
    )


def token_budgets(targets: Iterable[tuple[TaskType, str]], tokens: Tokens | None) -> dict[TaskType, int]:
    """Token budget of every task.

    The longest target and its end token, a quarter more for answers longer than any seen, up to a multiple of 8. A task
    without targets, and every task where there is no tokenizer, has the task table's budget.
    """
    budgets = {task.type: task.max_new_tokens for task in TASKS.values()}
    if tokens is None:
        return budgets
    longest: dict[TaskType, int] = {}
    for task, target in targets:
        longest[task] = max(longest.get(task, 0), tokens.count(target) + 1)
    return budgets | {task: -(-length * 5 // (4 * _ROUND_TO)) * _ROUND_TO for task, length in longest.items()}
