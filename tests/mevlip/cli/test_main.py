"""The real command in a process of its own: exit statuses, streams, the demo end to end.

Where nothing about a process is tested, the command runs in this one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import click
import pytest
from PIL import Image

from mevlip.cli.main import cli
from mevlip.core.errors import EnvironmentProblem
from mevlip.runs.journal import journals
from mevlip.settings import PredictorSettings, RunSettings
from tests.conftest import DEMO, EXAMPLES, HANG, ROOT, call_mevlip, first_of_each, record, run_mevlip

Write = Callable[..., Path]

NO_NETWORK = """
import socket

def refuse(*arguments, **options):
    raise AssertionError("the program asked for the network")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first question of each data set."""
    return first_of_each(tmp_path_factory.mktemp("some") / "in")


@pytest.fixture(scope="module")
def demo_run(some: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Questions of every task answered by the demo, in a process that cannot reach a network."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "sitecustomize.py").write_text(NO_NETWORK)
    paths = os.pathsep.join([str(folder), str(ROOT / "submission")])
    done = run_mevlip("predict", some, folder / "out", env={"PYTHONPATH": paths})
    return done, folder / "out"


def test_status_0_and_a_complete_output(demo_run: tuple[subprocess.CompletedProcess[str], Path], some: Path) -> None:
    done, output = demo_run
    assert done.returncode == 0, done.stderr
    assert done.stdout == "", "results go to files, remarks to stderr"
    assert len(json.loads((output / "predictions.json").read_bytes())) == 18
    checked = run_mevlip("predictions", "check", output / "predictions.json", "--input", some)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_demo_says_that_it_is_not_medical_once(demo_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, _ = demo_run
    assert done.stderr.count("its answers are not medical") == 1
    assert done.stderr.count("(chosen automatically)") == 1


def test_neither_questions_nor_answers_are_logged(demo_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, output = demo_run
    for row in json.loads((output / "predictions.json").read_bytes()):
        assert row["Question"] not in done.stderr
        assert len(row["Answer"]) < 8 or row["Answer"] not in done.stderr


def test_answers_can_be_shown_by_task(demo_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    shown = run_mevlip("predictions", "show", demo_run[1] / "predictions.json", "--per-task", "1").stdout.splitlines()
    assert len(shown) == 2 + 7
    assert shown[2].startswith("Classification") and shown[-1].startswith("Report generation")


@pytest.mark.parametrize("content", ["{", "{}", "[1]"])
def test_what_is_no_predictions_file_cannot_be_shown(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.json").write_text(content)
    done = run_mevlip("predictions", "show", tmp_path / "p.json")
    assert done.returncode == 6 and "is not a list of records" in last_line(done)


def test_status_1_for_a_fault_of_the_program(tmp_path: Path) -> None:
    code = (
        "import mevlip.runs.folder as p\n"
        "def broken(*a, **k): raise ZeroDivisionError('planted')\n"
        "p.run_folder = broken\n"
        "from mevlip.cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "predict", str(EXAMPLES), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=HANG, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert last_line(done).startswith("mevlip: error: Internal error (ZeroDivisionError: planted)")


@pytest.mark.parametrize(
    "arguments",
    [["predict"], ["predict", "a", "b", "--device", "tpu"], ["nonsense"], ["predict", "a", "b", "--batch-tokens", "0"]],
)
def test_status_2_for_wrong_usage(arguments: list[str]) -> None:
    done = run_mevlip(*arguments)
    assert done.returncode == 2
    assert "Error:" in last_line(done) and "Traceback" not in done.stderr


def test_status_3_for_a_checkpoint_that_was_altered(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO, tmp_path / "copy"))
    with (folder / "adapters/counting/adapter_model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    done = run_mevlip("predict", EXAMPLES, tmp_path / "out", "--checkpoint", folder)
    assert done.returncode == 3
    assert "adapter 'counting'" in last_line(done) and "fails its checksum" in last_line(done)
    assert "Traceback" not in done.stderr


def test_status_3_for_a_package_that_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['tqdm'] = None\n")
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "submission")])}
    done = run_mevlip("predict", EXAMPLES, tmp_path / "out", env=env)
    assert done.returncode == 3
    assert "The package tqdm cannot be imported" in last_line(done)


@pytest.mark.model
def test_status_3_for_a_gpu_that_is_not_there(tmp_path: Path) -> None:
    done = run_mevlip("predict", EXAMPLES, tmp_path, env={"MEVLIP_DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 3
    assert "--device cuda was asked for" in last_line(done)


@pytest.mark.usefixtures("loaded_once")
def test_status_4_for_more_failures_of_the_model_than_allowed(write_questions: Write, tmp_path: Path) -> None:
    # Unconstrained, the base says plain words where a number is wanted.
    root = write_questions([record("How many cells lie in this field?")])
    options = ["--no-constrain", "--routing", "none"]
    done = run_mevlip("predict", root, tmp_path / "out", *options)
    assert done.returncode == 4
    assert "The model failed on 1 of 1 questions, which have fallback answers; --max-failures 5% allows 0" in last_line(
        done
    )
    assert json.loads((tmp_path / "out/predictions.json").read_bytes())[0]["Answer"] == "53"
    assert call_mevlip("predict", root, tmp_path / "out", *options, env={"MEVLIP_MAX_FAILURES": "1"}).exit_code == 0
    assert call_mevlip("predict", root, tmp_path / "out", "--max-failures", "some").exit_code == 2


@pytest.mark.usefixtures("loaded_once")
def test_an_unreadable_image_is_no_failure_of_the_model(
    write_questions: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_questions([record(image="gone.png")])
    (root / "Xray/set/gone.png").unlink()
    done = call_mevlip("predict", root, tmp_path / "out")
    assert done.exit_code == 0
    assert "image 'gone.png': not found beside its question file" in caplog.text
    assert json.loads((tmp_path / "out/predictions.json").read_bytes())[0]["Answer"] == "A"


def test_status_5_for_an_input_without_questions(tmp_path: Path) -> None:
    done = run_mevlip("predict", tmp_path, tmp_path / "out")
    assert done.returncode == 5
    assert "No question file was found" in last_line(done)


def test_status_6_for_predictions_that_break_the_contract(
    demo_run: tuple[subprocess.CompletedProcess[str], Path], some: Path, tmp_path: Path
) -> None:
    rows = json.loads((demo_run[1] / "predictions.json").read_bytes())
    rows[3]["Answer"] = ""
    rows[7]["Modality"] = "MRI"
    (tmp_path / "p.json").write_text(json.dumps(rows))
    done = run_mevlip("predictions", "check", tmp_path / "p.json", "--input", some)
    assert done.returncode == 6
    listed = [line.split()[:4] for line in done.stdout.splitlines()[2:]]
    assert listed == [["p.json", "3", "Answer", '""'], ["p.json", "7", "Modality", '"MRI"']]
    assert "has 2 faults" in last_line(done)


@pytest.mark.model
def test_status_8_for_a_library_that_breaks_every_question(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from llguidance import hf\n"
        "def refuse(*_, **__): raise ValueError('vocab size too small')\n"
        "hf.from_tokenizer = refuse\n"
    )
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "submission")])}
    done = run_mevlip("predict", EXAMPLES, tmp_path / "out", "--routing", "declared", env=env)
    assert done.returncode == 8, done.stderr
    assert "llguidance cannot compile a grammar (ValueError: vocab size too small)" in last_line(done)
    assert not (tmp_path / "out/predictions.json").exists()


@pytest.mark.usefixtures("loaded_once")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "terminate"])
def test_status_130_for_an_interrupt_and_the_next_run_goes_on(
    tmp_path: Path, sent: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    options = ["--batch-tokens", "1", "--limit", "12", "--routing", "declared"]
    arguments = ["predict", str(EXAMPLES), str(tmp_path), *options]
    command = [sys.executable, "-m", "mevlip", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + HANG
    while not any(path.read_text().count('"answer"') >= 3 for path in journals(tmp_path)):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=HANG)
    assert process.returncode == 130, errors
    assert errors.strip().splitlines()[-1].startswith("mevlip: error: Interrupted. Run the same command again")
    assert not (tmp_path / "predictions.json").exists()
    with caplog.at_level("INFO"):
        assert call_mevlip(*arguments).exit_code == 0
    assert "answers are there from an earlier run" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.json"]


def test_an_interrupt_inside_a_librarys_exec_is_status_130_too(tmp_path: Path) -> None:
    (tmp_path / "entry.py").write_text(
        "import mevlip.runs.folder as p\n"
        "def interrupted(*a, **k): exec('raise KeyboardInterrupt')\n"
        "p.run_folder = interrupted\n"
        "from mevlip.cli.main import main; main()"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "submission")])}
    command = [sys.executable, "-m", "entry", "predict", "a", "b"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=HANG, check=False)
    assert done.returncode == 130 and "Interrupted" in last_line(done)


@pytest.mark.model
def test_quiet_prints_warnings_only(write_questions: Write, tmp_path: Path) -> None:
    done = run_mevlip("predict", write_questions([record()]), tmp_path / "out", "--quiet", "--routing", "declared")
    assert done.returncode == 0
    assert [line.split(":")[1] for line in done.stderr.splitlines()] == [" DEMO CHECKPOINT"]


def test_tasks_are_listed() -> None:
    done = run_mevlip("tasks", "--json")
    assert json.loads(done.stdout)[0]["adapter"] == "classification"
    assert len(run_mevlip("tasks").stdout.splitlines()) == 2 + 7


@pytest.mark.model
def test_doctor_examines_a_good_machine_and_a_bad_checkpoint(tmp_path: Path) -> None:
    done = call_mevlip("doctor", "--checkpoint", "demo")
    assert done.exit_code == 0, done.stdout
    subjects = [line.split()[1] for line in done.stdout.splitlines()]
    assert subjects == ["python", "packages", "bitsandbytes", "gpu", "memory", "checkpoint", "volumes", "dry"]
    folder = Path(shutil.copytree(DEMO, tmp_path / "copy"))
    (folder / "router/model.safetensors").unlink()
    bad = call_mevlip("doctor", "--checkpoint", folder)
    assert isinstance(bad.exception, EnvironmentProblem) and bad.exception.exit_code == 3
    assert "router/model.safetensors is missing" in str(bad.exception)


def test_options_and_settings_agree() -> None:
    """Every setting is an option with the setting's default, choices and help."""
    command = cli.get_command(click.Context(cli), "predict")
    assert command is not None
    own = {"quiet": "", "input_folder": "", "output_folder": ""}
    options = {option.name: option for option in command.params if option.name not in own}
    fields = {**PredictorSettings.model_fields, **RunSettings.model_fields}
    assert set(options) == set(fields) - {"input", "output"}
    values = command.make_context("predict", ["in", "out"]).params
    for name, option in options.items():
        assert isinstance(option, click.Option)
        assert (values[name], option.help) == (fields[name].default, fields[name].description), name
        if isinstance(option.type, click.Choice):
            assert tuple(option.type.choices) == get_args(fields[name].annotation), name


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from mevlip.cli.main import cli\n"
        "cli.main(['--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'numpy', 'PIL', 'peft', 'gliclass'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=HANG, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in cli.list_commands(None):  # type: ignore[arg-type]
        assert name in done.stdout


