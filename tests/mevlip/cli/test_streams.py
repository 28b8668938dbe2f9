"""The real command with closed, broken and full streams: the output decides its status, not the terminal."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mevlip.runs.journal import journals
from tests.conftest import EXAMPLES, HANG, ROOT, record

Write = Callable[..., Path]

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "submission")}


def shell(
    line: str, *arguments: str | Path, setting: str = "", within: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs a line of bash in which `mevlip` is the real command."""
    command = f'mevlip() {{ {shlex.quote(sys.executable)} -P -m mevlip "$@"; }}; {setting} {line}'
    return subprocess.run(
        [*within, "bash", "-c", command, "bash", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=HANG,
        env=ENVIRONMENT,
        check=False,
    )


@pytest.mark.model
@pytest.mark.parametrize(
    "streams",
    ["<&- >&- 2>&-", "2>/dev/full", "2>&1 | true"],
    ids=["closed", "full", "broken"],
)
def test_predictions_are_complete_and_the_status_is_0_whatever_becomes_of_remarks(
    write_questions: Write, tmp_path: Path, streams: str
) -> None:
    root = write_questions([record(), record("How many cells lie in this field?")])
    line = f'mevlip predict "$1" "$2" --routing declared {streams}'
    done = shell(line, root, tmp_path / "out", setting="set -o pipefail;")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]
    assert len(json.loads((tmp_path / "out/predictions.json").read_bytes())) == 2


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "2>&1 >/dev/full | true"])
def test_an_error_keeps_its_status_where_it_cannot_be_shown(tmp_path: Path, streams: str) -> None:
    done = shell(f'mevlip predict "$1" "$2" {streams}', tmp_path, tmp_path / "out", setting="set -o pipefail;")
    assert done.returncode == 5


def test_a_result_that_cannot_be_written_is_an_error_of_the_environment() -> None:
    done = shell("mevlip tasks --json >/dev/full")
    assert done.returncode == 3
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr


def test_a_reader_that_has_enough_is_no_error() -> None:
    done = shell("mevlip tasks --json | head -n 1", setting="set -o pipefail;")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[\n", "")


def test_a_current_folder_that_was_deleted_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    done = shell('cd "$1" && rmdir "$1" && mevlip predict "$2" outputs', tmp_path / "gone", EXAMPLES)
    assert done.returncode == 3, done.stderr
    assert "The current folder no longer exists" in done.stderr and "Traceback" not in done.stderr


def test_an_output_linked_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    done = shell('mevlip predict "$1" "$2"', EXAMPLES, tmp_path / "loop")
    assert done.returncode == 3
    assert "loop cannot be written" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


@pytest.mark.model
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_disk_that_fills_up_is_named_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """On a file system of 4 kB the journal of 12 answers has no room, in a mount namespace of the test's own."""
    predict = 'mevlip predict "$1" "$2" --routing declared --batch-tokens 200 --limit 12'
    script = (
        'mount -t tmpfs -o size=4k none "$2" || exit 77; '
        f'{predict} 2>"$3/first"; '
        'echo $? >"$3/status"; ls -A "$2" >"$3/left"; cp "$2"/.mevlip-journal-*.jsonl "$3"; '
        f'mount -o remount,size=1m "$2" && {predict} 2>"$3/second"; '
        'echo $? >>"$3/status"; cp "$2/predictions.json" "$3"'
    )
    out, kept = tmp_path / "out", tmp_path / "kept"
    out.mkdir()
    kept.mkdir()
    done = shell(script, EXAMPLES, out, kept, within=("unshare", "--mount"))
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("file systems cannot be mounted here")
    first, second = (kept / "status").read_text().split()
    errors = (kept / "first").read_text()
    assert first == "3", errors
    assert "No space left on device" in errors.splitlines()[-1] and "Traceback" not in errors
    assert journals(kept), "what was finished is kept"
    assert second == "0", (kept / "second").read_text()
    assert "answers are there from an earlier run" in (kept / "second").read_text()
    assert len(json.loads((kept / "predictions.json").read_bytes())) == 12
