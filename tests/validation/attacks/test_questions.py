from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mevlip_validation.ablation import read_folders
from mevlip_validation.attacks.questions import pair, sample
from tests.conftest import EXAMPLES


def test_questions_are_paired_with_their_own_truths(write_questions: Callable[..., Path]) -> None:
    record = {"TaskType": "Counting", "ImageName": "a.png", "Question": "How many?", "Answer": "3"}
    root = write_questions([record, {**record, "Answer": ""}, {**record, "TaskType": "?"}, {**record, "Answer": "5"}])
    found = pair(*read_folders(root, root, Path("build")))
    assert [(position, truth.record["Answer"]) for position, truth in found] == [(0, "3"), (3, "5")]


def test_a_sample_has_as_many_questions_of_each_task_as_there_are() -> None:
    pairs = list(pair(*read_folders(EXAMPLES, EXAMPLES, Path("build"))))
    assert len(pairs) == 54 and sample(pairs, None, 0) == pairs
    few = sample(pairs, 4, seed=1)
    counts = Counter(truth.record["TaskType"].lower().replace("_", " ") for _, truth in few)
    assert len(few) == 4 * 4 + 3 * 3 and counts["classification"] == 4 and counts["cell counting"] == 3
    assert [position for position, _ in few] == sorted(position for position, _ in few)
    assert few == sample(pairs, 4, seed=1) != sample(pairs, 4, seed=2)