@pytest.mark.usefixtures("loaded_once")
def test_pictures_of_every_kind_in_one_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The zoo: each picture is answered or its cause named, and none disturbs another."""
    import numpy as np

    from tests.mevlip.flare.test_images import RAMP, png_header

    folder = tmp_path / "in" / "Zoo"
    (folder / "imagesTs").mkdir(parents=True)
    images = folder / "imagesTs"
    plain = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    plain.save(images / "plain.png")
    Image.fromarray((RAMP * 65535).astype(np.uint16)).save(images / "deep.png")
    plain.convert("P").save(images / "palette.png")
    plain.convert("RGBA").save(images / "alpha.png")
    plain.convert("CMYK").save(images / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 8
    plain.save(images / "turned.jpg", exif=exif)
    (images / "wrong.jpg").write_bytes((images / "plain.png").read_bytes())
    (images / "cut.png").write_bytes((images / "plain.png").read_bytes()[:60])
    (images / "empty.png").touch()
    (images / "huge.png").write_bytes(png_header(30000, 30000))
    plain.save(tmp_path / "outside.png")
    (images / "link.png").symlink_to(tmp_path / "outside.png")
    good = ["plain.png", "deep.png", "palette.png", "alpha.png", "cmyk.jpg", "turned.jpg", "wrong.jpg"]
    bad = {
        "cut.png": "cannot be decoded",
        "empty.png": "the file is empty",
        "huge.png": "more than the allowed",
        "link.png": "leaves the input folder",
        "gone.png": "not found",
        "../../outside.png": "absolute paths and '..' are refused",
    }
    records = [record("Report on the lungs in this film.", image=f"imagesVal/{name}") for name in [*good, *bad]]
    (folder / "zoo_questions_test.json").write_text(json.dumps(records))
    done = call_mevlip("predict", tmp_path / "in", tmp_path / "out", "--batch-tokens", "300")
    assert done.exit_code == 0, done.stderr
    rows = json.loads((tmp_path / "out/predictions.json").read_bytes())
    fallback = "No abnormality is seen."
    assert [row["Answer"] == fallback for row in rows] == [False] * len(good) + [True] * len(bad)
    for name, cause in bad.items():
        assert any(name in line and cause in line for line in caplog.text.splitlines()), (name, cause)


def test_every_setting_has_a_variable_that_a_shell_can_set() -> None:
    variables = [option.envvar for option in cli.commands["predict"].params if option.envvar]
    assert "MEVLIP_CONSTRAIN" in variables
    assert all(str(variable).replace("_", "").isalnum() for variable in variables)


def test_what_cannot_be_seen_is_escaped_in_the_table(tmp_path: Path) -> None:
    hidden = "\x1b[2J\u202e\n"
    rows = [record(hidden, hidden, Modality=hidden, Answer=hidden)]
    (tmp_path / "p.json").write_text(json.dumps(rows))
    done = run_mevlip("predictions", "show", tmp_path / "p.json")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 3
    assert done.stdout.replace("\n", "").isprintable() and done.stdout.count("\\x1b[2J\\u202e\\n") == 4


@pytest.mark.timeout(600)
def test_a_pipe_is_not_a_predictions_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = run_mevlip("predictions", "show", tmp_path / "pipe")
    assert done.returncode == 6 and "is a named pipe, not a regular file" in done.stderr


def test_every_option_names_a_kind_of_value_that_people_know() -> None:
    shown = (ROOT / "docs/help.md").read_text("utf-8")  # generated from the commands, and checked to be of today
    assert "--batch-tokens INTEGER" in shown and "--threshold FLOAT" in shown
    assert "ANNOTATED" not in shown
