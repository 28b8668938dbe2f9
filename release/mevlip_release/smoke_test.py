"""Runs the image with the official command and under hardening; checks validity, completeness and ownership."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mevlip.core.errors import ExitCode
from mevlip.flare.questions import PREDICTIONS_NAME, read_input_folder
from mevlip_release.containers import TIME_LIMIT, Line, Ran, run_container
from mevlip_release.docker_client import InvalidImage, get_image
from mevlip_release.profiles import Profile
from mevlip_validation.check import check_file

if TYPE_CHECKING:
    from docker import DockerClient

FOREIGN_USER = 12345
_KILLED = 137
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
HARDENED = Case("hardened", {**_HARDENED, "user": f"{FOREIGN_USER}:0"}, FOREIGN_USER)
READ_ONLY = Case("read-only output", HARDENED.options, FOREIGN_USER, writable=False)


def official(profile: Profile, network: str | None = None) -> Case:
    """The organizers' own line.

    Args:
        profile: Whose.
        network: The network to use where the line allows one; None for the engine's default.
    """
    options: dict[str, Any] = {"user": profile.user} if profile.user else {}
    if not profile.network or network:
        options["network_mode"] = network if profile.network else "none"
    return Case("official command", options, profile.uid)


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
        device: Where it computed, `gpu` or `cpu`, as the container says; empty where it does not.
        gpu: Name of the GPU.
        driver: Version of its driver.
        peak_gpu_mib: Most GPU memory that the process held, in MiB.
        seconds_per_question: Without start and loading.
    """

    case: str
    failure: str
    status: int
    seconds: float
    peak_mib: int
    last_lines: tuple[str, ...] = ()
    questions: int = 0
    device: str = ""
    gpu: str = ""
    driver: str = ""
    peak_gpu_mib: int = 0
    seconds_per_question: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the case passed."""
        return not self.failure

    def plain(self) -> dict[str, Any]:
        """Returns the result as plain values for JSON."""
        return {**asdict(self), "passed": self.passed}


def run_smoke_tests(
    client: DockerClient,
    tag: str,
    inputs: Path,
    profile: Profile,
    cases: Sequence[Case],
    gpu: str = "",
    time_limit: float = TIME_LIMIT,
) -> Iterator[CaseResult]:
    """Runs every case and yields its result.

    Args:
        client: The engine's client.
        tag: Tag of the image.
        inputs: An input folder; the containers get a copy, so it is never changed.
        profile: Whose command and memory limit.
        cases: The cases to run.
        gpu: The GPU to pass, such as `device=0`; none if empty. A container that does not use it fails its case.
        time_limit: Seconds that each case may take.

    Yields:
        One result per case, in order.

    Raises:
        InvalidImage: The engine has no such image, or cannot start it.
        NoEngine: The engine stopped answering.
        InputError: The input folder does not contain a question.
    """
    get_image(client, tag)
    read_input_folder(inputs)
    for case in cases:
        logger.info("running %s: %s", tag, case.name)
        line = Line(profile.command, profile.memory, gpu, time_limit, case.options)
        with work_folder(inputs, case.user) as folder:
            ran = run_container(client, tag, line, folder, modes_of(case))
            failure = find_failure(case, line, ran, folder)
            questions = len(read_input_folder(folder / "inputs").questions) if case.writable and not failure else 0
        yield CaseResult(
            case.name,
            failure,
            ran.status,
            ran.seconds,
            ran.peak_mib,
            ran.last_lines,
            questions,
            ran.device,
            str(ran.gpu.get("name", "")),
            str(ran.gpu.get("driver", "")),
            int(ran.gpu.get("peak_memory_bytes", 0)) >> 20,
            round(ran.seconds_per_question, 3),
        )


def check_results(results: Sequence[CaseResult]) -> None:
    """Raises InvalidImage for the first case that failed."""
    for result in results:
        if not result.passed:
            raise InvalidImage(
                f"{result.case}: {result.failure}",
                "See the container's last lines above; fix the image and test it again.",
            )


@contextlib.contextmanager
def work_folder(inputs: Path, user: int) -> Iterator[Path]:
    """A folder with `inputs`, a copy without ground truth, `outputs` and `report`, for a user to write to."""
    with tempfile.TemporaryDirectory(prefix="mevlip-") as scratch:
        root = Path(scratch)
        root.chmod(0o755)  # readable for the container's user, too
        shutil.copytree(inputs, root / "inputs", ignore=shutil.ignore_patterns("*_withGT.json"))
        for name in ("outputs", "report"):
            (root / name).mkdir()
            if user:
                # Only root can change the owner; the folder is writable for everyone anyway.
                with contextlib.suppress(PermissionError):
                    os.chown(root / name, user, 0)
                (root / name).chmod(0o777)
        yield root


def modes_of(case: Case) -> dict[str, str]:
    """How inputs and outputs are mounted."""
    return {"inputs": "ro" if case.user else "rw", "outputs": "rw" if case.writable else "ro"}


def find_failure(case: Case, line: Line, ran: Ran, folder: Path) -> str:
    """Returns why a run failed its case; empty if it passed."""
    if ran.ended == "time":
        return f"was not done after {line.seconds:g} s"
    if ran.ended == "memory":
        return f"ran out of memory: the limit is {line.memory}"
    if not case.writable:
        if ran.status != ExitCode.ENVIRONMENT:
            return (
                f"exited with status {ran.status}, expected {int(ExitCode.ENVIRONMENT)}: the output folder is read-only"
            )
        reported = any("cannot be written" in text for text in ran.last_lines[-1:])
        return "" if reported else "the last line does not report that the output folder cannot be written"
    if ran.status:
        hint = ": it was killed, perhaps for memory" if ran.status == _KILLED else ""
        return f"exited with status {ran.status}{hint}"
    return check_output(folder, case.user) or _check_device(line, ran)


def check_output(folder: Path, user: int) -> str:
    """Returns what is wrong with a finished run's output; empty if nothing is."""
    outputs = folder / "outputs"
    path = outputs / PREDICTIONS_NAME
    if not path.is_file():
        return f"exited with status 0 but did not write {PREDICTIONS_NAME}"
    if issues := check_file(path, folder / "inputs"):
        first = issues[0]
        return (
            f"invalid {PREDICTIONS_NAME} (issues: {len(issues)}), "
            f"first: field {first.field or '(row)'}: {first.message}"
        )
    if path.stat().st_uid != user:
        return f"{PREDICTIONS_NAME} is owned by user {path.stat().st_uid}, expected {user}"
    others = sorted(other.name for other in outputs.iterdir() if other.name != PREDICTIONS_NAME)
    return f"unexpected files in the output folder: {', '.join(others)}" if others else ""


def _check_device(line: Line, ran: Ran) -> str:
    if not line.gpu or ran.device == "gpu":
        return ""
    if not ran.device:
        return f"--gpu {line.gpu} was passed, but the container does not say where it computed"
    return f"--gpu {line.gpu} was passed, but it computed on the CPU: the GPU did not reach it, or was not used"
