"""Reading what models really write: what is meant is taken, what may mean two things is not."""

from __future__ import annotations

import pytest

from mevlip.answers import QuestionSpec
from mevlip.reading import read_answer
from mevlip.tasks import TASKS, TaskType

LESION = QuestionSpec(
    "Which is it? A) Soft lump present B) Hard lump present C) No lump, only plain tissue", (200, 100)
)
WORDS = QuestionSpec("Which is it? Options: Luminal a, Luminal b, Triple.", (200, 100))
FINDINGS = QuestionSpec("Choose all that apply, with semicolons: Decay Spot; Root Shadow; Filling, Crown, and Repair.")
COMMAS = QuestionSpec("List all that apply from: Wide heart, Fluid line, Old crack.")
LETTERED = QuestionSpec("Select all that apply. A: Decay, B: Gap, C: Crown")
CELLS = QuestionSpec("How many cells are there?")
PERCENT = QuestionSpec("What percentage is lost?", None, "pixel", (0.0, 100.0))
THOUSANDTHS = QuestionSpec("Where is it? [x_min, y_min, x_max, y_max]", (1000, 500), "norm1000")
PIXELS = QuestionSpec("Where is it? [x_min, y_min, x_max, y_max]", (1000, 500))

CLS, MULTI, DET = TaskType.CLASSIFICATION, TaskType.MULTI_LABEL, TaskType.DETECTION
INST, COUNT, REG, REPORT = TaskType.INSTANCE_DETECTION, TaskType.COUNTING, TaskType.REGRESSION, TaskType.REPORT


