from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip.flare.questions import Question, read_input_folder
from mevlip.tasks import TaskType
from mevlip_validation.matching import Row
from mevlip_validation.rewordings import reword, shuffle_options, stability
from tests.conftest import EXAMPLES, FLARE_DATA, call_mevlip, needs_flare_data, record
from tests.validation.rows import make_row

LETTERED = "What is it? A: Cyst, B: Solid lump, C: Gland, D: No finding"


def asked(text: str) -> Question:
    return Question(0, "f.json", 0, record(text), Path())


@pytest.mark.parametrize(
    "text",
    [
        LETTERED,
        "Is it there? A. No B. Yes",
        "Options: A) Benign B) Malignant C) None",
        "Which grade? 1. low, 2. middle, 3. high",
    ],
)
def test_the_letters_stay_and_the_texts_move(text: str) -> None:
    made = shuffle_options(asked(text))
    assert made is not None
    before, after = QuestionSpec(text).options, QuestionSpec(made.question.text).options
    assert list(before) == list(after) and before != after
    assert sorted(before.values()) == sorted(after.values())
    for letter, words in after.items():
        assert before[made.restore(letter)] == words, "the restored letter names the same words"


def test_labels_are_restored_to_their_own_order() -> None:
    made = shuffle_options(asked("All that apply, with semicolons: Caries; Cyst, and more; Crown."))
    assert made is not None
    labels = QuestionSpec(made.question.text).labels
    assert sorted(labels) == ["Caries", "Crown", "Cyst, and more"] and labels != ("Caries", "Cyst, and more", "Crown")
    assert made.restore("; ".join(labels)) == "Caries; Cyst, and more; Crown"
    assert made.restore("nothing of these") == "nothing of these"


@pytest.mark.parametrize("text", ["How many cells?", "Where is it, as [x_min, y_min, x_max, y_max]?", "Is it there?"])
def test_questions_without_a_list_keep_their_words(text: str) -> None:
    assert shuffle_options(asked(text)) is None
    made = reword(asked(text))
    assert made is not None and made.question.text.endswith(text) and made.question.text != text
    assert made.restore("x") == "x"


def test_other_words_keep_the_options() -> None:
    made = reword(asked(LETTERED))
    assert made is not None
    assert "A) Cyst, B) Solid lump" in made.question.text
    assert QuestionSpec(made.question.text).options == QuestionSpec(LETTERED).options
    assert made.question.record | {"Question": LETTERED} == record(LETTERED), "only the question changes"


words = st.text("abcdefg ", min_size=1, max_size=9).map(str.strip).filter(bool)


@given(st.lists(words, min_size=2, max_size=8, unique=True))
def test_any_options_are_another_order_of_themselves(texts: list[str]) -> None:
    text = "Which? " + ", ".join(f"{letter}: {words}" for letter, words in zip("ABCDEFGH", texts, strict=False))
    made = shuffle_options(asked(text))
    if made is not None:
        before, after = QuestionSpec(text).options, QuestionSpec(made.question.text).options
        assert sorted(before.values()) == sorted(after.values())
        assert all(before[made.restore(letter)] == words for letter, words in after.items())


@needs_flare_data
def test_every_lettered_question_of_the_challenge_can_be_shuffled() -> None:
    questions = read_input_folder(FLARE_DATA / "flare_inputs").questions
    lettered = [question for question in questions if QuestionSpec(question.text).options]
    assert len(lettered) > 200
    for question in lettered:
        made = shuffle_options(question)
        assert made is not None, question.where
        before, after = QuestionSpec(question.text).options, QuestionSpec(made.question.text).options
        assert all(before[made.restore(letter)] == words for letter, words in after.items())
    assert all(reword(question) for question in questions)


def test_the_share_of_answers_that_survive() -> None:
    rows = [make_row(TaskType.CLASSIFICATION, letter, "A", image=f"{n}.png") for n, letter in enumerate("ABCA")]
    placed = [_at(row, n) for n, row in enumerate(rows)]
    changed = [_at(make_row(TaskType.CLASSIFICATION, "A", "A", image=f"{n}.png"), n) for n in range(4)]
    [found] = stability("other words", placed, changed[1:], 50)
    assert (found.rewording, found.dataset, found.questions) == ("other words", "one", 3)
    assert found.same.value == pytest.approx(1 / 3)


def _at(row: Row, number: int) -> Row:
    return replace(row, place=f"f[{number}]")


@pytest.mark.usefixtures("loaded_once")
def test_the_command_shows_it_on_request(tmp_path: Path) -> None:
    part = EXAMPLES / "Mammography"
    done = call_mevlip(
        "ablate", part, "--truth", part, "--device", "cpu", "--resamples", 20, "--consistency", "--quiet",
        "--out", tmp_path / "out", "--json", tmp_path / "all.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "options shuffled  breast_views" in done.stdout and "other words       breast_views" in done.stdout
    found = json.loads((tmp_path / "all.json").read_text())["consistency"]
    assert [(one["rewording"], one["questions"]) for one in found] == [("options shuffled", 3), ("other words", 3)]
    assert all(0 <= one["value"] <= 1 for one in found)
