from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from mevlip.tasks import TaskType
from mevlip_validation.attacks.output import render, shares, summarize, write_all
from mevlip_validation.attacks.running import AttackedQuestion, Attacks, Plan
from tests.validation.rows import make_row

LOSSES = ((0.5, 1.0, 2.0), (0.5, 0.5, 3.0), (1.0, 0.5, 4.0), (2.0, 3.0, 4.0))
ANSWERS = (("A", "A", "B"), ("A", "A", "B"), ("B", "C", "C"), ("B", "B", "B"))
TRUTHS = "AABB"


def made(*, targeted: bool = False) -> Attacks:
    """Four questions of two classes: four are right, then three, then one."""
    task = TaskType.CLASSIFICATION
    questions = tuple(
        AttackedQuestion(f"f[{n}]", task, "classification", "C", losses, answers)
        for n, (losses, answers) in enumerate(zip(LOSSES, ANSWERS, strict=True))
    )
    rows = tuple(
        tuple(
            replace(make_row(task, answers[at], truth, image=f"{n}.png"), place=f"f[{n}]")
            for n, (answers, truth) in enumerate(zip(ANSWERS, TRUTHS, strict=True))
        )
        for at in range(3)
    )
    return Attacks(Plan(epsilons=(2, 4), targeted=targeted), questions, rows, ("f[9]: no image could be used",), {})


def test_scores_losses_and_changes_are_those_computed_by_hand() -> None:
    clean, weak, strong = summarize(made())
    assert [one.loss.value for one in (clean, weak, strong)] == [1.0, 1.25, 3.25]
    assert [one.score.value for one in (clean, weak, strong)] == [1.0, 0.75, 0.25]
    assert (weak.gain.value, strong.gain.value) == (-0.25, -0.75)
    assert strong.gain.low < -0.75 < strong.gain.high and strong.gain.high < weak.gain.high
    assert (clean.gain.low, clean.gain.high) == (0, 0) and clean.target is None


def test_losses_that_turn_back_are_counted() -> None:
    assert shares(made()) == (0.75, 0.5)
    falling = made(targeted=True)
    assert shares(falling) == (0.0, 0.0)
    assert [one.target for one in summarize(falling)] == [0.0, 0.25, 0.25]


def test_the_table_names_what_was_not_attacked_and_how_often_the_target_was_said() -> None:
    attacks = made()
    text = render(attacks, summarize(attacks))
    assert "never falls on 75.0% of 4 questions, and always rises on 50.0%" in text
    assert "not attacked: f[9]: no image could be used" in text and "target answered" not in text
    aimed = made(targeted=True)
    assert "target answered" in render(aimed, summarize(aimed)) and "never rises" in render(aimed, summarize(aimed))


def test_files_hold_every_question_at_every_strength_and_are_the_same_twice(tmp_path: Path) -> None:
    attacks = made()
    for name in ("one", "two"):
        write_all(attacks, summarize(attacks), {"checkpoint": "abc"}, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    rows = list(csv.DictReader((tmp_path / "one/questions.csv").open()))
    assert [(row["epsilon"], row["loss"], row["answer"]) for row in rows[6:9]] == [
        ("0", "1", "B"), ("2", "0.5", "C"), ("4", "4", "C"),
    ]  # fmt: skip
    content = json.loads((tmp_path / "one/attack.json").read_text())
    assert content["checkpoint"] == "abc" and content["loss_never_turns_back"] == 0.75
    assert content["points"][2]["gain"]["value"] == pytest.approx(-0.75)
    assert "balanced accuracy" in (tmp_path / "one/attack.svg").read_text()
