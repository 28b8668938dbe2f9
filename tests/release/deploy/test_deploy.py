"""What `mevlip deploy` writes is valid, says what was asked for, and works where this machine can run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mevlip_release.deploy import rendering
from mevlip_release.deploy.cli import deploy
from mevlip_release.deploy.rendering import Needs
from tests.conftest import DEMO, HANG, ROOT, FakeModel, answer_folder, copy_two_examples, require_marker

ALWAYS = {"MEVLIP_CHECKPOINT": str(DEMO), "MEVLIP_BATCH_TOKENS": "1", "MEVLIP_ROUTING": "declared"}
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
CASES: dict[str, list[str]] = {
    "slurm": ["--input", "in", "--output", "out", "--shards", "3"],
    "k8s": ["--input", "in", "--output", "out", "--shards", "3"],
    "apptainer": ["--input", "in", "--output", "out"],
    "compose": ["--input", "in", "--output", "out"],
}

PARTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="/"), min_size=1)
NASTY = ("a b", "-rf", "$(touch x)", "`id`", "'\"\\", "$HOME", "${IFS}", "@@{input}", "%n", "é\U0001f600", "*", "#",
         "!", "~", "x: y", "{{ a }}", "\ufeff", "\u00a0", "&anchor", "]", "$$", ";")  # fmt: skip
paths = (
    st.one_of(st.sampled_from(NASTY), PARTS).filter(lambda part: part not in (".", "..")).map(lambda p: Path("/x", p))
)


def call(name: str, *arguments: object) -> Result:
    return CliRunner().invoke(deploy, [name, *map(str, arguments)])


def shellcheck(script: str) -> str:
    command = [str(SHELLCHECK), "--enable=all", "--exclude=SC2250,SC2292,SC2312", "--severity=style", "-"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=HANG, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_printed_or_written_and_nothing_is_left_to_fill_in(name: str, tmp_path: Path) -> None:
    done = call(name, *CASES[name])
    assert done.exit_code == 0 and "@@" not in done.output and f"mevlip deploy {name}" in done.output
    written = call(name, *CASES[name], "--out", tmp_path / "new/file")
    assert written.exit_code == 0 and written.output == "" and (tmp_path / "new/file").read_text() == done.output


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("slurm", ["--memory", "lots"], "'lots' is not a memory size such as 28G"),
        ("slurm", ["--memory", "28G\n#SBATCH --wrap=x"], "is not a memory size"),
        ("slurm", ["--time", "1:99:00"], "'1:99:00' is not a time such as 24:00:00"),
        ("k8s", ["--time", "0:00:00"], "is not a time"),
        ("slurm", ["--input", "a\nb"], "has a line break, a control character"),
        ("slurm", ["--input", "a\udcffb"], "a byte that is not text"),
        ("slurm", ["--image", "x.sif", "--output", "a:b"], "it has a colon or a comma"),
        ("k8s", ["--input", "Not a claim"], "'Not a claim' is not a name of a persistent volume claim"),
        ("k8s", ["--image", "x y"], "'x y' is not a reference of an image"),
        ("apptainer", ["--image", "x\n%post"], "is not a reference or an archive of an image"),
        ("apptainer", ["--output", "{{x}}"], "Apptainer replaces '{{'"),
        ("compose", ["--image", "-x"], "is not a reference of an image"),
        ("compose", ["--gpus", "-1"], "-1 is not in the range"),
        ("slurm", ["--shards", "0"], "0 is not in the range"),
    ],
)
def test_a_value_that_cannot_be_written_is_a_usage_error(name: str, arguments: list[str], message: str) -> None:
    done = call(name, *CASES[name], *arguments)
    assert done.exit_code == 2 and message in done.output, done.output


@given(paths, paths, st.booleans())
@settings(max_examples=40)
@example(Path("/x/'; touch /tmp/x #"), Path("/x/$(id)"), False)
def test_shell_scripts_hold_any_path(source: Path, output: Path, contained: bool) -> None:
    """bash itself says what it reads: the script runs with commands that only print what they are given."""
    if contained and set(f"{source}{output}") & set(":,"):
        return
    script = rendering.slurm(source, output, 2, Needs(), Path("/x/y z.sif") if contained else None)
    fakes = 'mkdir() { printf "%s\\0" "$@"; }; srun() { printf "%s\\0" "$@"; exit; }; exec() { "$@"; }\n'
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "2", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["/bin/bash", "-c", fakes + script], capture_output=True, timeout=HANG, env=environment, check=True
    )
    _, _, made, *given_words = done.stdout.decode().split("\0")[:-1]
    assert made == str(output)
    if contained:
        assert f"{source}:/workspace/inputs:ro" in given_words and f"{output}:/workspace/outputs" in given_words
        assert "/x/y z.sif" in given_words
        source, output = Path("/workspace/inputs"), Path("/workspace/outputs")
    assert given_words[-5:] == ["predict", "--shard=2/2", "--", str(source), f"{output}/shards/2-of-2"]


@given(paths, paths)
@settings(max_examples=40)
def test_compose_files_hold_any_path(source: Path, output: Path) -> None:
    content = yaml.safe_load(rendering.compose("team:latest", source, output, Needs()))
    [inputs, outputs] = content["services"]["predict"]["volumes"]
    assert inputs["source"].replace("$$", "$") == str(source) and inputs["read_only"]
    assert outputs["source"].replace("$$", "$") == str(output)
    assert "$" not in inputs["source"].replace("$$", "")


@given(paths, paths)
@settings(max_examples=40)
def test_apptainer_definitions_hold_any_path_or_refuse_it(source: Path, output: Path) -> None:
    try:
        text = rendering.apptainer("team.tar", source, output, Needs())
    except ValueError:
        assert set(f"{source}{output}") & set(":,") or "{{" in f"{source}{output}"
        return
    lines = text.removesuffix("\n").split("\n")
    assert lines[:2] == ["Bootstrap: docker-archive", "From: team.tar"]
    assert [line for line in lines if line.startswith("%")] == ["%runscript", "%help"]
    done = subprocess.run(
        ["/bin/bash", "-c", f'printf "%s\\0" {lines[-1]}'], capture_output=True, timeout=HANG, check=True
    )
    words = done.stdout.decode().split("\0")
    assert f"{source}:/workspace/inputs:ro" in words


@given(st.text())
def test_a_quoted_text_is_read_as_it_was(text: str) -> None:
    quoted = rendering.quote_yaml(text.encode("utf-8", "replace").decode())
    assert quoted.isascii() and yaml.safe_load(quoted) == text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("image", [[], ["--image", "a b.sif"]])
def test_shellcheck_has_nothing_to_say(image: list[str]) -> None:
    assert shellcheck(call("slurm", *CASES["slurm"], *image).output) == ""
    for script in shell_parts():
        assert shellcheck("#!/bin/sh\n" + script) == ""


def manifest(*arguments: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(call("k8s", *CASES["k8s"], *arguments).output))


def shell_parts(*arguments: str) -> list[str]:
    """The pods' scripts as Kubernetes hands them over."""
    jobs = manifest(*arguments)
    return [
        container["command"][2].replace("$$", "$")
        for job in jobs
        for container in job["spec"]["template"]["spec"]["containers"]
    ]


