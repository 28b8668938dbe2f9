"""The image on a real engine: built, run with the official command, broken on purpose, stopped, exported."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packageurl import PackageURL

from mevlip.core.files import file_sha256
from mevlip.runs.journal import journals
from mevlip_release.archive import save_image
from mevlip_release.build import build_image, default_base, revision
from mevlip_release.docker_client import InvalidImage, connect
from mevlip_release.inspection import inspect_archive, inspect_image
from mevlip_release.packages import list_packages
from mevlip_release.profiles import PROFILES
from mevlip_release.smoke_test import FOREIGN_USER, HARDENED, CaseResult, run_smoke_tests
from mevlip_training.demo.inputs import write_inputs
from mevlip_validation.check import check_file
from tests.conftest import DEMO, EXAMPLES, ROOT, run_mevlip
from tests.release.private_engine import PrivateEngine

pytestmark = pytest.mark.engine

PROFILE = PROFILES["flare2025"]
COMMAND = ["/bin/bash", "-c", PROFILE.command]
BROKEN = "me-vlip-broken:latest"


@pytest.fixture(scope="module")
def client(image: str) -> Iterator[Any]:
    with connect() as found:
        yield found


def broken(client: Any, image: str, step: str) -> None:
    """Builds an image in which one thing is wrong."""
    client.images.build(fileobj=io.BytesIO(f"FROM {image}\nRUN {step}\n".encode()), tag=BROKEN, rm=True)


def test_all_cases_pass(engine: PrivateEngine, image: str, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    done = run_mevlip("image", "test", "--tag", image, *engine.run_options, "--json", output, cwd=ROOT)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(output.read_text())
    assert [(one["status"], one["questions"], one["passed"]) for one in results] == [
        (0, 54, True),
        (0, 54, True),
        (3, 0, True),
    ]
    assert all(one["peak_mib"] > 200 for one in results[:2])


def test_two_gigabytes_of_memory_are_enough_for_the_demo(client: Any, image: str) -> None:
    """Without a network, with 64 MB of shared memory, for a user who has no entry in /etc/passwd."""
    small = {**HARDENED.options, "memswap_limit": "2g"}
    assert (small["network_mode"], small["shm_size"]) == ("none", "64m")
    [result] = run_smoke_tests(
        client, image, EXAMPLES, PROFILE.replace(memory="2g"), [replace(HARDENED, options=small)]
    )
    print(f"peak {result.peak_mib} MiB")
    assert result.passed and result.questions == 54, result


@pytest.mark.model
@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl", "qwen3_5", "gemma3"])
def test_an_image_around_another_familys_base_answers(
    engine: PrivateEngine, client: Any, image: str, name: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    """Around a small untrained one, whose boxes need not have an area; all else is built already."""
    tag = f"me-vlip-{name.replace('_', '-')}:latest"
    checkpoint = Path(shutil.copytree(tiny_checkpoint(name), tmp_path / name))
    built = run_mevlip("image", "build", "--tag", tag, "--checkpoint", checkpoint, *engine.build_options, cwd=ROOT)
    assert built.returncode == 0, built.stderr[-3000:]
    lenient = replace(HARDENED, options={**HARDENED.options, "environment": {"MEVLIP_MAX_FAILURES": "30%"}})
    [result] = run_smoke_tests(client, tag, EXAMPLES, PROFILE, [lenient])
    assert result.passed and result.questions == 54, result


_WEIGHTS = "checkpoints/demo/base/model.safetensors"
_CALL = """import urllib.request as u; u.urlopen("http://example.org")"""

FAULTS = {
    "missing predict.sh": ("rm predict.sh", "status 2", "cannot open predict.sh"),
    "bashism": ("sed -i '2i set -o pipefail' predict.sh", "status 2", "pipefail"),
    "missing weight file": (
        "rm checkpoints/demo/adapters/counting/adapter_model.safetensors",
        "status 3",
        "adapters/counting",
    ),
    "corrupted weight": (f"printf x | dd of={_WEIGHTS} bs=1 seek=5000 conv=notrunc", "status 3", "checksum"),
    "network at start": (
        f"echo '{_CALL}' > call.py && echo 'python call.py || exit 9' > predict.sh",
        "status 9",
        "URLError",
    ),
    "output not written": ("echo 'exit 0' > predict.sh", "did not write predictions.json", ""),
    "invalid output": (
        "echo 'echo [] > /workspace/outputs/predictions.json' > predict.sh",
        "invalid predictions.json",
        "",
    ),
}
"""What is done to the image, the failure that the test reports, and what the container logs."""


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_caught_and_reported(client: Any, image: str, name: str) -> None:
    step, failure, logged = FAULTS[name]
    broken(client, image, step)
    [result] = run_smoke_tests(client, BROKEN, EXAMPLES / "Mammography", PROFILE, [HARDENED])
    assert not result.passed and failure in result.failure, result
    assert logged in "\n".join(result.last_lines), result


def test_the_command_ends_with_the_last_lines_and_the_remedy(engine: PrivateEngine, client: Any, image: str) -> None:
    broken(client, image, "rm predict.sh")
    done = run_mevlip("image", "test", "--tag", BROKEN, *engine.run_options, cwd=ROOT)
    assert done.returncode == 6
    *lines, last = done.stderr.strip().splitlines()
    assert "official command: exited with status" in last and "test it again" in last
    assert any("predict.sh" in line for line in lines)


def test_sigterm_ends_within_ten_seconds_and_a_second_run_finishes(client: Any, image: str, tmp_path: Path) -> None:
    write_inputs(tmp_path / "inputs", 3, 6)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    outputs.chmod(0o777)
    volumes = {str(tmp_path / name): {"bind": f"/workspace/{name}", "mode": "rw"} for name in ("inputs", "outputs")}
    options = {**HARDENED.options, "user": f"{FOREIGN_USER}:0", "volumes": volumes, "detach": True}
    container = client.containers.run(image, COMMAND, **options)
    while not (found := journals(outputs)) or found[0].read_text().count('"answer"') < 12:
        time.sleep(0.1)
    started = time.monotonic()
    container.stop(timeout=30)
    took = time.monotonic() - started
    status = container.wait()["StatusCode"]
    container.remove()
    assert took < 10 and status == 130
    [journal] = journals(outputs)
    done = journal.read_text().count("\n") - 1
    second = client.containers.run(image, COMMAND, **{**options, "detach": False}, stderr=True, remove=True)
    assert f"resuming: {done} answers" in second.decode()
    assert check_file(outputs / "predictions.json", tmp_path / "inputs") == []
    assert [path.name for path in outputs.iterdir()] == ["predictions.json"], "no journal and no lock"
    print(f"stopped in {took:.1f} s after {done} of 108 answers")


def test_two_builds_give_the_same_layers(engine: PrivateEngine, client: Any, image: str) -> None:
    again = "me-vlip-again:latest"
    options = {"build_args": engine.build_args, "network": engine.network, "quiet": True, "cache": False}
    build_image(client, again, DEMO, **options)
    first, second = (inspect_image(client, tag) for tag in (image, again))
    assert [layer.digest for layer in first.layers] == [layer.digest for layer in second.layers]


def test_the_image_has_no_unexpected_files(client: Any, image: str) -> None:
    found = client.images.get(image)
    settings = found.attrs["Config"]
    assert not settings.get("Entrypoint") and not settings.get("User") and settings["WorkingDir"] == "/app"
    assert not [line for line in settings["Env"] if "PIP_" in line]
    assert not [one for one in found.history() if "http://" in one["CreatedBy"] and "FIND_LINKS" in one["CreatedBy"]]
    assert settings["Labels"]["org.opencontainers.image.version"]
    done = run_mevlip("image", "show", "--tag", image)  # status 6 where something is unexpected
    print(done.stdout)
    assert done.returncode == 0 and "COPY dir" in done.stdout


@pytest.fixture(scope="module")
def slight(client: Any, image: str) -> str:
    """The tag of an image with the project's files on its base, without packages: it is exported in moments."""
    steps = f"FROM {image} AS whole\nFROM {default_base()}\nCOPY --from=whole /app /app\n"
    tag = "me-vlip-slight:latest"
    client.images.build(fileobj=io.BytesIO(steps.encode()), tag=tag, rm=True)
    return tag


