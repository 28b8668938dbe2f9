from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mevlip.core.errors import InputError
from mevlip_training.data.audit import audit
from mevlip_training.data.findings import Finding, Kind, write_findings
from mevlip_training.demo.inputs import write_inputs
from tests.training.data.conftest import boxes, measure, row

Flare = Callable[..., Path]


def found(root: Path) -> list[tuple[Kind, int, bool]]:
    return [(one.kind, one.index, one.left_out) for one in audit(root, quiet=True)]


def test_sound_data_have_no_findings(flare: Flare) -> None:
    root = flare(row("A"), boxes("[[1, 2, 3, 4]]"), row("B", question="Another? A: 1, B: 2"), measure("3.5"))
    assert found(root) == []


def test_the_demos_inputs_are_read_whole(tmp_path: Path) -> None:
    write_inputs(tmp_path / "flare")
    unlikely = set(Kind) - {Kind.REPEAT, Kind.SHARED_IMAGE, Kind.CONFLICT}
    assert not unlikely & {one.kind for one in audit(tmp_path / "flare", quiet=True)}


def test_a_missing_and_a_broken_image_are_named(flare: Flare) -> None:
    root = flare(row(image="imagesTr/1.png"), row(image="imagesTr/2.png"), row(image=""), row(image=None))
    folder = root / "training/Xray/dental/imagesTr"
    (folder / "1.png").unlink()
    (folder / "2.png").write_bytes(b"\x89PNG")
    first, second, third, fourth = audit(root, quiet=True)
    assert "not found" in first.detail and "imagesTr/1.png" in first.detail
    assert "not a readable image" in second.detail
    assert "names no image" in third.detail and "names no image" in fourth.detail
    assert {one.kind for one in (first, second, third, fourth)} == {Kind.BAD_IMAGE}


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (row("T"), Kind.UNLISTED_OPTION),
        (row("A B"), Kind.SEVERAL_LETTERS),
        (
            row("Caries; Luck", TaskType="multi_label", question="Select all: Caries; Pulp; Injury."),
            Kind.UNLISTED_LABEL,
        ),
        (boxes("somewhere"), Kind.UNPARSABLE_BOXES),
        (boxes([[5, 5, 5, 5]]), Kind.ZERO_AREA),
        (row("many", TaskType="counting", question="How many?"), Kind.UNPARSABLE_COUNT),
        (row("-1", TaskType="counting", question="How many?"), Kind.IMPOSSIBLE_COUNT),
        (measure("wide"), Kind.UNPARSABLE_MEASUREMENT),
        (measure("100.1", question="What percentage is lost?"), Kind.FAR_MEASUREMENT),
        (measure("2085.53", question="What is the ABR%?"), Kind.FAR_MEASUREMENT),
    ],
)
def test_answers_that_cannot_be_meant(flare: Flare, entry: dict[str, Any], kind: Kind) -> None:
    assert found(flare(entry)) == [(kind, 0, True)]


def test_free_text_is_fine_where_the_question_lists_nothing(flare: Flare) -> None:
    assert found(flare(row("Luminal b", question="Which subtype is it?"))) == []


def test_a_box_beyond_the_image_is_told_but_trained_on(flare: Flare) -> None:
    root = flare(boxes([[1, 2, 41, 20]]), boxes([[-1, 2, 4, 20]], image="imagesTr/2.png"))
    assert found(root) == [(Kind.OUTSIDE, 0, False), (Kind.OUTSIDE, 1, False)]


def test_an_empty_answer_is_a_fault_only_among_answers(flare: Flare) -> None:
    root = flare(row("A"), row("", image="imagesTr/2.png"))
    flare(row("", image="imagesVal/3.png"), split="validation-hidden", place="Xray/other", suffix="val")
    assert found(root) == [(Kind.EMPTY_ANSWER, 1, True)]


def test_a_measurement_far_from_its_data_set_is_a_fault(flare: Flare) -> None:
    entries = [measure(f"{80 + number}.5", image=f"imagesTr/{number}.png") for number in range(12)]
    assert found(flare(*entries, measure("900", image="imagesTr/99.png"))) == [(Kind.FAR_MEASUREMENT, 12, True)]


def test_repeats_after_the_first_are_left_out(flare: Flare) -> None:
    root = flare(boxes("[1, 2, 3, 4]"), boxes([[1, 2, 3, 4]]), boxes("[[1,2,3,4]]", question="Box of the other?"))
    assert found(root) == [(Kind.REPEAT, 1, True)]


def test_contradictions_are_left_out_altogether_even_under_other_names(flare: Flare) -> None:
    root = flare(
        row("A", image="imagesTr/1.png"), row("B", image="imagesTr/copy1.png"), row("A", image="imagesTr/2.png")
    )
    assert found(root) == [(Kind.CONFLICT, 0, True), (Kind.CONFLICT, 1, True)]


def test_rows_with_other_further_images_are_no_duplicates(flare: Flare) -> None:
    views = ["imagesTr/1.png", "imagesTr/2.png"], ["imagesTr/1.png", "imagesTr/3.png"]
    assert found(flare(*(row(answer, image=names) for answer, names in zip("AB", views, strict=True)))) == []


def test_of_shared_images_the_training_row_gives_way(flare: Flare) -> None:
    root = flare(row("A", image="imagesTr/1.png"), row("A", image="imagesTr/2.png"))
    flare(row("B", image="imagesVal/x2.png"), split="validation-public", place="Xray/other", suffix="val")
    findings = audit(root, quiet=True)
    assert [(one.kind, one.where, one.left_out) for one in findings] == [
        (Kind.SHARED_IMAGE, "training/Xray/dental/dental_questions_train.json[1]", True),
        (Kind.SHARED_IMAGE, "validation-public/Xray/other/other_questions_val.json[0]", False),
    ]
    assert "validation-public" in findings[0].detail


def test_images_of_questions_yet_unanswered_are_kept_out_of_training_too(flare: Flare) -> None:
    root = flare(row("A"), row("A", image="imagesTr/2.png"))
    flare(row("", image="imagesTs/1.png"), split="testing", suffix="test")
    assert found(root) == [(Kind.SHARED_IMAGE, 0, False), (Kind.SHARED_IMAGE, 0, True)]


def test_measurements_that_are_mostly_equal_tell_nothing(flare: Flare) -> None:
    entries = [measure("0.0", image=f"imagesTr/{number}.png") for number in range(9)]
    assert found(flare(*entries, measure("12.5", image="imagesTr/9.png"))) == []
    assert found(flare(measure("12.5"))) == []


def test_an_empty_tree_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        audit(tmp_path)


def test_findings_are_written_as_csv(tmp_path: Path) -> None:
    write_findings([Finding(Kind.REPEAT, "set", "a.json", 3, 'says "it", again', True)], tmp_path / "new" / "f.csv")
    assert (tmp_path / "new" / "f.csv").read_text().splitlines() == [
        "kind,dataset,file,index,detail,left_out",
        'repeated row,set,a.json,3,"says ""it"", again",True',
    ]