def test_the_manifest_is_valid_for_kubernetes() -> None:
    jobs = manifest("--gpus", "2", "--memory", "48G", "--time", "1:30:00")
    for job in jobs:
        kubernetes_validate.validate(job, "1.33", strict=True)
    work, merge = (job["spec"] for job in jobs)
    assert (work["completionMode"], work["completions"], work["backoffLimitPerIndex"]) == ("Indexed", 3, 3)
    assert work["activeDeadlineSeconds"] == 5400 and merge["suspend"] is True
    [container] = work["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "48Gi", "nvidia.com/gpu": "2"}
    for pod in (work["template"]["spec"], merge["template"]["spec"]):
        [one] = pod["containers"]
        assert one["securityContext"]["readOnlyRootFilesystem"] and pod["securityContext"]["runAsNonRoot"]
        assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        names = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in one["volumeMounts"]} == names >= {"inputs", "outputs", "tmp"}


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    [work, _] = manifest()
    work["spec"]["completionModes"] = "Indexed"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(work, "1.33", strict=True)


def test_the_compose_file_follows_the_official_command() -> None:
    service = yaml.safe_load(call("compose", *CASES["compose"], "--gpus", "0").output)["services"]["predict"]
    assert service["command"] == ["sh", "predict.sh"] and service["mem_limit"] == "28g"
    assert service["network_mode"] == "none" and service["read_only"] and service["shm_size"] == "64m"
    assert service["deploy"]["resources"]["reservations"]["devices"] == []