def test_an_image_with_unexpected_files_is_refused(client: Any, slight: str, tmp_path: Path) -> None:
    token = "hf_" + "a1B2" * 9
    litter = "mkdir -p /root/.cache/x && touch /root/.cache/x/y /app/notes.ipynb"
    broken(client, slight, f"{litter} && echo {token} > /app/submission/x.txt")
    client.images.get(BROKEN).tag("me-vlip-unexpected", "latest")
    shown = run_mevlip("image", "show", "--tag", "me-vlip-unexpected:latest", "--json")
    assert shown.returncode == 6 and "unexpected files" in shown.stderr
    kinds = {found["kind"] for found in json.loads(shown.stdout)["unexpected"]}
    assert {"cache", "notebook", "build context", "secret in a file", "secret in the configuration"} <= kinds
    with pytest.raises(InvalidImage, match="unexpected files"):
        save_image(client, "me-vlip-unexpected", tmp_path, [], quiet=True)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def release(engine: PrivateEngine, client: Any, image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release, saved by the command."""
    assert client.images.get(image).tag("me-vlip-team", "latest")
    out = tmp_path_factory.mktemp("release") / "dist"
    started = time.monotonic()
    some = ("--input", EXAMPLES / "Mammography", *engine.run_options)
    done = run_mevlip("image", "save", "me-vlip-team", *some, "--out", out, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    print(done.stdout, f"{time.monotonic() - started:.0f} s")
    return out


def test_the_files_of_a_release_are_right(client: Any, image: str, release: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=release, check=True)
    archive = release / "me-vlip-team.tar.gz"
    head = archive.read_bytes()[:10]
    assert head[3] == 0 and head[4:8] == b"\0\0\0\0", "no name and no time in the gzip header"
    manifest = json.loads((release / "manifest.json").read_text())
    assert manifest["archive"]["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert manifest["image"]["id"] == client.images.get(image).id
    assert manifest["code"]["revision"] == revision() and len(manifest["code"]["lock_sha256"]) == 64
    assert manifest["checkpoint"]["manifest_sha256"] == file_sha256(DEMO / "manifest.json")
    assert "base/model.safetensors" in manifest["checkpoint"]["files"]
    assert len(manifest["checkpoint"]["routes"]) == 8
    assert [one["passed"] for one in manifest["tests"]] == [True] * 3
    sbom = json.loads((release / "sbom.cyclonedx.json").read_text())
    names = {one["name"] for one in sbom["components"]}
    assert (
        sbom["bomFormat"] == "CycloneDX" and {"torch", "transformers", "libc6"} <= names and "llamafactory" not in names
    )


@pytest.mark.parametrize(("profile", "memory"), [("flare2025", "28g"), ("flare2026", "48g")])
def test_a_release_is_rehearsed(
    client: Any, image: str, release: Path, profile: str, memory: str, tmp_path: Path
) -> None:
    write_inputs(tmp_path / "inputs", 3, 4)
    out = tmp_path / "out"
    rehearsed = ["--input", tmp_path / "inputs", "--profile", profile, "--out", out]
    done = run_mevlip("image", "rehearse", release / "me-vlip-team.tar.gz", *rehearsed, cwd=ROOT)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    rehearsal = json.loads((out / "rehearsal.json").read_text())
    assert rehearsal["passed"] and rehearsal["profile"]["memory"] == memory
    assert [run["ended"] for run in rehearsal["runs"]] == ["itself", "itself", "killed", "itself"]
    assert rehearsal["image"]["id"] == client.images.get(image).id and rehearsal["seconds_for_all"] > 60
    assert "Passed, without a GPU" in (out / "rehearsal.html").read_text()


def test_a_release_is_verified_and_a_flipped_byte_found(release: Path, tmp_path: Path) -> None:
    out = shutil.copytree(release, tmp_path / "dist")
    done = run_mevlip("image", "verify", out, cwd=ROOT)
    print(done.stdout)
    assert done.returncode == 0 and "3 of 3 tests had passed" in done.stdout, done.stdout + done.stderr
    archive = out / "me-vlip-team.tar.gz"
    with archive.open("r+b") as file:  # one byte, in the middle of the packages
        file.seek(archive.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(InvalidImage, match="is not a whole image archive|is damaged"):
        inspect_archive(archive)
    done = run_mevlip("image", "verify", out, cwd=ROOT)
    assert done.returncode == 6 and "me-vlip-team.tar.gz has another sha256" in done.stderr


_SCAN = """
import io, json, os, pathlib, subprocess, zipfile
from email import message_from_string
from importlib.metadata import PathDistribution
purl = lambda metadata: [metadata["Name"], metadata["Version"]]
found = {"python": [], "interpreters": []}
for folder, folders, files in os.walk("/"):
    if folder == "/":
        folders[:] = [name for name in folders if name not in ("proc", "sys", "dev")]
    for name in folders:
        if name.endswith((".dist-info", ".egg-info")):
            found["python"].append(purl(PathDistribution(pathlib.Path(folder, name)).metadata))
    for name in files:
        path = os.path.join(folder, name)
        if name.endswith(".whl"):
            with zipfile.ZipFile(path) as wheel:
                own = [one for one in wheel.namelist() if one.count("/") == 1 and one.endswith(".dist-info/METADATA")]
                found["python"].append(purl(message_from_string(wheel.read(own[0]).decode())))
        if folder.endswith("/bin") and name.startswith("python3.") and name[8:].isdigit():
            ask = [path, "-c", "import platform; print(platform.python_version())"]
            found["interpreters"].append(subprocess.run(ask, capture_output=True, text=True).stdout.strip())
query = ["dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\\n"]
found["debian"] = subprocess.run(query, capture_output=True, text=True).stdout.splitlines()
print(json.dumps(found))
"""


def test_the_sbom_lists_what_a_scan_inside_the_image_finds(client: Any, image: str) -> None:
    scan = ["python", "-c", _SCAN]
    found = json.loads(client.containers.run(image, scan, network_mode="none", user="0", remove=True))
    packages = [PackageURL.from_string(one.purl) for one in list_packages(inspect_image(client, image).files)]
    debian = {f"{one.name} {one.version} {one.qualifiers['arch']}" for one in packages if one.type == "deb"}
    assert debian == set(found["debian"]) and len(debian) > 100
    assert {one.version for one in packages if one.type == "generic"} == set(found["interpreters"])
    python = {(one.name, one.version) for one in packages if one.type == "pypi"}
    scanned = {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in found["python"]}
    assert {"pip", "setuptools", "torch"} <= {name for name, _ in scanned} and scanned <= python
    vendored = ["python", "-c", "print(open('/usr/local/lib/python3.11/site-packages/pip/_vendor/vendor.txt').read())"]
    listed = client.containers.run(image, vendored, network_mode="none", remove=True).decode().split()
    pinned = {tuple(line.split("==")) for line in listed if "==" in line}
    assert python - scanned <= {(re.sub(r"[-_.]+", "-", name).lower(), version) for name, version in pinned}
    print(f"{len(python)} Python, {len(debian)} Debian packages")


def test_a_gpu_that_the_engine_accepts_and_does_not_provide_is_a_failure(engine: PrivateEngine, image: str) -> None:
    if not engine.network:
        pytest.skip("this engine may have a GPU")
    some = ["--input", EXAMPLES / "Mammography", "--gpu", "device=0"]
    done = run_mevlip("image", "test", "--tag", image, *engine.run_options, *some, cwd=ROOT)
    assert done.returncode == 6
    assert "--gpu device=0 was passed, but it computed on the CPU" in done.stderr.strip().splitlines()[-1]


def test_memory_that_runs_out_is_told_from_other_failures(client: Any, image: str) -> None:
    profile = PROFILE.replace(memory="200m")
    case = replace(HARDENED, options={**HARDENED.options, "memswap_limit": "200m"})
    [result] = run_smoke_tests(client, image, EXAMPLES / "Mammography", profile, [case])
    assert result.failure == "ran out of memory: the limit is 200m"


def test_a_large_archive_is_refused(client: Any, slight: str, tmp_path: Path) -> None:
    client.images.get(slight).tag("me-vlip-large", "latest")
    with pytest.raises(InvalidImage, match="the limit is 1000"):
        save_image(client, "me-vlip-large", tmp_path, [], max_bytes=1000, quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_never_sent(client: Any, tmp_path: Path) -> None:
    shutil.copytree(DEMO, tmp_path / "demo")
    (tmp_path / "demo/base/model.safetensors").write_bytes(b"short")
    done = run_mevlip("image", "build", "--tag", "never:latest", "--checkpoint", tmp_path / "demo")
    assert done.returncode == 3 and "model.safetensors" in done.stderr


def test_a_missing_image_is_reported(client: Any) -> None:
    done = run_mevlip("image", "test", "--tag", "me-vlip-nowhere:latest", cwd=ROOT)
    assert done.returncode == 6 and "me-vlip-nowhere" in done.stderr and "mevlip image build" in done.stderr


def test_results_know_whether_they_passed() -> None:
    result = CaseResult("x", "", 0, 1.0, 1, (), 1)
    assert result.passed and not replace(result, failure="y").passed
