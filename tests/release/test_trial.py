"""What the trial makes of a container, on a fake engine; `test_on_an_engine` does the same on a real one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mevlip_release.engine import ImageFault
from mevlip_release.trial import CASES, COMMAND, Outcome, enforce, try_image
from tests.conftest import record
from tests.release.fake_engine import FakeEngine, Program

Write = Callable[..., Path]
ROOT_CASE, HARDENED, UNWRITABLE = CASES


def answering(answer: str = "A", **more: str) -> Program:
    def program(inputs: Path, outputs: Path) -> tuple[int, str]:
        rows = [record() | {"Answer": answer}]
        (outputs / "predictions.json").write_text(json.dumps(rows))
        for name, text in more.items():
            (outputs / name).write_text(text)
        return 0, "wrote 1 answers\n"

    return program


def leaving(status: int, said: str = "") -> Program:
    return lambda inputs, outputs: (status, said)


def tried(engine: FakeEngine, root: Path, *cases: Any, **options: Any) -> list[Outcome]:
    return list(try_image(engine, "team:latest", root, cases, **options))  # type: ignore[arg-type]


@pytest.fixture
def inputs(write_questions: Write) -> Path:
    root = write_questions([record()])
    (root / "Xray/set/set_questions_val_withGT.json").write_text("[]")
    return root


def mine(case: Any) -> Any:
    """The case as the user who runs the tests."""
    return replace(case, user=os.geteuid())


def test_a_valid_output_passes_with_its_figures(inputs: Path) -> None:
    [outcome] = tried(FakeEngine(answering()), inputs, mine(ROOT_CASE))
    assert outcome.passed and (outcome.status, outcome.questions) == (0, 1)
    assert outcome.last_lines == ("wrote 1 answers",)
    assert outcome.plain()["passed"] is True


def test_containers_are_started_as_the_cases_say(inputs: Path) -> None:
    engine = FakeEngine(answering())
    tried(engine, inputs, *CASES)
    plain, hardened, unwritable = (options for _, options in engine.started)
    assert {tuple(command) for command, _ in engine.started} == {COMMAND}
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

    tried(FakeEngine(program), inputs, ROOT_CASE)
    assert seen == [["set_questions_val.json"]]
    assert len(list(inputs.rglob("*.json"))) == 2


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        (leaving(2, "sh: 0: cannot open predict.sh"), "it left with status 2"),
        (leaving(0), "wrote no predictions.json"),
        (answering(""), "1 faults in predictions.json; first: field Answer"),
        (answering(**{".mevlip-journal.jsonl": ""}), "it left .mevlip-journal.jsonl in the output folder"),
    ],
)
def test_what_is_wrong_is_told(program: Program, fault: str, inputs: Path) -> None:
    [outcome] = tried(FakeEngine(program), inputs, mine(ROOT_CASE))
    assert fault in outcome.fault
    with pytest.raises(ImageFault, match="organizers' line: .*test it again"):
        enforce([outcome])


def test_an_output_of_another_user_is_told(inputs: Path) -> None:
    [outcome] = tried(FakeEngine(answering()), inputs, replace(ROOT_CASE, user=os.geteuid() + 1))
    assert outcome.fault == f"predictions.json belongs to user {os.geteuid()}, not {os.geteuid() + 1}"


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        (leaving(3, "mevlip: error: The output folder cannot be written (x). Mend it."), ""),
        (leaving(0), "gave status 0, not 3"),
        (leaving(3, "Traceback"), "does not say that the output folder cannot be written"),
    ],
)
def test_a_run_that_cannot_write_must_say_so(program: Program, fault: str, inputs: Path) -> None:
    [outcome] = tried(FakeEngine(program), inputs, UNWRITABLE)
    assert (fault in outcome.fault) if fault else outcome.passed


def test_an_engine_without_the_gpu_is_told(inputs: Path) -> None:
    with pytest.raises(ImageFault, match="could not select device driver"):
        tried(FakeEngine(), inputs, ROOT_CASE, gpu="device=0")


def test_an_image_that_is_not_there_is_named(inputs: Path) -> None:
    with pytest.raises(ImageFault, match="no such image: nowhere"):
        list(try_image(FakeEngine(), "nowhere:latest", inputs))  # type: ignore[arg-type]