@pytest.mark.parametrize(
    ("task", "spec", "text", "answer"),
    [
        # letters
        (CLS, LESION, "B.", "B"),
        (CLS, LESION, "b", "B"),
        (CLS, LESION, "(B)", "B"),
        (CLS, LESION, "B) Hard lump present", "B"),
        (CLS, LESION, "B: Hard lump present.", "B"),
        (CLS, LESION, "B\nBecause of its border.", "B"),
        (CLS, LESION, "Answer: B", "B"),
        (CLS, LESION, "The answer is B.", "B"),
        (CLS, LESION, "I would choose option B here", "B"),
        (CLS, LESION, "**B**", "B"),
        (CLS, LESION, r"$\boxed{B}$", "B"),
        (CLS, LESION, "<think>A? No, C.</think>\nB", "B"),
        (CLS, LESION, "A? No, C.</think>\nB", "B"),
        (CLS, LESION, "<answer>B</answer>", "B"),
        (CLS, LESION, "```\nB\n```", "B"),
        (CLS, LESION, "<|im_start|>B<|im_end|>", "B"),
        (CLS, LESION, "B, C", "B"),
        # options in words
        (CLS, LESION, "hard lump present", "B"),
        (CLS, LESION, "A hard lump", "B"),
        (CLS, LESION, "Hard lump presnt", "B"),
        (CLS, LESION, "No lump", "C"),
        (CLS, LESION, "The picture shows a hard lump present near the top.", "B"),
        (CLS, WORDS, "luminal B", "Luminal b"),
        (CLS, WORDS, "Triple.", "Triple"),
        # labels
        (MULTI, FINDINGS, "decay spot", "Decay Spot"),
        (MULTI, FINDINGS, "Decay Spot.", "Decay Spot"),
        (MULTI, FINDINGS, "Root Shadow, Decay Spot", "Decay Spot; Root Shadow"),
        (MULTI, FINDINGS, "Root Shadow\nDecay Spot", "Decay Spot; Root Shadow"),
        (MULTI, FINDINGS, "1. Root Shadow\n2. Root shadow", "Root Shadow"),
        (MULTI, FINDINGS, '["Root Shadow", "Decay Spot"]', "Decay Spot; Root Shadow"),
        (MULTI, FINDINGS, "Filling, crown, and repair", "Filling, Crown, and Repair"),
        (MULTI, FINDINGS, "Decay spot, filling, crown, and repair", "Decay Spot; Filling, Crown, and Repair"),
        (MULTI, FINDINGS, "I see a decay spot but no root shadow.", "Decay Spot"),
        (MULTI, FINDINGS, "Decay Spots; Something Else", "Decay Spot"),
        (MULTI, COMMAS, "old crack; wide heart", "Wide heart, Old crack"),
        (MULTI, LETTERED, "A, C", "Decay, Crown"),
        # numbers
        (COUNT, CELLS, "12 cells", "12"),
        (COUNT, CELLS, "There are about 1,234 of them", "1234"),
        (COUNT, CELLS, "1 234", "1234"),
        (COUNT, CELLS, "1e3", "1000"),
        (COUNT, CELLS, "12.0", "12"),
        (COUNT, CELLS, "012", "12"),
        (COUNT, CELLS, "twenty-three", "23"),
        (COUNT, CELLS, "None are seen", "0"),
        (COUNT, CELLS, "between 10 and 20", "15"),
        (COUNT, CELLS, "In 3 groups there are 12 cells", "12"),
        (REG, PERCENT, "25.5%", "25.5"),
        (REG, PERCENT, "ABR = 25.5 %", "25.5"),
        (REG, PERCENT, "25,5", "25.5"),
        (REG, PERCENT, "2.55e1", "25.5"),
        (REG, PERCENT, "2.55 \u00d7 10^1", "25.5"),
        (REG, PERCENT, "3 teeth, 25.5 percent", "25.5"),
        (REG, PERCENT, "20-31%", "25.5"),
        (REG, PERCENT, "250", "100.0"),
        (REG, PERCENT, "\u22123", "0.0"),
        # boxes
        (DET, PIXELS, "[1, 2, 30, 40]", "[[1, 2, 30, 40]]"),
        (DET, PIXELS, "[1, 2, 30, 40]; [5, 6, 70, 80]", "[[1, 2, 30, 40], [5, 6, 70, 80]]"),
        (DET, PIXELS, "[[30, 40, 1, 2]]", "[[1, 2, 30, 40]]"),
        (DET, PIXELS, "[[1, 2, 30, 40], [1, 2, 30, 40], [9, 9, 9, 9]]", "[[1, 2, 30, 40]]"),
        (DET, PIXELS, '{"x_min": 1, "y_min": 2, "x_max": 30, "y_max": 40}', "[[1, 2, 30, 40]]"),
        (DET, PIXELS, '[{"bbox_2d": [1, 2, 30, 40], "label": "lump"}]', "[[1, 2, 30, 40]]"),
        (DET, PIXELS, "[['1', '2', '30', '40']]", "[[1, 2, 30, 40]]"),
        (DET, PIXELS, "(1,2),(30,40)", "[[1, 2, 30, 40]]"),
        (DET, PIXELS, "The box is (1, 2, 30, 40).", "[[1, 2, 30, 40]]"),
        (DET, PIXELS, "```json\n[[1, 2, 30, 40]]\n```", "[[1, 2, 30, 40]]"),
        (DET, PIXELS, "[[1, 2, 30, 40], [5, 6, 7", "[[1, 2, 30, 40]]"),
        (DET, THOUSANDTHS, "[1, 2, 300, 400]", "[[1, 1, 300, 200]]"),
        (INST, PIXELS, "{1: [[1, 2, 30, 40]]}", '{"1": [[1, 2, 30, 40]]}'),
        (INST, PIXELS, '{"1": [1, 2, 30, 40]}', '{"1": [[1, 2, 30, 40]]}'),
        (INST, PIXELS, '{"chromosomes": {"X": [[1, 2, 30, 40]]}}', '{"X": [[1, 2, 30, 40]]}'),
        (INST, PIXELS, '[{"id": 7, "bbox": [1, 2, 30, 40]}]', '{"7": [[1, 2, 30, 40]]}'),
        (INST, PIXELS, '{"1": [[1, 2, 30, 40], [5, 6, 70, 80], [9, 9', '{"1": [[1, 2, 30, 40], [5, 6, 70, 80]]}'),
        (INST, PIXELS, '{"1": [[1, 2, 30, 40]], "1": [[5, 6, 70, 80]]}', '{"1": [[1, 2, 30, 40], [5, 6, 70, 80]]}'),
        # reports
        (REPORT, CELLS, "Report: All clear.\nNo fluid.", "All clear. No fluid."),
        (REPORT, CELLS, "<think>hm</think>All clear.", "All clear."),
    ],
)  # fmt: skip
def test_what_is_meant_is_taken(task: TaskType, spec: QuestionSpec, text: str, answer: str) -> None:
    outcome = read_answer(task, text, spec)
    assert (outcome.text, outcome.stage) == (answer, "tolerant")
    assert outcome.reason


