from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mevlip.core.errors import InputError
from mevlip.tasks import TaskType
from mevlip_training.data.records import UNKNOWN, read_examples, rows_to_refit, rows_to_train
from tests.training.data.conftest import boxes, row

Flare = Callable[..., Path]


def test_a_row_knows_its_place(flare: Flare) -> None:
    [found] = read_examples(flare(row("B"))).rows
    assert (found.split, found.modality, found.dataset, found.task) == (
        "training", "Xray", "dental", TaskType.CLASSIFICATION,
    )  # fmt: skip
    assert found.id == "dental/dental_questions_train/0"
    assert found.answer == "B"


def test_boxes_may_be_json_values(flare: Flare) -> None:
    assert read_examples(flare(boxes([[1, 2, 3, 4]]))).rows[0].answer == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("training", "training"),
        ("validation_public", "validation-public"),
        ("Validation-Hidden", "validation-hidden"),
        ("testing", "testing"),
        ("elsewhere", "training"),
    ],
)
def test_the_split_is_the_folders_else_the_fields(flare: Flare, folder: str, split: str) -> None:
    assert read_examples(flare(row(), split=folder)).rows[0].split == split


def test_the_split_folder_itself_may_be_named(flare: Flare) -> None:
    root = flare(row(Split="?"), split="validation-public")
    assert read_examples(root / "validation-public").rows[0].split == "validation-public"
    assert read_examples(root / "validation-public" / "Xray").rows[0].split == UNKNOWN


def test_of_nested_split_folders_the_inner_one_counts(flare: Flare) -> None:
    assert read_examples(flare(row(), split="testing/training")).rows[0].split == "training"


def test_modalities_are_spelled_as_the_challenge_does(flare: Flare) -> None:
    root = flare(row(), place="X-ray/a")
    flare(row(), place="Thermography/b")
    assert [(found.modality, found.place.parts[0]) for found in read_examples(root).rows] == [
        ("Thermography", "Thermography"),
        ("Xray", "X-ray"),
    ]


def test_unknown_task_types_are_told_once_per_file_and_left_out(flare: Flare) -> None:
    examples = read_examples(flare(row(), row(TaskType="?"), row(TaskType="?")))
    assert len(examples.rows) == 1
    assert examples.problems == (
        "training/Xray/dental/dental_questions_train.json: 2 records left out, whose TaskType '?' is none of the seven",
    )


def test_a_tree_without_any_task_type_is_an_error(flare: Flare) -> None:
    with pytest.raises(InputError, match="known TaskType"):
        read_examples(flare(row(TaskType="")))


def withheld(flare: Flare, truth: object) -> Path:
    root = flare(row("", question="a? A: 1, B: 2"), row("", question="b? A: 1, B: 2"), split="validation-hidden")
    path = root / "validation-hidden/Xray/dental/dental_questions_train_withGT.json"
    path.write_text(truth if isinstance(truth, str) else json.dumps(truth))
    return root


def test_withheld_answers_come_from_the_ground_truth(flare: Flare) -> None:
    truth = [row("A", question="a? A: 1, B: 2"), row("B", question="b? A: 1, B: 2")]
    examples = read_examples(withheld(flare, truth))
    assert [found.answer for found in examples.rows] == ["A", "B"]
    assert not examples.problems


def test_a_truth_of_another_record_is_never_taken(flare: Flare) -> None:
    swapped = [row("B", question="b? A: 1, B: 2"), row("A", question="b? A: 1, B: 2", image="imagesTr/2.png")]
    examples = read_examples(withheld(flare, swapped))
    assert [found.answer for found in examples.rows] == ["", ""]
    assert len(examples.problems) == 2 and "another record" in examples.problems[0]


@pytest.mark.parametrize("truth", ["{broken", "7", "[]"])
def test_a_broken_truth_leaves_the_answers_empty(flare: Flare, truth: str) -> None:
    assert [found.answer for found in read_examples(withheld(flare, truth)).rows] == ["", ""]


def test_only_the_training_split_is_trained_on(flare: Flare) -> None:
    root = flare(row("A"))
    flare(row("B"), split="validation-public")
    assert [found.answer for found in rows_to_train(read_examples(root))] == ["A"]
    assert [found.answer for found in rows_to_train(read_examples(root / "validation-public"))] == ["B"]


def test_a_refit_takes_the_public_validation_rows_but_never_hidden_or_testing_ones(flare: Flare) -> None:
    root = flare(row("A"))
    for letter, split in zip("BCDE", ("validation", "validation-public", "validation-hidden", "testing"), strict=True):
        flare(row(letter), split=split)
    assert [found.answer for found in rows_to_refit(read_examples(root))] == ["A", "B", "C"]
    assert [found.answer for found in rows_to_refit(read_examples(root / "testing"))] == ["E"]


def test_several_splits_without_a_training_one_are_refused(flare: Flare) -> None:
    root = flare(row(), split="validation-public")
    flare(row(), split="testing")
    with pytest.raises(InputError, match="no training folder"):
        rows_to_train(read_examples(root))
