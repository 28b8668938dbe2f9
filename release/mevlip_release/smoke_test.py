"""Runs the image with the official command and under hardening; checks validity, completeness and ownership."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mevlip.core.errors import ExitCode
from mevlip.flare.questions import PREDICTIONS_NAME, read_input_folder
from mevlip_release.docker_client import InvalidImage, get_image
from mevlip_validation.check import check_file

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

COMMAND = ("/bin/bash", "-c", "sh predict.sh")
"""The command of the organizers."""
MEMORY_LIMIT = "28g"
FOREIGN_USER = 12345
TIMEOUT_SECONDS = 3600
_LAST_LINES = 15
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Case:
    """One way of running the image.

    Attributes:
        name: Its name.
        options: Container options, besides command, mounts and memory limit.
        user: Expected owner of the output (uid).
        writable: Whether the output folder is writable; if not, the run must fail and name the cause.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    user: int = 0
    writable: bool = True


_HARDENED = {
    "network_mode": "none",
    "read_only": True,
    "tmpfs": {"/tmp": ""},  # noqa: S108 - inside the container
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "shm_size": "64m",
    "pids_limit": 512,
}
CASES = (
    Case("official command"),
    Case("hardened", {**_HARDENED, "user": f"{FOREIGN_USER}:0"}, FOREIGN_USER),
    Case("read-only output", {**_HARDENED, "user": f"{FOREIGN_USER}:0"}, FOREIGN_USER, writable=False),
)


@dataclass(frozen=True)
class CaseResult:
    """The result of one case.

    Attributes:
        case: Name of the case.
        failure: Why the case failed; empty if it passed.
        status: Exit status of the container.
        seconds: Duration of the run.
        peak_mib: Peak of the sampled memory use in MiB; 0 if the engine does not report it.
        last_lines: Last lines of the container's log.
        questions: Number of answered questions.
    """

    case: str
    failure: str
    status: int
    seconds: float
    peak_mib: int
    last_lines: tuple[str, ...]
    questions: int

    @property
    def passed(self) -> bool:
        """Whether the case passed."""
        return not self.failure

    def plain(self) -> dict[str, Any]:
        """Returns the result as plain values for JSON."""
        return {**asdict(self), "passed": self.passed}


def run_smoke_tests(
    client: DockerClient, tag: str, inputs: Path, cases: Sequence[Case] = CASES, gpu: str = ""
) -> Iterator[CaseResult]:
    """Runs every case and yields its result.

    Args:
        client: The engine's client.
        tag: Tag of the image.
        inputs: An input folder; the containers get a copy, so it is never changed.
        cases: The cases to run.
        gpu: The GPU to pass, such as `device=0`; none if empty.

    Yields:
        One result per case, in order.

    Raises:
        InvalidImage: The engine has no such image, or cannot start it.
        InputError: The input folder does not contain a question.
    """
    get_image(client, tag)
    read_input_folder(inputs)
    for case in cases:
        logger.info("running %s: %s", tag, case.name)
        with tempfile.TemporaryDirectory(prefix="mevlip-") as scratch:
            root = Path(scratch)
            root.chmod(0o755)  # readable for the container's user, too
            shutil.copytree(inputs, root / "inputs", ignore=shutil.ignore_patterns("*_withGT.json"))
            yield _run_case(client, tag, root, case, gpu)


def check_results(results: Sequence[CaseResult]) -> None:
    """Raises InvalidImage for the first case that failed."""
    for result in results:
        if not result.passed:
            raise InvalidImage(
                f"{result.case}: {result.failure}",
                "See the container's last lines above; fix the image and test it again.",
            )


