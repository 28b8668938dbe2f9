"""The smoke test on a fake Docker client; `test_on_an_engine` does the same on a real engine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from mevlip_release.docker_client import InvalidImage, NoEngine
from mevlip_release.profiles import PROFILES, Profile
from mevlip_release.smoke_test import HARDENED, READ_ONLY, CaseResult, check_results, official, run_smoke_tests
from tests.conftest import record
from tests.release.fake_docker_client import FakeDockerClient, Program

Write = Callable[..., Path]
PROFILE = PROFILES["flare2025"]
OFFICIAL = official(PROFILE)


def answering(answer: str = "A", **more: str) -> Program:
    def program(inputs: Path, outputs: Path) -> tuple[int, str]:
        rows = [record() | {"Answer": answer}]
        (outputs / "predictions.json").write_text(json.dumps(rows))
        for name, text in more.items():
            (outputs / name).write_text(text)
        return 0, "wrote 1 answers\n"

    return program


def exiting(status: int, output: str = "") -> Program:
    return lambda inputs, outputs: (status, output)


def run_cases(client: FakeDockerClient, root: Path, *cases: Any, **options: Any) -> list[CaseResult]:
    return list(run_smoke_tests(client, "team:latest", root, PROFILE, cases, **options))  # type: ignore[arg-type]


@pytest.fixture
def inputs(write_questions: Write) -> Path:
    root = write_questions([record()])
    (root / "Xray/set/set_questions_val_withGT.json").write_text("[]")
    return root


def owned_by_me(case: Any) -> Any:
    """The case with the user who runs the tests as expected owner."""
    return replace(case, user=os.geteuid())


def test_a_valid_output_passes_with_its_figures(inputs: Path) -> None:
    [result] = run_cases(FakeDockerClient(answering()), inputs, owned_by_me(OFFICIAL))
    assert result.passed and (result.status, result.questions) == (0, 1)
    assert result.last_lines == ("wrote 1 answers",)
    assert result.plain()["passed"] is True


def test_containers_are_started_as_the_cases_say(inputs: Path) -> None:
    client = FakeDockerClient(answering())
    run_cases(client, inputs, OFFICIAL, HARDENED, READ_ONLY)
    plain, hardened, unwritable = (options for _, options in client.started)
    assert {tuple(command) for command, _ in client.started} == {("/bin/bash", "-c", "sh predict.sh")}
    assert "network_mode" not in plain and "user" not in plain and plain["mem_limit"] == "28g"
    assert (hardened["network_mode"], hardened["read_only"], hardened["cap_drop"]) == ("none", True, ["ALL"])
    assert (hardened["user"], hardened["shm_size"]) == ("12345:0", "64m")
    modes = [{v["bind"]: v["mode"] for v in options["volumes"].values()} for options in (plain, hardened, unwritable)]
    assert [(one["/workspace/inputs"], one["/workspace/outputs"]) for one in modes] == [
        ("rw", "rw"), ("ro", "rw"), ("ro", "ro"),
    ]  # fmt: skip


def test_the_truth_is_never_mounted_and_the_inputs_are_a_copy(inputs: Path) -> None:
    seen: list[list[str]] = []

    def program(mounted: Path, outputs: Path) -> tuple[int, str]:
        seen.append(sorted(path.name for path in mounted.rglob("*.json")))
        for path in mounted.rglob("*.json"):
            path.unlink()
        return 1, ""

    run_cases(FakeDockerClient(program), inputs, OFFICIAL)
    assert seen == [["set_questions_val.json"]]
    assert len(list(inputs.rglob("*.json"))) == 2


@pytest.mark.parametrize(
    ("program", "failure"),
    [
        (exiting(2, "sh: 0: cannot open predict.sh"), "exited with status 2"),
        (exiting(0), "did not write predictions.json"),
        (answering(""), "invalid predictions.json (issues: 1), first: field Answer"),
        (answering(**{".mevlip-journal.jsonl": ""}), "unexpected files in the output folder: .mevlip-journal.jsonl"),
    ],
)
def test_failures_are_reported(program: Program, failure: str, inputs: Path) -> None:
    [result] = run_cases(FakeDockerClient(program), inputs, owned_by_me(OFFICIAL))
    assert failure in result.failure
    with pytest.raises(InvalidImage, match="official command: .*test it again"):
        check_results([result])


def test_an_output_of_another_user_is_reported(inputs: Path) -> None:
    [result] = run_cases(FakeDockerClient(answering()), inputs, replace(OFFICIAL, user=os.geteuid() + 1))
    assert result.failure == f"predictions.json is owned by user {os.geteuid()}, expected {os.geteuid() + 1}"


@pytest.mark.parametrize(
    ("program", "failure"),
    [
        (exiting(3, "mevlip: error: The output folder cannot be written (x). Fix it."), ""),
        (exiting(0), "exited with status 0, expected 3"),
        (exiting(3, "Traceback"), "does not report that the output folder cannot be written"),
    ],
)
def test_a_run_that_cannot_write_must_report_it(program: Program, failure: str, inputs: Path) -> None:
    [result] = run_cases(FakeDockerClient(program), inputs, READ_ONLY)
    assert (failure in result.failure) if failure else result.passed


def test_an_engine_without_the_gpu_is_reported(inputs: Path) -> None:
    with pytest.raises(InvalidImage, match="could not select device driver"):
        run_cases(FakeDockerClient(), inputs, OFFICIAL, gpu="device=0")


def test_a_missing_image_is_reported(inputs: Path) -> None:
    with pytest.raises(InvalidImage, match="no such image: nowhere"):
        list(run_smoke_tests(FakeDockerClient(), "nowhere:latest", inputs, PROFILE, [OFFICIAL]))  # type: ignore[arg-type]


def test_the_result_says_where_it_computed_and_how_fast(inputs: Path) -> None:
    client = FakeDockerClient(answering())
    [result] = run_cases(client, inputs, owned_by_me(OFFICIAL))
    assert (result.device, result.gpu, result.seconds_per_question) == ("cpu", "", 2.0), "loading left out"
    client.report = {"questions": 4, "gpu": {"name": "H100", "driver": "580.1", "peak_memory_bytes": 9 << 30},
                     "seconds": {"verify": 9.0, "answer": 2.0, "write": 2.0}}  # fmt: skip
    [result] = run_cases(client, inputs, owned_by_me(OFFICIAL), gpu="device=0")
    assert result.passed
    assert (result.device, result.gpu, result.driver) == ("gpu", "H100", "580.1")
    assert (result.peak_gpu_mib, result.seconds_per_question) == (9 << 10, 1.0)


@pytest.mark.parametrize(
    ("report", "failure"),
    [
        ({"questions": 1, "gpu": None}, "--gpu device=0 was passed, but it computed on the CPU"),
        (None, "--gpu device=0 was passed, but the container does not say where it computed"),
    ],
)
def test_a_gpu_that_was_passed_and_not_used_is_a_failure(
    inputs: Path, report: dict[str, Any] | None, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = FakeDockerClient(answering())
    monkeypatch.setattr(client, "report", {"gpu": {"name": "stub"}})  # an engine that accepts --gpu ...
    start = client.run

    def without(*arguments: Any, **options: Any) -> Any:
        container = start(*arguments, **options)  # ... and provides no device
        places = {volume["bind"]: Path(place) for place, volume in options["volumes"].items()}
        (places["/workspace/report"] / "run.json").write_text(json.dumps(report) if report else "?")
        return container

    monkeypatch.setattr(client, "run", without)
    [result] = run_cases(client, inputs, owned_by_me(OFFICIAL), gpu="device=0")
    assert failure in result.failure and not result.passed


def test_a_container_that_hangs_is_killed_when_its_time_is_over(inputs: Path) -> None:
    client = FakeDockerClient(answering())
    client.hangs = (0,)
    [result] = run_cases(client, inputs, owned_by_me(OFFICIAL), time_limit=0.3)
    assert result.failure == "was not done after 0.3 s" and result.status == 137


def test_running_out_of_memory_is_told_from_other_ends(inputs: Path) -> None:
    client = FakeDockerClient(exiting(137))
    [result] = run_cases(client, inputs, OFFICIAL)
    assert result.failure == "exited with status 137: it was killed, perhaps for memory"
    client.oom = True
    [result] = run_cases(client, inputs, OFFICIAL)
    assert result.failure == "ran out of memory: the limit is 28g"


def test_an_engine_that_stops_answering_is_no_traceback(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise requests.ConnectionError("Connection refused")

    monkeypatch.setattr("tests.release.fake_docker_client.FakeContainer.reload", refuse)
    with pytest.raises(NoEngine, match=r"failed or stopped answering \(Connection refused\)"):
        run_cases(FakeDockerClient(answering()), inputs, OFFICIAL)


def test_the_line_is_the_profiles(inputs: Path) -> None:
    profile = Profile(name="x", command="sh other.sh", memory="2g", cases=5, network=False, user="77:7")
    case, client = official(profile), FakeDockerClient(exiting(1))
    list(run_smoke_tests(client, "team:latest", inputs, profile, [case]))  # type: ignore[arg-type]
    [(command, options)] = client.started
    assert command == ["/bin/bash", "-c", "sh other.sh"]
    assert (options["mem_limit"], options["network_mode"], options["user"], case.user) == ("2g", "none", "77:7", 77)
    assert official(profile, "bridge").options["network_mode"] == "none", "the challenge has none"
    assert official(PROFILE, "bridge").options["network_mode"] == "bridge"
