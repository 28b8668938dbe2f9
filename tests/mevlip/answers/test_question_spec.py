"""What is read from a question."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.answers import QuestionSpec
from mevlip.tasks import TaskType, parse_task_type
from mevlip_training.demo.wordings import DATASETS
from tests.conftest import FLARE_DATA, needs_flare_data

names = st.lists(
    st.text("abcdefghij -", min_size=2, max_size=12)
    .map(lambda text: " ".join(text.split()).strip("- "))
    .filter(lambda text: len(text) > 1),
    min_size=2, max_size=14, unique=True,
)  # fmt: skip


@pytest.mark.parametrize(
    "style", ["A: {}, B: {}, C: {}", "A) {} B) {} C) {}", "A. {}, B. {}, C. {}", "A: {}\nB: {}\nC: {}"]
)
def test_lettered_options_are_found_in_every_style(style: str) -> None:
    names = ("Class I (free-end)", "Stage 2, mild", "None: normal")
    assert QuestionSpec("Which? " + style.format(*names)).options == dict(zip("ABC", names, strict=True))


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_options_of_every_synthetic_data_set_are_found(dataset: Any) -> None:
    spec = QuestionSpec(dataset.question(dataset.wordings[0], dataset.targets[0]))
    if dataset.style in ("A:", "A)", "A."):
        assert tuple(spec.options.values()) == dataset.options
    elif dataset.style == "text":
        assert spec.labels == dataset.options
        assert dataset.task is not TaskType.MULTI_LABEL or spec.separator == dataset.separator


@given(
    names,
    st.sampled_from(["{}: {}", "{}) {}", "{}. {}", "({}) {}", "{} : {}"]),
    st.sampled_from([", ", " ", "; ", "\n"]),
)
def test_options_up_to_n_are_found_in_any_layout(texts: list[str], mark: str, between: str) -> None:
    letters = [chr(ord("A") + index) for index in range(len(texts))]
    listed = between.join(mark.format(letter, text) for letter, text in zip(letters, texts, strict=True))
    assert QuestionSpec(f"Which of these is it? {listed}").options == dict(zip(letters, texts, strict=True))


@pytest.mark.parametrize(
    ("question", "options"),
    [
        ("Choose one.\n1. red\n2. green", {"1": "red", "2": "green"}),
        ("Choose one: a) red b) green", {"a": "red", "b": "green"}),
        ("View A: a plain film. Which is it? A: red, B: green", {"A": "red", "B": "green"}),
        ("Is it hepatitis B? A. yes B. no", {"A": "yes", "B": "no"}),
        ("Which grade? A: 1.5 to 2, B: 2.5 to 3", {"A": "1.5 to 2", "B": "2.5 to 3"}),
        ("Which dose, 1.5 or 2.5?", {}),
        ("Only one: A: red", {}),
    ],
)
def test_marks_are_told_from_other_letters_and_numbers(question: str, options: dict[str, str]) -> None:
    assert QuestionSpec(question).options == options


@pytest.mark.parametrize(
    ("question", "labels"),
    [
        ("What is seen? Choose from: Mass, Specks, Both.", ("Mass", "Specks", "Both")),
        ("What is seen: mass, specks, or both?", ("mass", "specks", "both")),
        ("What is seen (mass/specks/both)?", ("mass", "specks", "both")),
        ("Which kind, [Soft, Hard]?", ("Soft", "Hard")),
        ("Name all: Gap; Filling, crown, and repair; Root.", ("Gap", "Filling, crown, and repair", "Root")),
        ("Is the lump soft or hard?", ("soft", "hard")),
        ("Which is it, soft or hard?", ("soft", "hard")),
        ("Is there a lump or a shadow?", ("Yes", "No")),
        ("Is there a fracture?", ("Yes", "No")),
        ("Can you name the stage or grade?", ()),
        ("What is the stage or grade?", ()),
        ("Name the finding (e.g., mass, specks).", ()),
        ("Question: Does the film show a shadow?", ("Yes", "No")),
        ("Question: What is seen here, and where?", ()),
        ("What is seen here?", ()),
        ("Where is the lump? Answer with [x_min, y_min, x_max, y_max].", ()),
    ],
)
def test_options_without_letters(question: str, labels: tuple[str, ...]) -> None:
    assert QuestionSpec(question).labels == labels


def test_shape_unit_and_number_of_answers() -> None:
    assert QuestionSpec("Give the box [x_min, y_min, x_max, y_max] of the head.").shape == "list"
    assert QuestionSpec('Give all as {"1": [[x_min, y_min, x_max, y_max]], ...}').shape == "object"
    assert QuestionSpec("A JSON object where keys are numbers and values are arrays of coordinates").shape == "object"
    assert QuestionSpec("How many cells?").shape == ""
    assert [QuestionSpec(q).unit for q in ("What percentage?", "How many degrees?", "Length in mm?", "How many?")] == [
        "%", "°", "mm", ""
    ]  # fmt: skip
    assert QuestionSpec("Select all that apply: x; y").several
    assert not QuestionSpec("Which is it? A: x, B: y").several


@given(st.text())
def test_any_text_has_a_form(question: str) -> None:
    spec = QuestionSpec(question)
    for text in (*spec.options, *spec.options.values(), *spec.labels):
        assert text
        assert "\n" not in text
    assert spec.separator in ("; ", ", ")
    assert spec.shape in ("list", "object", "")
    assert isinstance(spec.unit, str)
    assert isinstance(spec.several, bool)


def _real_questions() -> list[tuple[str, dict[str, Any]]]:
    rows = [(row["dataset"], row) for row in map(json.loads, (FLARE_DATA / "questions_with_answers.jsonl").open())]
    for path in sorted((FLARE_DATA / "flare_inputs").rglob("*_questions_*.json")):
        rows += [(path.parent.name, row) for row in json.loads(path.read_bytes())]
    return rows


# Looked at by eye for each data set: options, labels (closed questions only), several, separator, shape, unit.
EXPECTED = {
    ("neurips22cell", "counting"): {(0, 0, False, ", ", "", ""): 1000},
    ("bone_marrow", "classification"): {(11, 11, False, ", ", "", ""): 832},
    ("BUSI", "classification"): {(3, 3, False, ", ", "", ""): 624},
    ("BUSI-det", "detection"): {(0, 0, False, ", ", "list", ""): 517},
    ("chromosome", "instance_detection"): {(0, 0, False, ", ", "object", ""): 176},
    ("iugc", "classification"): {(2, 2, False, ", ", "", ""): 120},
    ("iugc", "detection"): {(0, 0, False, ", ", "list", ""): 80},
    ("periapical", "multi_label_classification"): {(0, 7, True, "; ", "", ""): 477},
}


@needs_flare_data
def test_forms_of_the_challenges_own_questions() -> None:
    found: dict[tuple[str, str], Counter[tuple[int, int, bool, str, str, str]]] = {}
    for dataset, row in _real_questions():
        task = parse_task_type(row["TaskType"])
        assert task is not None
        spec = QuestionSpec(row["Question"])
        facts = (len(spec.options), len(spec.labels), spec.several, spec.separator, spec.shape, spec.unit)
        found.setdefault((dataset, task.value), Counter())[facts] += 1
    assert found == EXPECTED


@needs_flare_data
def test_options_of_the_challenges_own_questions_are_exact() -> None:
    for dataset, row in _real_questions():
        spec = QuestionSpec(row["Question"])
        # Put together again in the question's own style, what was extracted is its end.
        for mark in (": ", ") ", ". "):
            for between in (" ", ", "):
                listed = between.join(f"{letter}{mark}{text}" for letter, text in spec.options.items())
                if spec.options and spec.line.endswith(listed):
                    break
            else:
                continue
            break
        else:
            listed = "; ".join(spec.labels)
            assert spec.line.rstrip(".").endswith(listed), dataset


@needs_flare_data
def test_every_real_answer_is_one_that_its_question_allows() -> None:
    for _, row in _real_questions():
        spec, task = QuestionSpec(row["Question"]), parse_task_type(row["TaskType"])
        if row["Answer"] and task is TaskType.CLASSIFICATION:
            assert row["Answer"] in spec.options