def test_docker_compose_reads_the_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no docker with its compose plugin")
    file = tmp_path / "compose.yaml"
    assert call("compose", *CASES["compose"], "--input", tmp_path / "a $b", "--out", file).exit_code == 0
    done = subprocess.run(
        [docker, "compose", "-f", file, "config", "--format", "json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["services"]["predict"]["volumes"][0]["source"] == str(tmp_path / "a $b")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder of commands: `srun` that runs what it is given here, and this checkout's `mevlip` and `python3`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    sources = os.pathsep.join(str(ROOT / name) for name in ("submission", "validation", "training", "release"))
    scripts = {
        "srun": 'exec "$@"',
        "mevlip": f'PYTHONPATH={sources} exec {sys.executable} -P -m mevlip "$@"',
        "python3": f'exec {sys.executable} "$@"',
    }
    for name, line in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    return folder


def runner(tools: Path, cwd: Path) -> Callable[..., None]:
    def run(command: list[str], **variables: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        environment = {**kept, "PATH": f"{tools}:{os.environ['PATH']}", **ALWAYS, **variables}
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=HANG, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr

    require_marker()
    return run


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of the example's data sets, in a folder with a blank in its name."""
    return copy_two_examples(tmp_path_factory.mktemp("some inputs"))


@pytest.fixture(scope="module")
def whole(few: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The predictions of one run."""
    require_marker()
    return answer_folder(
        few, tmp_path_factory.mktemp("whole"), batch_tokens=1, routing="declared"
    ).predictions.read_bytes()


STAND_IN = """
import sys
sys.path.insert(0, {root!r})
from mevlip.cli.main import main
from mevlip.predictor import Predictor
from tests.conftest import FakeModel
Predictor.__init__.__kwdefaults__["load_model"] = lambda *_: FakeModel()
main()
"""
"""The command with a fake model, which is loaded in no time; the pods' scripts, below, run the real one."""


@pytest.mark.model
def test_the_slurm_script_gives_the_same_bytes_as_one_run(few: Path, tools: Path, tmp_path: Path) -> None:
    answer_folder(few, tmp_path / "whole", FakeModel(), batch_tokens=1, routing="declared")
    whole = (tmp_path / "whole/predictions.json").read_bytes()
    (tools / "stand_in.py").write_text(STAND_IN.format(root=str(ROOT)))
    command = (tools / "mevlip").read_text()
    (tools / "mevlip").write_text(command.replace("-m mevlip", f"{tools}/stand_in.py"))
    run = runner(tools, tmp_path)
    script = tmp_path / "predict.sbatch"
    done = call("slurm", "--input", few, "--output", tmp_path / "out put", "--shards", "2", "--out", script)
    assert done.exit_code == 0, done.output
    for task in ("1", "2"):
        run(["bash", str(script)], SLURM_ARRAY_TASK_ID=task, SLURM_ARRAY_TASK_COUNT="2", SLURM_JOB_ID="7")
    run(["bash", str(script), "merge"], SLURM_ARRAY_TASK_ID="1", SLURM_JOB_ID="9")
    assert (tmp_path / "out put/predictions.json").read_bytes() == whole


@pytest.mark.model
def test_the_pods_scripts_give_the_same_bytes_as_one_run(few: Path, whole: bytes, tools: Path, tmp_path: Path) -> None:
    """Run as the pods run them, but for the folders' places: in the folder of predict.sh, by sh."""
    run = runner(tools, ROOT)
    work, merge = (
        script.replace("/workspace/inputs", "$INPUTS").replace("/workspace/outputs", str(tmp_path / "out"))
        .replace("--input=$INPUTS", '--input="$INPUTS"').replace("predict.sh $INPUTS", 'predict.sh "$INPUTS"')
        for script in shell_parts("--shards", "2")
    )  # fmt: skip
    for index in range(2):
        run(["sh", "-c", work], JOB_COMPLETION_INDEX=str(index), INPUTS=str(few))
    run(["sh", "-c", merge], INPUTS=str(few), PYTHONPATH="submission")
    assert (tmp_path / "out/predictions.json").read_bytes() == whole


def test_a_script_that_slurm_did_not_start_says_so(tmp_path: Path) -> None:
    script = call("slurm", *CASES["slurm"], "--output", tmp_path).output
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=kept, check=False)
    assert done.returncode != 0 and "submit this script with sbatch" in done.stderr
