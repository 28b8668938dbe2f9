from __future__ import annotations

import json
from pathlib import Path

import pytest

from mevlip.core.errors import InputError
from mevlip.flare.issues import Issue
from mevlip_validation.check import check_file
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
