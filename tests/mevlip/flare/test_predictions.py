from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mevlip.core.errors import EnvironmentProblem, OutputError
from mevlip.flare.predictions import answered, find_issues, write_predictions
from mevlip.flare.questions import Question
from tests.conftest import record
from tests.mevlip.flare.test_questions import json_values


def questions(*records: dict[str, Any]) -> list[Question]:
    return [Question(i, "x_questions_val.json", i, one, Path()) for i, one in enumerate(records)]


ASKED = questions(record("q0"), record("q1", image=["a.png", "b.png"]), record("q2"))


def rows() -> list[dict[str, Any]]:
    return [answered(question, "A") for question in ASKED]


def test_faithful_rows_have_no_fault() -> None:
    assert find_issues(rows(), ASKED) == []


@pytest.mark.parametrize("answer", ["", "  ", "two\nlines", 3, None, ["A"], "\t"])
def test_an_answer_is_one_visible_line(answer: Any) -> None:
    broken = rows()
    broken[1]["Answer"] = answer
    [fault] = find_issues(broken, ASKED)
    assert (fault.index, fault.field, fault.value) == (1, "Answer", json.dumps(answer))


def test_each_changed_field_is_named() -> None:
    broken = rows()
    del broken[0]["Modality"]
    broken[1]["ImageName"] = "['a.png', 'b.png']"
    broken[1] = answered(ASKED[1], "A") | {"Split": "test"}
    broken[2]["Score"] = 0.5
    found = {(fault.index, fault.field) for fault in find_issues(broken, ASKED)}
    assert found == {(0, "Modality"), (1, "Split"), (2, "Score")}


def test_true_is_not_one_and_one_is_not_one_point_nought() -> None:
    asked = questions(record(flag=True, number=1))
    row = answered(asked[0], "A")
    assert {f.field for f in find_issues([row | {"flag": 1, "number": 1.0}], asked)} == {"flag", "number"}


def test_a_list_of_images_stays_a_list() -> None:
    broken = rows()
    broken[1]["ImageName"] = "a.png"
    rules = [fault.message for fault in find_issues(broken, ASKED)]
    assert len(rules) == 2 and "has a row" in rules[0] and "ImageName and Question unchanged" in rules[1]


def test_missing_surplus_and_misplaced_rows_are_told_apart() -> None:
    missing = find_issues(rows()[:2], ASKED)
    assert [(f.index, f.message) for f in missing] == [
        (None, "the record x_questions_val.json[2] has a row (matched by ImageName and Question)")
    ]
    [surplus] = find_issues([*rows(), rows()[0]], ASKED)
    assert surplus.index == 3
    [misplaced] = find_issues(rows()[::-1], ASKED)
    assert misplaced.index == 0 and "input order" in misplaced.message


@pytest.mark.parametrize("content", [{}, None, "x", [], [1], [[]], [{}]])
def test_other_json_is_a_fault_not_a_crash(content: Any) -> None:
    assert find_issues(content, ASKED)


@given(json_values)
def test_any_json_gives_a_list_of_faults(content: Any) -> None:
    assert find_issues(content, ASKED)


def test_writing_is_atomic_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_predictions(rows(), ASKED, tmp_path / "predictions.json")
    assert json.loads((tmp_path / "predictions.json").read_text()) == rows()
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.json"]


def test_invalid_rows_are_not_written_over_good_ones(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    write_predictions(rows(), ASKED, path)
    good = path.read_bytes()
    broken = rows()
    broken[2]["Answer"] = ""
    with pytest.raises(OutputError, match=r"row 2, field Answer"):
        write_predictions(broken, ASKED, path)
    assert path.read_bytes() == good
    assert len(list(tmp_path.iterdir())) == 1


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        write_predictions(rows(), ASKED, tmp_path / "file/predictions.json")


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_any_fields_survive_the_round_trip(tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]) -> None:
    asked = questions({**record(), **fields})
    path = tmp_path_factory.getbasetemp() / "predictions.json"
    write_predictions([answered(asked[0], "A")], asked, path)
    assert json.loads(path.read_bytes()) == [{**asked[0].record, "Answer": "A"}]