@pytest.mark.parametrize(
    ("task", "spec", "text"),
    [
        (CLS, LESION, ""),
        (CLS, LESION, "lump present"),
        (CLS, LESION, "A soft lump present or a hard lump present"),
        (CLS, LESION, "D"),
        (CLS, LESION, "Error: no valid images"),
        (CLS, LESION, "not a hard lump present"),
        (CLS, WORDS, "Luminal"),
        (MULTI, FINDINGS, "nothing of the kind"),
        (COUNT, CELLS, "many"),
        (COUNT, CELLS, "2.47e253"),
        (COUNT, CELLS, "9" * 400),
        (COUNT, CELLS, "-3"),
        (REG, PERCENT, "nan"),
        (DET, PIXELS, "[[5, 5, 5, 9]]"),
        (DET, PIXELS, "[[1500, 5, 1600, 9]]"),
        (INST, PIXELS, "[[1, 2, 30, 40]]"),
        (REPORT, CELLS, "<think>only a thought"),
    ],
)
def test_what_means_nothing_or_two_things_becomes_the_fallback(task: TaskType, spec: QuestionSpec, text: str) -> None:
    outcome = read_answer(task, text, spec)
    assert outcome.stage == "fallback"
    assert outcome.text == read_answer(task, "", spec).text


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"7": {"x_min": 1, "y_min": 2, "x_max": 30, "y_max": 40', '{"7": [[1, 2, 30, 40]]}'),
        ('{"7": {"left": 1 "top": 2 "right": 30 "bottom": 40}}', '{"7": [[1, 2, 30, 40]]}'),
    ],
)
def test_boxes_without_four_numbers_together_are_mended(text: str, answer: str) -> None:
    outcome = read_answer(INST, text, PIXELS)
    assert (outcome.stage, outcome.text) == ("repaired", answer)


def test_a_missing_comma_costs_no_whole_box() -> None:
    outcome = read_answer(INST, '{"1": [[1, 2, 30, 40]] "2": [[5, 6, 70 80]]', PIXELS)
    assert outcome.text.startswith('{"1": [[1, 2, 30, 40]]')


def test_a_python_set_of_lists_is_no_crash() -> None:
    # One of a million mutilated texts raised a TypeError: a list cannot be an element of a set.
    assert read_answer(INST, "{ [[1, 2, 30, 40]]}", PIXELS).stage == "fallback"


def test_only_boxes_are_mended() -> None:
    for task in (CLS, MULTI, COUNT, REG, REPORT):
        assert read_answer(task, "{", LESION).stage != "repaired"


def test_a_fallback_never_shows_the_models_text() -> None:
    for task in TASKS:
        outcome = read_answer(task, "Error: secret\x00", THOUSANDTHS)
        assert outcome.stage in ("fallback", "strict", "tolerant")
        assert "secret" not in outcome.reason


def test_reading_prints_nothing_of_the_models_text(recwarn: pytest.WarningsRecorder) -> None:
    read_answer(DET, "[[1, 2, 30, 40] [5, 6, 7, 8]] (1)[2] 'a'[0]", PIXELS)
    assert not recwarn.list


@pytest.mark.parametrize("hidden", ["\u200b", "\u00ad", "\ufeff", "\u202e", "\u2060"])
def test_a_label_is_known_whatever_is_hidden_in_it_or_in_its_question(hidden: str) -> None:
    spec = QuestionSpec(f"Select all that apply: ga{hidden}p; big\u00a0crown; {hidden}lump")
    assert spec.labels == ("gap", "big crown", "lump")
    for said in (f"g{hidden}ap; big crown", "gap; big\u202fcrown", "gap\nBig  Crown"):
        assert read_answer(TaskType.MULTI_LABEL, said, spec).text == "gap; big crown"
    lettered = QuestionSpec(f"Which? A: ga{hidden}p, B: {hidden}lump")
    assert read_answer(TaskType.CLASSIFICATION, f"g{hidden}ap", lettered).text == "A"
