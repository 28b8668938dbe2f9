"""What surrounds the training, with a stand-in for the training environment's Python."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from mevlip.checkpoints.routes import read_route
from mevlip.core.errors import CheckpointError, EnvironmentProblem, InputError, TrainingFailed
from mevlip.core.locks import locked
from mevlip_training.grpo.card import Summary
from mevlip_training.grpo.log import LOG_NAME, append
from mevlip_training.grpo.plan import GrpoRun
from mevlip_training.grpo.starting import pack, refuse_unfit, train, train_grpo
from mevlip_training.grpo.steps import Step
from tests.conftest import DEMO
from tests.training.grpo.series import group, step

Plan = Callable[..., GrpoRun]
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a shell script in the place of the training environment's Python; `$out` is the run's folder."""

    def write(script: str) -> Path:
        path = tmp_path / "bin" / "llamafactory-cli"
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        stand_in = path.with_name("python")
        stand_in.write_text(f'#!/bin/sh\nout=$(dirname "$3")\n{script}\n', "utf-8")
        stand_in.chmod(0o755)
        monkeypatch.setattr("mevlip_training.llamafactory.find_command", lambda: path)
        monkeypatch.setattr("mevlip_training.llamafactory._POLL_SECONDS", 0.05)
        return stand_in

    return write


def steps(number: int) -> list[Step]:
    """Steps whose rewards rise from 1/100 on by as much."""
    return [step(one, [group([one / 100, one / 100])], kl=one / 1000) for one in range(1, number + 1)]


def finish(run: GrpoRun, change: float) -> None:
    """Leaves what a run leaves, its weights those of its start plus a number."""
    run.output.mkdir(parents=True, exist_ok=True)
    shutil.copy(run.start / "adapter_config.json", run.output)
    weights = {name: value + change for name, value in load_file(run.start / WEIGHTS).items()}
    save_file(weights, run.output / WEIGHTS, {"format": "pt"})
    for one in steps(2):
        append(run.output / LOG_NAME, one)


def test_packages_that_the_training_environment_lacks_are_named_before_anything_starts(
    plan: Plan, python: Callable[[str], Path]
) -> None:
    python("echo trl")
    with pytest.raises(EnvironmentProblem, match="lacks trl.*make train-env"):
        refuse_unfit([plan()])
    python("true")
    refuse_unfit([plan()])


def test_what_ended_a_run_is_told_in_its_own_words(plan: Plan, python: Callable[[str], Path]) -> None:
    python("""echo '{"cause": "all earn the same", "remedy": "Ask otherwise."}' > "$out/failure.json"; exit 9""")
    with pytest.raises(TrainingFailed, match=r"^all earn the same\. Ask otherwise\.$"):
        train(plan(), quiet=True)


def test_of_any_other_failure_the_last_lines_are_told_and_not_those_of_an_earlier_one(
    plan: Plan, python: Callable[[str], Path]
) -> None:
    run = plan()
    run.output.mkdir(parents=True)
    (run.output / "failure.json").write_text('{"cause": "old", "remedy": "old"}', "utf-8")
    python("echo out of memory; exit 3")
    with pytest.raises(TrainingFailed, match=r"GRPO of counting ended with status 3: out of memory.*train\.log"):
        train(run, quiet=True)


@pytest.mark.parametrize("overlay", [{"seed": 7}, {"learning_rate": 1e-5}, {"weights": {"count": 9}}])
def test_a_run_with_other_settings_is_not_gone_on_with(
    overlay: dict[str, object], plan: Plan, python: Callable[[str], Path]
) -> None:
    python("exit 1")
    with pytest.raises(TrainingFailed):
        train(plan(), quiet=True)
    with pytest.raises(InputError, match="other settings, of other rows or from another start"):
        train(plan(**overlay), quiet=True)


def test_a_run_on_other_rows_is_not_gone_on_with(plan: Plan, rows: Path, python: Callable[[str], Path]) -> None:
    python("exit 1")
    with pytest.raises(TrainingFailed):
        train(plan(), quiet=True)
    lines = (rows / "counting.jsonl").read_text("utf-8").splitlines(keepends=True)
    (rows / "counting.jsonl").write_text("".join(lines[1:]), "utf-8")
    with pytest.raises(InputError, match="other rows"):
        train(plan(), quiet=True)


def test_a_folder_that_another_run_writes_into_is_refused(plan: Plan, tmp_path: Path) -> None:
    run = plan()
    run.output.mkdir(parents=True)
    with locked(run.output, ""), pytest.raises(EnvironmentProblem, match="Another run is writing"):
        train_grpo([run], tmp_path / "packed", quiet=True)


def test_a_run_that_changed_nothing_is_not_packed(plan: Plan, tmp_path: Path) -> None:
    run = plan()
    finish(run, change=0)
    with pytest.raises(CheckpointError, match="ended with the weights that it started from"):
        pack(run, tmp_path / "packed" / "counting")


def test_a_packed_adapter_is_asked_as_the_one_it_started_from(plan: Plan, tmp_path: Path) -> None:
    run = plan()
    finish(run, change=0.5)
    summary = pack(run, tmp_path / "packed" / "counting")
    assert summary.steps == 2
    before, after = read_route(DEMO / "adapters" / "counting"), read_route(tmp_path / "packed" / "counting")
    assert after.adapter_fingerprint != before.adapter_fingerprint
    assert after.model_copy(update={"adapter_fingerprint": None}) == before.model_copy(
        update={"adapter_fingerprint": None}
    )


def test_a_log_is_summed_up_by_its_first_and_its_last_tenth() -> None:
    summary = Summary.of(steps(30))
    assert summary.steps == 30 and summary.seconds == pytest.approx(45)
    assert (summary.first, summary.last, summary.kl) == pytest.approx((0.02, 0.29, 0.029))
