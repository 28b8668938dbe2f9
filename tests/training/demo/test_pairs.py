from __future__ import annotations

from collections import Counter

from mevlip.tasks import TASKS
from mevlip_training.demo.pairs import held_out_pairs, training_pairs
from mevlip_training.router_data import question_stem


def test_pairs_are_seeded_and_show_every_task_alike_often() -> None:
    pairs = training_pairs(700, seed=3)
    assert pairs == training_pairs(700, seed=3)
    assert pairs != training_pairs(700, seed=4)
    assert Counter(task for _, task in pairs) == dict.fromkeys(TASKS, 100)


def test_no_slot_is_left_open() -> None:
    texts = [text for text, _ in training_pairs(5000, seed=1)]
    assert not [text for text in texts if "{" in text.replace('{"', "")]
    assert len(set(texts)) > 4000


def test_held_out_wordings_are_not_trained_on() -> None:
    trained = {question_stem(text) for text, _ in training_pairs(5000, seed=1)}
    assert not trained & {question_stem(text) for text, _ in held_out_pairs()}
