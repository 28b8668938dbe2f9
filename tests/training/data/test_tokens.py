from __future__ import annotations

from pathlib import Path

import pytest

from mevlip.core.errors import CheckpointError, EnvironmentProblem
from mevlip.tasks import TASKS, TaskType
from mevlip_training.data.tokens import Tokens, read_tokens, token_budgets
from tests.conftest import DEMO

WORDS = Tokens(frozenset(), lambda text: len(text.split()), "\n")


@pytest.mark.parametrize(("words", "budget"), [(1, 8), (5, 8), (6, 16), (63, 80), (64, 88)])
def test_a_budget_is_the_longest_target_and_a_quarter(words: int, budget: int) -> None:
    budgets = token_budgets([(TaskType.REPORT, "a"), (TaskType.REPORT, "a " * words)], WORDS)
    assert budgets[TaskType.REPORT] == budget
    assert budgets[TaskType.COUNTING] == TASKS[TaskType.COUNTING].max_new_tokens


def test_without_a_tokenizer_the_task_table_decides() -> None:
    assert token_budgets([(TaskType.REPORT, "a " * 999)], None) == {t.type: t.max_new_tokens for t in TASKS.values()}


def test_special_tokens_are_those_that_prediction_reserves() -> None:
    from mevlip.inference.encoder import PromptEncoder

    tokens = read_tokens(DEMO / "base")
    assert tokens.reserved == PromptEncoder("internvl", DEMO / "base").reserved
    assert tokens.count("<|im_end|>") == 1
    assert tokens.count("12") >= 1


def test_a_base_in_internvls_original_layout_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "internvl_chat"}')
    with pytest.raises(CheckpointError, match="mevlip checkpoint convert"):
        read_tokens(tmp_path)


def test_a_folder_without_a_tokenizer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="no tokenizer"):
        read_tokens(tmp_path)
