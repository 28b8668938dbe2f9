"""Questions as a router is trained on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from mevlip.core.errors import InputError
from mevlip.flare.questions import read_input_folder
from mevlip.tasks import TASKS, TaskType
from mevlip_training.off_topic import OFF_TOPIC_SHARE, held_out_off_topic, off_topic_for, training_off_topic
from mevlip_training.router_data import Pair, balanced_batches, distinct_pairs, question_stem, split_by_wording
from tests.conftest import record

STARTS = ("Which", "Say which", "Tell me, which", "In your view, which", "Now, which", "Please say which")
WORDINGS: list[Pair] = [(f"{start} {task.title} is it", task.type) for task in TASKS.values() for start in STARTS]


def test_each_distinct_question_counts_once(write_questions: Callable[..., Path]) -> None:
    folder = write_questions(
        [
            record("How  many cells?", TaskType="counting"),
            record("How many cells?", TaskType="Cell Counting"),
            record("How many cells?", TaskType="regression"),
            record("What is it?", TaskType="classification"),
            record("Where is it?", TaskType=""),
            record("", TaskType="counting"),
        ]
    )
    found = distinct_pairs(read_input_folder(folder).questions)
    assert found.pairs == (("How many cells?", TaskType.COUNTING), ("What is it?", TaskType.CLASSIFICATION))
    assert (found.records, found.unknown, found.conflicting) == (6, 2, 1)


def test_questions_without_a_known_task_are_refused(write_questions: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="None of 1 question records declares"):
        distinct_pairs(read_input_folder(write_questions([record(TaskType="?")])).questions)


@pytest.mark.parametrize(
    "variant",
    [
        "Which stage is tooth 36 in? A: First, B: Second",
        "Question: Which stage is tooth 4 in? Options: A) One B) Two C) Three",
        "which stage is tooth 36 in A. First; B. Second",
        "Which stage, is tooth 4.5 in? (A) One (B) Two",
        "Which stage is tooth 11 in: early; late.",
    ],
)
def test_a_stem_leaves_out_what_varies(variant: str) -> None:
    assert question_stem(variant).removesuffix(" options") == "which stage is tooth 0 in"


def test_whole_wordings_are_held_out_of_every_task() -> None:
    pairs = [(f"{text} {number}?", task) for text, task in WORDINGS for number in range(3)]
    split = split_by_wording(pairs, share=0.34, seed=0)
    assert sorted(map(str, (*split.training, *split.held_out))) == sorted(map(str, pairs))
    stems = [{question_stem(text) for text, _ in part} for part in (split.training, split.held_out)]
    assert not stems[0] & stems[1]
    for task in TASKS:
        counts = [
            len({question_stem(t) for t, one in part if one == task}) for part in (split.training, split.held_out)
        ]
        assert counts[1] >= 1
        assert counts[0] >= counts[1]
    assert split == split_by_wording(pairs, share=0.34, seed=0)
    assert split != split_by_wording(pairs, share=0.34, seed=1)


def test_a_tasks_only_wording_is_trained_on() -> None:
    split = split_by_wording([("Tooth 1?", TaskType.COUNTING), ("Tooth 2?", TaskType.COUNTING)])
    assert not split.held_out


def test_every_task_comes_up_equally_often_however_few_its_questions() -> None:
    pairs: list[Pair] = [(f"{task} {i}", task) for n, task in enumerate(TASKS) for i in range(1 + 40 * n)]
    pairs += [(f"off {i}", None) for i in range(500)]
    batches = list(balanced_batches(pairs, 105, 8, Random(0)))
    assert [len(batch) for batch in batches] == [8] * 105
    drawn = [pair for batch in batches for pair in batch]
    counts = Counter(task for _, task in drawn)
    assert counts == {**dict.fromkeys(TASKS, 100), None: 140}
    assert counts[None] / len(drawn) == OFF_TOPIC_SHARE
    times = Counter(drawn)
    for task in TASKS:
        own = [times[pair] for pair in pairs if pair[1] is task]
        assert max(own) - min(own) <= 1, "none of a task's questions is forgotten"
    assert (
        batches == list(balanced_batches(pairs, 105, 8, Random(0))) != list(balanced_batches(pairs, 105, 8, Random(1)))
    )


def test_questions_of_two_tasks_are_balanced_without_off_topic_texts() -> None:
    pairs: list[Pair] = [(str(i), TaskType.COUNTING if i else TaskType.REPORT) for i in range(50)]
    counts = Counter(task for batch in balanced_batches(pairs, 10, 5, Random(0)) for _, task in batch)
    assert counts == {TaskType.COUNTING: 25, TaskType.REPORT: 25}


def test_off_topic_texts_are_seeded_and_held_out_ones_are_others() -> None:
    drawn = training_off_topic(6000, seed=0)
    assert drawn == training_off_topic(6000, seed=0) != training_off_topic(6000, seed=1)
    assert len(set(drawn)) > 3000
    held_out = held_out_off_topic()
    assert len(set(held_out)) == len(held_out) >= 60
    assert not {question_stem(text) for text in held_out if question_stem(text)} & set(map(question_stem, drawn))
    assert len(off_topic_for(700, 0)) / (700 + len(off_topic_for(700, 0))) == OFF_TOPIC_SHARE
    assert not any("{" in text.replace("{ sum", "") for text in (*drawn, *held_out))
