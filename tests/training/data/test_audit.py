from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mevlip.core.errors import InputError
from mevlip.flare.inspection import inspect_questions
from mevlip.flare.issues import IssueCode
from mevlip.flare.questions import read_input_folder
from mevlip.flare.store import ImageStore
from mevlip_training.data.audit import check_folder
from mevlip_training.demo.inputs import write_inputs
from tests.training.data.conftest import boxes, copy_smaller, measure, row, scene

Flare = Callable[..., Path]


def found(root: Path) -> list[tuple[IssueCode, int, bool]]:
    return [(one.code, one.index, one.left_out) for one in check_folder(root, quiet=True).issues]


def test_sound_data_have_no_issues(flare: Flare) -> None:
    root = flare(row("A"), boxes("[[1, 2, 3, 4]]"), row("B", question="Another? A: 1, B: 2"), measure("3.5"))
    assert found(root) == []


def test_the_demos_inputs_are_read_whole(tmp_path: Path) -> None:
    write_inputs(tmp_path / "flare")
    unlikely = set(IssueCode) - {IssueCode.REPEATED_ROW, IssueCode.SHARED_IMAGE, IssueCode.CONFLICT}
    assert not unlikely & {one.code for one in check_folder(tmp_path / "flare", quiet=True).issues}


def test_a_missing_and_a_broken_image_are_named(flare: Flare) -> None:
    root = flare(row(image="imagesTr/1.png"), row(image="imagesTr/2.png"), row(image=""), row(image=None))
    images = root / "training/Xray/dental/imagesTr"
    (images / "1.png").unlink()
    (images / "2.png").write_bytes(b"\x89PNG")
    first, second, third, fourth = check_folder(root, quiet=True).issues
    assert "not found" in first.message and "imagesTr/1.png" in first.message
    assert "not a readable image" in second.message
    assert "names no image" in third.message and "names no image" in fourth.message
    assert [one.code for one in (first, second)] == [IssueCode.UNREADABLE_IMAGE] * 2
    assert [one.code for one in (third, fourth)] == [IssueCode.NO_IMAGE] * 2


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (row("T"), IssueCode.UNLISTED_OPTION),
        (row("A B"), IssueCode.SEVERAL_LETTERS),
        (
            row("Caries; Luck", TaskType="multi_label", question="Select all: Caries; Pulp; Injury."),
            IssueCode.UNLISTED_LABEL,
        ),
        (boxes("somewhere"), IssueCode.UNPARSABLE_BOXES),
        (boxes([[5, 5, 5, 5]]), IssueCode.ZERO_AREA),
        (row("many", TaskType="counting", question="How many?"), IssueCode.UNPARSABLE_COUNT),
        (row("-1", TaskType="counting", question="How many?"), IssueCode.IMPOSSIBLE_COUNT),
        (measure("wide"), IssueCode.UNPARSABLE_MEASUREMENT),
        (measure("100.1", question="What percentage is lost?"), IssueCode.FAR_MEASUREMENT),
        (measure("2085.53", question="What is the ABR%?"), IssueCode.FAR_MEASUREMENT),
    ],
)
def test_answers_that_cannot_be_meant(flare: Flare, entry: dict[str, Any], code: IssueCode) -> None:
    assert found(flare(entry)) == [(code, 0, True)]


def test_free_text_is_fine_where_the_question_lists_nothing(flare: Flare) -> None:
    assert found(flare(row("Luminal b", question="Which subtype is it?"))) == []


def test_a_box_beyond_the_image_is_told_but_trained_on(flare: Flare) -> None:
    root = flare(boxes([[1, 2, 41, 20]]), boxes([[-1, 2, 4, 20]], image="imagesTr/2.png"))
    assert found(root) == [(IssueCode.OUTSIDE, 0, False), (IssueCode.OUTSIDE, 1, False)]


@pytest.mark.parametrize(
    ("answer", "fields"),
    [
        ([[1, 2, 3, 4], [5, 5, 5, 5]], {}),
        ([[1, 2, 3, 4], [50, 5, 60, 9]], {}),
        ({"1": [[1, 2, 3, 4]], "X": [[5, 5, 5, 9]]}, {"TaskType": "instance_detection", "question": "JSON, please."}),
    ],
    ids=["no width or height", "outside the image", "an identity's only one"],
)
def test_a_degenerate_box_among_others_is_told_but_its_row_trained_on(
    flare: Flare, answer: Any, fields: dict[str, Any]
) -> None:
    assert found(flare(boxes(answer, **fields))) == [(IssueCode.ZERO_AREA, 0, False)]


def test_an_empty_answer_is_a_fault_only_among_answers(flare: Flare) -> None:
    root = flare(row("A"), row("", image="imagesTr/2.png"))
    flare(row("", image="imagesVal/3.png"), split="validation-hidden", place="Xray/other", suffix="val")
    assert found(root) == [(IssueCode.EMPTY_ANSWER, 1, True)]


def test_a_measurement_far_from_its_data_set_is_a_fault(flare: Flare) -> None:
    entries = [measure(f"{80 + number}.5", image=f"imagesTr/{number}.png") for number in range(12)]
    assert found(flare(*entries, measure("900", image="imagesTr/99.png"))) == [(IssueCode.FAR_MEASUREMENT, 12, True)]


