"""Running the image as an organizer does, and harder: what comes out must be valid, complete and theirs."""

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
from mevlip_release.engine import ImageFault, get_image
from mevlip_validation.check import check_file

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

COMMAND = ("/bin/bash", "-c", "sh predict.sh")
"""The organizers' own."""
MEMORY = "28g"
FOREIGN_USER = 12345
LONGEST = 3600
_LAST_LINES = 15
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Case:
    """One way of running the image.

    Attributes:
        name: Its name.
        options: What the container is started with, besides command, mounts and memory.
        user: The user whose the output must be.
        writable: Whether the output folder may be written; where not, the run must say so and fail.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    user: int = 0
    writable: bool = True


_HARD = {
    "network_mode": "none",
    "read_only": True,
    "tmpfs": {"/tmp": ""},  # noqa: S108 - the container's own
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "shm_size": "64m",
    "pids_limit": 512,
}
CASES = (
    Case("organizers' line"),
    Case("hardened, foreign user", {**_HARD, "user": f"{FOREIGN_USER}:0"}, FOREIGN_USER),
    Case("unwritable output", {**_HARD, "user": f"{FOREIGN_USER}:0"}, FOREIGN_USER, writable=False),
)


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        case: Its name.
        fault: What was wrong; empty where nothing was.
        status: The container's exit status.
        seconds: How long it ran.
        peak_mib: The most memory it was seen to use, in MiB; 0 where the engine does not tell.
        last_lines: The end of what it said.
        questions: How many it answered.
    """

    case: str
    fault: str
    status: int
    seconds: float
    peak_mib: int
    last_lines: tuple[str, ...]
    questions: int

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.fault

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "passed": self.passed}


def try_image(
    client: DockerClient, tag: str, inputs: Path, cases: Sequence[Case] = CASES, gpu: str = ""
) -> Iterator[Outcome]:
    """Runs every case and yields what came of it.

    Args:
        client: The engine.
        tag: The image.
        inputs: An input folder; it is copied, so that nothing of it can be changed.
        cases: Which cases.
        gpu: The GPU to give, such as `device=0`; none where empty.

    Raises:
        ImageFault: The engine has no such image.
        InputError: The input folder holds no question.
    """
    get_image(client, tag)
    read_input_folder(inputs)
    for case in cases:
        logger.info("running %s: %s", tag, case.name)
        with tempfile.TemporaryDirectory(prefix="mevlip-") as scratch:
            root = Path(scratch)
            root.chmod(0o755)  # of the container's user, too
            shutil.copytree(inputs, root / "inputs", ignore=shutil.ignore_patterns("*_withGT.json"))
            yield _try(client, tag, root, case, gpu)


def enforce(outcomes: Sequence[Outcome]) -> None:
    """Raises ImageFault for the first case that failed."""
    for one in outcomes:
        if not one.passed:
            raise ImageFault(
                f"{one.case}: {one.fault}",
                "The lines above are the container's last; mend the image and test it again.",
            )


def _try(client: DockerClient, tag: str, root: Path, case: Case, gpu: str) -> Outcome:
    inputs, outputs = root / "inputs", root / "outputs"
    outputs.mkdir()
    if case.user:
        # Without root's rights the folder cannot be given away; it may then be written by all.
        with contextlib.suppress(PermissionError):
            os.chown(outputs, case.user, 0)
        outputs.chmod(0o777)
    container = _start(client, tag, case, gpu, root)
    started, watch = time.monotonic(), _Memory(container)
    try:
        status = int(container.wait(timeout=LONGEST)["StatusCode"])
        seconds = time.monotonic() - started
        lines = tuple(container.logs().decode("utf-8", "replace").splitlines()[-_LAST_LINES:])
    finally:
        watch.stop()
        container.remove(force=True)
    fault = _fault(case, status, outputs, inputs, lines)
    questions = len(read_input_folder(inputs).questions) if case.writable and not fault else 0
    return Outcome(case.name, fault, status, round(seconds, 1), watch.peak_mib, lines, questions)


def _start(client: DockerClient, tag: str, case: Case, gpu: str, root: Path) -> Container:
    from docker.errors import APIError
    from docker.types import DeviceRequest

    modes = {"inputs": "ro" if case.user else "rw", "outputs": "rw" if case.writable else "ro"}
    volumes = {str(root / name): {"bind": f"/workspace/{name}", "mode": mode} for name, mode in modes.items()}
    options = {"mem_limit": MEMORY, "volumes": volumes, "detach": True, **case.options}
    if gpu:
        name, _, value = gpu.partition("=")
        wanted: dict[str, Any] = {"device_ids": value.split(",")} if name == "device" else {"count": -1}
        options["device_requests"] = [DeviceRequest(driver="nvidia", capabilities=[["gpu"]], **wanted)]
    try:
        return client.containers.run(tag, list(COMMAND), **options)
    except APIError as error:
        raise ImageFault(
            f"{case.name}: the engine does not start {tag} ({error.explanation})",
            "Name --gpu only where the engine knows of one, and --network none where it has no bridge.",
        ) from error


def _fault(case: Case, status: int, outputs: Path, inputs: Path, lines: Sequence[str]) -> str:
    """What is wrong with a finished run; empty where nothing is."""
    if not case.writable:
        if status != ExitCode.ENVIRONMENT:
            return f"an output folder that cannot be written gave status {status}, not {int(ExitCode.ENVIRONMENT)}"
        told = any("cannot be written" in line for line in lines[-1:])
        return "" if told else "its last line does not say that the output folder cannot be written"
    if status:
        return f"it left with status {status}"
    path = outputs / PREDICTIONS_NAME
    if not path.is_file():
        return f"it left with status 0 and wrote no {PREDICTIONS_NAME}"
    if faults := check_file(path, inputs):
        first = faults[0]
        return f"{len(faults)} faults in {PREDICTIONS_NAME}; first: field {first.field or '(row)'}: {first.message}"
    if path.stat().st_uid != case.user:
        return f"{PREDICTIONS_NAME} belongs to user {path.stat().st_uid}, not {case.user}"
    others = sorted(other.name for other in outputs.iterdir() if other.name != PREDICTIONS_NAME)
    return f"it left {', '.join(others)} in the output folder" if others else ""


class _Memory:
    """Watches a container's memory in a thread."""

    def __init__(self, container: Container) -> None:
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(container,), daemon=True)
        self._thread.start()

    @property
    def peak_mib(self) -> int:
        """The most that was seen."""
        return self._peak >> 20

    def stop(self) -> None:
        """Ends the watch."""
        self._done.set()
        self._thread.join(10)

    def _watch(self, container: Container) -> None:
        from docker.errors import APIError

        while not self._done.wait(0.2):
            try:
                memory = container.stats(stream=False, one_shot=True).get("memory_stats", {})
            except (APIError, json.JSONDecodeError):  # it has just ended
                return
            self._peak = max(self._peak, memory.get("max_usage", 0), memory.get("usage", 0))