def _run_case(client: DockerClient, tag: str, root: Path, case: Case, gpu: str) -> CaseResult:
    inputs, outputs = root / "inputs", root / "outputs"
    outputs.mkdir()
    if case.user:
        # Only root can change the owner; the folder is writable for everyone anyway.
        with contextlib.suppress(PermissionError):
            os.chown(outputs, case.user, 0)
        outputs.chmod(0o777)
    container = _start(client, tag, case, gpu, root)
    started, monitor = time.monotonic(), _MemoryMonitor(container)
    try:
        status = int(container.wait(timeout=TIMEOUT_SECONDS)["StatusCode"])
        seconds = time.monotonic() - started
        lines = tuple(container.logs().decode("utf-8", "replace").splitlines()[-_LAST_LINES:])
    finally:
        monitor.stop()
        container.remove(force=True)
    failure = _find_failure(case, status, outputs, inputs, lines)
    questions = len(read_input_folder(inputs).questions) if case.writable and not failure else 0
    return CaseResult(case.name, failure, status, round(seconds, 1), monitor.peak_mib, lines, questions)


def _start(client: DockerClient, tag: str, case: Case, gpu: str, root: Path) -> Container:
    from docker.errors import APIError
    from docker.types import DeviceRequest

    modes = {"inputs": "ro" if case.user else "rw", "outputs": "rw" if case.writable else "ro"}
    volumes = {str(root / name): {"bind": f"/workspace/{name}", "mode": mode} for name, mode in modes.items()}
    options = {"mem_limit": MEMORY_LIMIT, "volumes": volumes, "detach": True, **case.options}
    if gpu:
        name, _, value = gpu.partition("=")
        wanted: dict[str, Any] = {"device_ids": value.split(",")} if name == "device" else {"count": -1}
        options["device_requests"] = [DeviceRequest(driver="nvidia", capabilities=[["gpu"]], **wanted)]
    try:
        return client.containers.run(tag, list(COMMAND), **options)
    except APIError as error:
        raise InvalidImage(
            f"{case.name}: the engine cannot start {tag} ({error.explanation})",
            "Pass --gpu only if the engine has access to a GPU, and --network none if it has no bridge network.",
        ) from error


def _find_failure(case: Case, status: int, outputs: Path, inputs: Path, lines: Sequence[str]) -> str:
    """Returns why a finished run failed its case; empty if it passed."""
    if not case.writable:
        if status != ExitCode.ENVIRONMENT:
            return f"exited with status {status}, expected {int(ExitCode.ENVIRONMENT)}: the output folder is read-only"
        reported = any("cannot be written" in line for line in lines[-1:])
        return "" if reported else "the last line does not report that the output folder cannot be written"
    if status:
        return f"exited with status {status}"
    path = outputs / PREDICTIONS_NAME
    if not path.is_file():
        return f"exited with status 0 but did not write {PREDICTIONS_NAME}"
    if issues := check_file(path, inputs):
        first = issues[0]
        return (
            f"invalid {PREDICTIONS_NAME} (issues: {len(issues)}), "
            f"first: field {first.field or '(row)'}: {first.message}"
        )
    if path.stat().st_uid != case.user:
        return f"{PREDICTIONS_NAME} is owned by user {path.stat().st_uid}, expected {case.user}"
    others = sorted(other.name for other in outputs.iterdir() if other.name != PREDICTIONS_NAME)
    return f"unexpected files in the output folder: {', '.join(others)}" if others else ""


class _MemoryMonitor:
    """Samples the memory use of a container in a thread."""

    def __init__(self, container: Container) -> None:
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, args=(container,), daemon=True)
        self._thread.start()

    @property
    def peak_mib(self) -> int:
        """Highest sampled memory use in MiB."""
        return self._peak >> 20

    def stop(self) -> None:
        """Stops sampling."""
        self._done.set()
        self._thread.join(10)

    def _sample(self, container: Container) -> None:
        from docker.errors import APIError

        while not self._done.wait(0.2):
            try:
                memory = container.stats(stream=False, one_shot=True).get("memory_stats", {})
            except (APIError, json.JSONDecodeError):  # the container has just exited
                return
            self._peak = max(self._peak, memory.get("max_usage", 0), memory.get("usage", 0))