def test_repeats_after_the_first_are_left_out(flare: Flare) -> None:
    root = flare(boxes("[1, 2, 3, 4]"), boxes([[1, 2, 3, 4]]), boxes("[[1,2,3,4]]", question="Box of the other?"))
    assert found(root) == [(IssueCode.REPEATED_ROW, 1, True)]


def test_contradictions_are_left_out_altogether_even_under_other_names(flare: Flare) -> None:
    root = flare(
        row("A", image="imagesTr/1.png"), row("B", image="imagesTr/copy1.png"), row("A", image="imagesTr/2.png")
    )
    assert found(root) == [(IssueCode.CONFLICT, 0, True), (IssueCode.CONFLICT, 1, True)]


def test_rows_with_other_further_images_are_no_duplicates(flare: Flare) -> None:
    views = ["imagesTr/1.png", "imagesTr/2.png"], ["imagesTr/1.png", "imagesTr/3.png"]
    assert found(flare(*(row(answer, image=names) for answer, names in zip("AB", views, strict=True)))) == []


def test_of_shared_images_the_training_row_gives_way(flare: Flare) -> None:
    root = flare(row("A", image="imagesTr/1.png"), row("A", image="imagesTr/2.png"))
    flare(row("B", image="imagesVal/x2.png"), split="validation-public", place="Xray/other", suffix="val")
    issues = check_folder(root, quiet=True).issues
    assert [(one.code, one.where, one.left_out) for one in issues] == [
        (IssueCode.SHARED_IMAGE, "training/Xray/dental/dental_questions_train.json[1]", True),
        (IssueCode.SHARED_IMAGE, "validation-public/Xray/other/other_questions_val.json[0]", False),
    ]
    assert "validation-public" in issues[0].message


def test_images_of_questions_yet_unanswered_are_kept_out_of_training_too(flare: Flare) -> None:
    root = flare(row("A"), row("A", image="imagesTr/2.png"))
    flare(row("", image="imagesTs/1.png"), split="testing", suffix="test")
    assert found(root) == [(IssueCode.SHARED_IMAGE, 0, False), (IssueCode.SHARED_IMAGE, 0, True)]


def test_a_picture_that_nearly_equals_one_of_another_split_is_told_and_kept(flare: Flare) -> None:
    root = flare(row("A"), row("A", image="imagesTr/2.png"), row("B", image="imagesTr/3.png"))
    flare(row("", image="imagesTs/9.png"), split="testing", suffix="test")
    images = root / "training/Xray/dental/imagesTr"
    for number in (1, 2, 3):
        scene(images / f"{number}.png", number)
    for copy in (images / "1.png", root / "testing/Xray/dental/imagesTs/9.png"):  # within a split, and across
        copy_smaller(images / "2.png", copy)
    issues = check_folder(root, quiet=True).issues
    assert [(one.code, one.where, one.left_out) for one in issues if one.code is not IssueCode.SHARED_IMAGE] == [
        (IssueCode.NEAR_IMAGE, "testing/Xray/dental/dental_questions_test.json[0]", False),
        (IssueCode.NEAR_IMAGE, "training/Xray/dental/dental_questions_train.json[1]", False),
    ]
    assert "testing/Xray/dental/dental_questions_test.json[0], in testing" in issues[-1].message


def test_without_the_library_it_is_said_that_nothing_was_compared(
    flare: Flare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mevlip_training.data.audit.can_compare", lambda: False)
    (problem,) = check_folder(flare(row("A")), quiet=True).problems
    assert "imagehash" in problem


def test_measurements_that_are_mostly_equal_tell_nothing(flare: Flare) -> None:
    entries = [measure("0.0", image=f"imagesTr/{number}.png") for number in range(9)]
    assert found(flare(*entries, measure("12.5", image="imagesTr/9.png"))) == []
    assert found(flare(measure("12.5"))) == []


def test_an_empty_tree_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        check_folder(tmp_path)


def test_images_are_judged_alike_with_and_without_answers(flare: Flare) -> None:
    root = flare(
        row("A"), row("A", image="imagesTr/2.png"), row("A", image="imagesTr/3.png"), row("B", question="Q? A: x, B: y")
    )
    images = root / "training/Xray/dental/imagesTr"
    Image.new("RGB", (64, 64), (7, 7, 7)).save(images / "1.png")
    Image.new("RGB", (400, 20), (200, 9, 9)).save(images / "2.png")
    (images / "3.png").write_bytes(b"no picture")
    folder = read_input_folder(root)
    with ImageStore(folder.root) as store:
        inspected = inspect_questions(folder.questions, store, quiet=True)
    of_images = [(one.code, one.where, one.message) for one in inspected]
    issues = check_folder(root, quiet=True).issues
    assert sorted((one.code, one.where, one.message) for one in issues) == sorted(of_images)
    assert {one.code for one in issues if one.left_out} == {IssueCode.UNREADABLE_IMAGE}
    assert {one.dataset for one in issues} == {"dental"}
