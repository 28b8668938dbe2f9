from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mevlip.core.errors import InputError, OutputError
from mevlip.flare.issues import Issue
from mevlip.runs.explanations import read_explanations
from mevlip_validation.check import check_file
from mevlip_validation.matching import read_records
from tests.conftest import EXAMPLES, record


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_json_is_one_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.json").write_bytes(content)
    [fault] = check_file(tmp_path / "p.json", EXAMPLES)
    assert isinstance(fault, Issue) and "valid JSON" in fault.message


def test_a_faithful_file_has_no_fault(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x_questions_val.json").write_text(json.dumps([record()]))
    (tmp_path / "p.json").write_text(json.dumps([record(Answer="B")]))
    assert check_file(tmp_path / "p.json", tmp_path / "in") == []


def test_an_input_without_questions_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("[]")
    with pytest.raises(InputError):
        check_file(tmp_path / "p.json", tmp_path)


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x_questions_val.json").write_text(json.dumps([record(), record("two")]))
    return tmp_path / "in"


@pytest.mark.parametrize("answer", ["B\n", "A\u2028B", "\u200b", "\x1b[2J", "\x00", " B", "B ", "\ufeffB", "\ud800"])
def test_an_answer_that_hides_something_is_one_fault(tmp_path: Path, asked: Path, answer: str) -> None:
    (tmp_path / "p.json").write_text(json.dumps([record(Answer=answer), record("two", Answer="B")]))
    [fault] = check_file(tmp_path / "p.json", asked)
    assert (fault.index, fault.field, fault.value) == (0, "Answer", json.dumps(answer))
    assert fault.message.startswith("an Answer is one visible line; this one ")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_pythons_own_numbers_are_not_json(tmp_path: Path, asked: Path, value: str) -> None:
    text = json.dumps([record(Answer="B"), record("two", Answer="B")])
    (tmp_path / "p.json").write_text(text[:-2] + f', "Extra": {value}}}]')
    [fault] = check_file(tmp_path / "p.json", asked)
    assert f"({value} is not a JSON value)" in fault.message


@pytest.mark.timeout(60)
def test_a_pipe_is_not_a_predictions_file(tmp_path: Path, asked: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="is a named pipe"):
        check_file(tmp_path / "pipe", asked)
    with pytest.raises(InputError, match="is a named pipe"):
        read_records(tmp_path / "pipe")
    with pytest.raises(InputError, match="is a named pipe"):
        read_explanations(tmp_path / "pipe")
