"""Rehearsing on a fake Docker client; `test_on_an_engine` does the same on a real engine."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mevlip_release.profiles import Profile
from mevlip_release.rehearsal import Rehearsal, count_differing, rehearse, write_rehearsal
from tests.conftest import record
from tests.release.fake_docker_client import FakeDockerClient
from tests.release.test_inspection import image

Write = Callable[..., Path]
ME = str(os.geteuid())
PROFILE = Profile(name="mine", memory="28g", gpu_gb=24, image_gb=1, cases=100, seconds_per_case=3, user=ME)
GPU = {"name": "H100", "driver": "580.1", "peak_memory_bytes": 8 * 10**9}


class Answering:
    """A program that leaves a journal in the run that is killed, and finishes it in the next."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.journal = ".mevlip-journal-1.jsonl"

    def __call__(self, inputs: Path, outputs: Path) -> tuple[int, str]:
        answer = self.answers.pop(0)
        (outputs / self.journal).unlink(missing_ok=True)
        if answer == "killed":
            (outputs / self.journal).write_text('{"answer": 1}')
        else:
            (outputs / "predictions.json").write_text(json.dumps([record() | {"Answer": answer}]))
        return 0, ""


@pytest.fixture
def inputs(write_questions: Write) -> Path:
    return write_questions([record()])


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    image(tmp_path / "team.tar", {"app/predict.sh": b"exec true"}, {"etc/x": b"1"})
    packed = tmp_path / "team.tar.gz"
    packed.write_bytes(gzip.compress((tmp_path / "team.tar").read_bytes()))
    return packed


def run(archive: Path, inputs: Path, *answers: str, profile: Profile = PROFILE, **changes: Any) -> Rehearsal:
    client = FakeDockerClient(Answering(*answers))
    client.report = {"questions": 1, "resumed": 0, "gpu": GPU, "seconds": {"load": 5.0, "answer": 2.0}}
    client.hangs = (2,)
    for name, value in changes.items():
        setattr(client, name, value)
    gpu = "" if (client.report or {}).get("gpu") is None else "device=0"
    return rehearse(client, archive, profile, inputs, gpu)  # type: ignore[arg-type]


def failed(rehearsal: Rehearsal) -> dict[str, str]:
    found = {check.name: check.detail for check in rehearsal.checks if check.result == "FAILED"}
    assert rehearsal.passed == (not found)
    return found


def test_a_good_archive_passes_everything(archive: Path, inputs: Path) -> None:
    done = run(archive, inputs, "A", "A", "killed", "A")
    assert failed(done) == {}
    assert [check.name for check in done.checks] == [
        "archive is whole", "no unexpected files", "image size", "engine loads it", "first run", "second run",
        "both runs agree", "killed and resumed", "GPU memory", "main memory", "time",
    ]  # fmt: skip
    assert done.device == GPU and [run["ended"] for run in done.runs] == ["itself", "itself", "killed", "itself"]
    assert done.seconds_for_all == pytest.approx(99 * 2, abs=2), "loading is counted once"
    assert done.archive["size"] == archive.stat().st_size


def test_a_damaged_archive_is_not_even_loaded(archive: Path, inputs: Path) -> None:
    data = bytearray(gzip.decompress(archive.read_bytes()))
    data[data.index(b"exec true")] ^= 1
    archive.write_bytes(gzip.compress(data))
    done = run(archive, inputs)
    assert "layer 1 of 2 is damaged" in failed(done)["archive is whole"] and len(done.checks) == 1
    assert done.runs == () and done.seconds_for_all is None


def test_runs_that_differ_and_a_resumed_run_that_differs_are_found(archive: Path, inputs: Path) -> None:
    assert set(failed(run(archive, inputs, "A", "B", "killed", "A"))) == {"both runs agree"}
    found = failed(run(archive, inputs, "A", "A", "killed", "B"))
    assert found == {"killed and resumed": "1 of 1 answers differ from those of a whole run"}
    found = failed(run(archive, inputs, "A", "A", "A", hangs=()))
    assert "over before it could be killed" in found["killed and resumed"]


def test_records_that_differ_are_counted() -> None:
    first = [{"Answer": str(number)} for number in range(20)]
    second = [*first[:18], {"Answer": "x"}, {"Answer": "y"}]
    assert count_differing(json.dumps(first).encode(), json.dumps(second).encode()) == (2, 20)
    assert count_differing(json.dumps(first).encode(), json.dumps(first, indent=1).encode()) == (0, 20)


def test_a_run_that_fails_ends_the_rehearsal(archive: Path, inputs: Path) -> None:
    done = run(archive, inputs, "", "A")
    assert list(failed(done)) == ["first run"] and "invalid predictions.json" in done.checks[-1].detail
    assert len(done.runs) == 1


@pytest.mark.parametrize(
    ("limit", "check", "detail"),
    [
        ({"gpu_gb": 6}, "GPU memory", "8.00 GB of 6 GB"),
        ({"image_gb": 1e-9}, "image size", "the limit is 1e-09 GB"),
        (
            {"seconds_per_case": 1},
            "time",
            "s per case, 0.06 h for 100 cases like these on this machine; the limit is 1",
        ),
    ],
)
def test_a_limit_that_is_crossed_is_a_failure(
    archive: Path, inputs: Path, limit: dict[str, float], check: str, detail: str
) -> None:
    found = failed(run(archive, inputs, "A", "A", "killed", "A", profile=PROFILE.replace(**limit)))
    assert list(found) == [check] and detail in found[check]


def test_without_a_gpu_the_page_says_so(archive: Path, inputs: Path, tmp_path: Path) -> None:
    report = {"questions": 1, "gpu": None, "seconds": {"answer": 1.0}}
    done = run(archive, inputs, "A", "A", "killed", "A", report=report)
    assert failed(done) == {} and done.device == {}
    assert [check.name for check in done.checks if check.result == "not tried"] == ["GPU memory"]
    file, page = write_rehearsal(done, tmp_path / "out")
    assert json.loads(file.read_text())["passed"] is True
    text = page.read_text()
    assert "Passed, without a GPU" in text and "no GPU was passed" in text
    assert done.archive["sha256"] in text and "<script>" not in text.replace("<script></script>", "")


def test_of_a_run_that_left_no_report_no_answers_are_claimed(archive: Path, inputs: Path, tmp_path: Path) -> None:
    _, page = write_rehearsal(run(archive, inputs, "A", "A", "killed", "A", report={}), tmp_path / "out")
    killed = re.search(r"<tr><th[^>]*>killed</th>.*</tr>", page.read_text())
    assert killed and ">0<" not in killed[0] and ">0.0<" not in killed[0]


def test_texts_of_the_image_are_escaped_on_the_page(tmp_path: Path, inputs: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    image(tmp_path / "a.tar", {"a": b"1"}, history=[{"created_by": hostile}])
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress((tmp_path / "a.tar").read_bytes()))
    done = run(tmp_path / "a.tar.gz", inputs, "A", "A", "killed", "A")
    _, page = write_rehearsal(done, tmp_path / "out")
    assert hostile not in page.read_text() and "&lt;img" in page.read_text()
