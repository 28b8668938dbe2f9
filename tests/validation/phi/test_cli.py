"""`mevlip scan-phi` as people call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mevlip.core.errors import EnvironmentProblem, ExitCode, OutputError
from mevlip_validation.cli.scan_phi import scan_phi
from tests.conftest import EXAMPLES

REPORT = "Patient: Jane Doe\nMRN: 1234567, seen on 2021-03-04\n"


def test_without_a_finding_it_says_what_was_examined_and_what_not() -> None:
    done = CliRunner().invoke(scan_phi, [str(EXAMPLES), "--quiet"])
    assert done.exit_code == ExitCode.DONE, done.output
    assert "possible identifiers: none" in done.output and "Text burned into pixels was not examined" in done.output


def test_findings_are_shown_masked_with_their_place_and_end_in_status_6(tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text(REPORT)
    done = CliRunner().invoke(scan_phi, [str(tmp_path), "--json", str(tmp_path / "found.json")])
    assert isinstance(done.exception, OutputError) and done.exception.exit_code is ExitCode.INVALID_OUTPUT
    assert str(done.exception).startswith("3 possible identifiers in 1 files. Check each place")
    written = (tmp_path / "found.json").read_text()
    for shown in (done.output, written):
        assert "J*** D**" in shown and "line 2" in shown
        assert not any(secret in shown for secret in ("Doe", "1234567", "2021"))
    content = json.loads(written)
    assert content["kinds"] == {"name": 1, "record number": 1, "date": 1}
    assert content["findings"][0] == {
        "file": str(tmp_path / "report.txt"), "place": "line 1", "kind": "name", "finding": "J*** D**",
    }  # fmt: skip


def test_a_file_that_was_not_examined_is_no_clean_result(tmp_path: Path) -> None:
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.7\n" + bytes(range(256)))
    done = CliRunner().invoke(scan_phi, [str(tmp_path)])
    assert isinstance(done.exception, EnvironmentProblem) and "1 files were not examined" in str(done.exception)
    assert "letter.pdf" in done.output


def test_a_long_list_is_cut_on_the_terminal_and_whole_as_json(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("MRN: 1234567\n" * 500)
    done = CliRunner().invoke(scan_phi, [str(tmp_path), "--json", str(tmp_path / "found.json")])
    assert isinstance(done.exception, OutputError) and "500 possible identifiers" in str(done.exception)
    assert len(done.output.splitlines()) < 250 and "--json FILE writes all" in done.output
    assert len(json.loads((tmp_path / "found.json").read_text())["findings"]) == 500


def test_progress_is_logged_without_what_was_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for index in range(20):
        (tmp_path / f"MRN_{1234567 + index}.txt").write_text(REPORT)
    with caplog.at_level("INFO"):
        CliRunner().invoke(scan_phi, [str(tmp_path)])
    assert "scanning: 20 of 20 files" in caplog.text
    assert "Doe" not in caplog.text and "12345" not in caplog.text
