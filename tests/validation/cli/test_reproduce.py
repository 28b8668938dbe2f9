from __future__ import annotations

import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mevlip.core.errors import CheckpointError, ExitCode, InputError
from mevlip.predictor import Predictor
from mevlip_validation.cli.reproduce import reproduce
from mevlip_validation.reproduction import NAMES
from tests.conftest import DEMO, EXAMPLES, FakeModel

PART = EXAMPLES / "Mammography"


def call(*arguments: str | Path | int) -> Result:
    return CliRunner().invoke(reproduce, [str(one) for one in arguments])


def test_the_help_names_every_system() -> None:
    text = " ".join(call("--help").output.split())
    assert all(name in text for name in NAMES)


@pytest.mark.parametrize(
    ("systems", "message"),
    [
        ([], "Missing option '--system'"),
        (["LLaVA=demo"], "'LLaVA' is not a system of Table 3. Name one of Qwen2.5-VL-7B, MedGemma-4B, InternVL3-8B."),
        (["InternVL3-8B"], "'InternVL3-8B' is not NAME=CHECKPOINT. Write, for example, InternVL3-8B=me-vlip."),
        (["InternVL3-8B="], "is not NAME=CHECKPOINT"),
        (["InternVL3-8B=a", "InternVL3-8B=b"], "InternVL3-8B is given twice. Name one checkpoint for each system."),
    ],
)
def test_a_wrong_system_is_a_usage_error(systems: list[str], message: str, tmp_path: Path) -> None:
    options = [word for system in systems for word in ("--system", system)]
    done = call(*options, "--public", PART, "--out", tmp_path / "out")
    assert done.exit_code == ExitCode.USAGE and message in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_meant_are_usage_errors(tmp_path: Path) -> None:
    system = ("--system", f"InternVL3-8B={DEMO}")
    inside = Path(shutil.copytree(PART, tmp_path / "in"))
    for options, message in (
        (("--out", tmp_path / "out"), "Name a folder with --public, --hidden or both."),
        (("--public", PART, "--hidden", PART, "--out", tmp_path / "out"), "are the same folder"),
        (("--public", inside, "--out", inside / "out"), "Name an --out outside of it."),
    ):
        done = call(*system, *options)
        assert done.exit_code == ExitCode.USAGE and message in " ".join(done.output.split())


def test_a_folder_without_truths_is_no_input(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PART, tmp_path / "in"))
    for path in folder.rglob("*_withGT.json"):
        path.unlink()
    done = call("--system", f"InternVL3-8B={DEMO}", "--public", folder, "--out", tmp_path / "out")
    assert isinstance(done.exception, InputError) and done.exception.exit_code == ExitCode.NO_INPUT
    assert "has no answered questions" in done.exception.cause and "withGT" in done.exception.remedy


def test_every_checkpoint_is_found_before_the_first_is_asked(tmp_path: Path) -> None:
    done = call(
        "--system", f"Qwen2.5-VL-7B={DEMO}", "--system", "MedGemma-4B=no-such", "--public", PART,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert isinstance(done.exception, CheckpointError) and "no-such" in done.exception.cause
    assert done.exception.remedy == "Name its folder: --system MedGemma-4B=FOLDER."
    assert done.exception.exit_code == ExitCode.ENVIRONMENT
    assert not (tmp_path / "out").exists()


@pytest.mark.model
def test_each_checkpoint_leaves_memory_before_the_next_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models: list[weakref.ref[FakeModel]] = []

    def load(*_: Any) -> FakeModel:
        assert all(model() is None for model in models)
        model = FakeModel(lambda *_: "A")
        models.append(weakref.ref(model))
        return model

    monkeypatch.setitem(Predictor.__init__.__kwdefaults__, "load_model", load)
    systems = ("--system", f"Qwen2.5-VL-7B={DEMO}", "--system", f"InternVL3-8B={DEMO}")
    done = call(*systems, "--public", PART, "--limit", 1, "--resamples", 5, "--out", tmp_path / "out", "--quiet")
    assert done.exit_code == 0, done.output
    assert len(models) == 2


@pytest.mark.model
@pytest.mark.usefixtures("loaded_once")
def test_the_demo_reproduces_the_table_and_the_figure_of_a_few_questions(tmp_path: Path) -> None:
    hidden, out = Path(shutil.copytree(PART, tmp_path / "hidden")), tmp_path / "out"
    done = call(
        "--system", f"InternVL3-8B={DEMO}", "--public", EXAMPLES, "--hidden", hidden, "--limit", 1, "--device", "cpu",
        "--resamples", 5, "--out", out, "--quiet",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert {path.name for path in out.iterdir()} == {
        "reproduce.json", "table3.tex", "figure5.svg", "figure5.png", "predictions",
    }  # fmt: skip
    content = json.loads((out / "reproduce.json").read_bytes())
    assert (content["limit"], content["resamples"]) == (1, 5) and content["checkpoints"]["InternVL3-8B"][
        "kind"
    ] == "demo"
    measured = [one for one in content["table3"] if one["status"] == "measured"]
    assert {(one["system"], one["set"]) for one in measured} == {
        (name, which) for name in ("InternVL3-8B", "InternVL3-8B with classifier") for which in ("public", "hidden")
    }
    assert {one["label"] for one in measured} == {"measured (demo, partial)"}
    assert len([one for one in measured if one["set"] == "public"]) == 12, "of all tasks but reports, in two columns"
    assert "DEMO CHECKPOINT" in done.stdout and "measured (demo, partial)" in done.stdout
    assert "Regression: no answered questions in the hidden folder" in done.stdout
