from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mevlip.core.errors import InputError, OutputError
from mevlip_validation.matching import Truth, match
from mevlip_validation.mismatches import check_answers, explain
from tests.conftest import EXAMPLES, record, run_mevlip

ONE = record("One? A: x, B: y", "set/a.png", Answer="A")
TWO = record("Two? A: x, B: y", ["b.png", "c.png"], Answer="B")


def by_position(*predictions: dict[str, Any]) -> tuple[str | None, ...]:
    truths = [Truth(f"f[{n}]", Path("set"), one) for n, one in enumerate((ONE, TWO))]
    return tuple(row.prediction for row in match(truths, predictions, by="position").rows)


def test_changed_questions_are_matched_by_position() -> None:
    assert by_position({**ONE, "Question": "Another?", "Answer": "B"}, {"Answer": "C"}) == ("B", "C")
    assert by_position({**ONE, "TaskType": "", "Modality": "x-RAY"}, {**TWO, "TaskType": "classification"}) == (
        "A",
        "B",
    )


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"ImageName": "set/z.png"}, "has ImageName 'set/z.png', but f[0] has 'set/a.png'"),
        ({"ImageName": ["set/a.png"]}, "has ImageName"),
        ({"TaskType": "counting"}, "has TaskType 'counting', but f[0] has 'Classification'"),
        ({"Modality": "CT\x1b[0m"}, r"has Modality 'CT\\x1b[0m', but f[0] has 'X-ray'"),
    ],
)
def test_records_of_other_questions_are_not_matched_by_position(change: dict[str, Any], cause: str) -> None:
    with pytest.raises(OutputError) as caught:
        by_position({**ONE, **change}, TWO)
    assert "1 of 2 predictions stand beside another question: [0] " in str(caught.value)
    assert cause in str(caught.value)


def test_a_file_in_another_order_is_not_scored_by_position() -> None:
    with pytest.raises(OutputError, match="2 of 2 predictions stand beside another question"):
        by_position(TWO, ONE)


@pytest.mark.parametrize("answer", [None, ""])
def test_a_file_that_answers_nothing_is_refused(answer: Any) -> None:
    unanswered = [{**ONE, "Answer": answer}, {key: value for key, value in TWO.items() if key != "Answer"}]
    with pytest.raises(InputError, match=r"None of the 2 records of p.json has an Answer"):
        check_answers(unanswered, "p.json")
    check_answers([*unanswered, TWO], "p.json")


def test_a_small_difference_is_named() -> None:
    blanks = {**ONE, "Question": "one?  A: x, B: y "}
    folder = {**TWO, "ImageName": ["images/b.png", "images\\c.png"]}
    both = {**record("Three?", "d.png"), "Question": " three?", "ImageName": "x/d.png"}
    missing = [ONE, TWO, record("Three?", "d.png"), record("Four?", "e.png")]
    assert explain(missing, [blanks, folder, both, record("Five?", "f.png")]) == (
        "1 of them differ only in blanks or letter case of the question",
        "1 of them differ only in the folders of ImageName",
        "1 of them differ only in the folders of ImageName and in blanks or letter case of the question",
    )
    assert explain(missing, []) == explain([], missing) == ()


def test_the_command_gives_the_hint(tmp_path: Path) -> None:
    file = next(EXAMPLES.rglob("*_withGT.json"))
    rows = json.loads(file.read_text())
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps([{**row, "Question": f"{row['Question']} "} for row in rows]))
    done = run_mevlip("score", path, "--truth", file)
    assert done.returncode == 6
    assert f"{len(rows)} of them differ only in blanks or letter case of the question" in done.stderr
    path.write_text(json.dumps([{**row, "Answer": ""} for row in rows]))
    done = run_mevlip("score", path, "--truth", file)
    assert done.returncode == 5 and "has an Answer. Name the predictions.json" in done.stderr
