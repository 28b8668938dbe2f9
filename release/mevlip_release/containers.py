"""Runs a container of an image and watches it: how it ended, what it took, and where it computed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mevlip.core.text import visible
from mevlip_release.docker_client import InvalidImage, engine_failures

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

REPORT = "run.json"
"""The predictor's own report, in a folder beside input and output that only tests mount."""
TIME_LIMIT = 3600.0
"""Seconds that a container may take where nobody says otherwise."""
_LAST_LINES = 15
_ONCE = ("verify", "load")
"""Phases of a run that take as long however many questions there are."""
_POLL_SECONDS = 0.2
_MOST_REPORT_BYTES = 1 << 22


Ended = Literal["itself", "time", "memory", "killed"]


@dataclass(frozen=True)
class Line:
    """How a container is run.

    Attributes:
        command: What `/bin/bash -c` runs.
        memory: Its memory limit, as Docker takes it.
        gpu: The GPU to pass, such as `device=0` or `all`; none if empty.
        seconds: How long it may take.
        options: Further options, by their names in the Docker SDK.
    """

    command: str
    memory: str
    gpu: str = ""
    seconds: float = TIME_LIMIT
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ran:
    """How a container ended, and what it took.

    Attributes:
        status: Its exit status.
        ended: How: by itself, because its time or its memory was over, or because it was killed on purpose.
        seconds: Wall time.
        peak_mib: Peak of the sampled memory use in MiB, with what the kernel keeps of files; 0 if the engine does not
            report it.
        last_lines: Last lines of its log.
        report: What `mevlip predict --run-report` wrote; empty where it did not get so far.
    """

    status: int
    ended: Ended
    seconds: float
    peak_mib: int
    last_lines: tuple[str, ...]
    report: Mapping[str, Any]

    @property
    def gpu(self) -> Mapping[str, Any]:
        """Name, driver and peak memory of the GPU that it used; empty where it used none."""
        return self.report.get("gpu") or {}

    @property
    def device(self) -> str:
        """`gpu`, `cpu`, or empty where the container did not say."""
        return ("gpu" if self.gpu else "cpu") if self.report else ""

    @property
    def seconds_per_question(self) -> float:
        """Seconds of reading, routing, answering and writing; 0 where the container did not say."""
        phases = self.report.get("seconds") or {}
        return float(sum(value for name, value in phases.items() if name not in _ONCE)) / max(self.questions, 1)

    @property
    def questions(self) -> int:
        """Questions answered in this run, as the container says."""
        return int(self.report.get("questions", 0)) - int(self.report.get("resumed", 0))

    def seconds_for(self, questions: int) -> float:
        """Wall time of so many questions, from the time of these: start and loading once, the rest for each."""
        each = self.seconds_per_question
        return self.seconds + each * (questions - self.questions)


def run_container(
    client: DockerClient,
    tag: str,
    line: Line,
    folder: Path,
    modes: Mapping[str, str],
    kill: Callable[[], bool] = lambda: False,
) -> Ran:
    """Runs a container to its end.

    Args:
        client: The engine's client.
        tag: The image.
        line: How.
        folder: Holds the folders `inputs`, `outputs` and `report`, which are mounted.
        modes: `ro` or `rw` for `inputs` and `outputs`.
        kill: Asked now and then; where it says so, the container is killed.

    Raises:
        InvalidImage: The engine cannot start it.
        NoEngine: The engine stopped answering.
    """
    container, started = _start(client, tag, line, folder, modes), time.monotonic()
    with engine_failures():
        try:
            ended, peak = _watch(container, started + line.seconds, kill)
            seconds = time.monotonic() - started
            state = container.attrs["State"]
            status = int(state["ExitCode"])
            if ended == "itself" and state.get("OOMKilled"):
                ended = "memory"
            lines = container.logs(tail=_LAST_LINES).decode("utf-8", "replace").splitlines()
        finally:
            container.remove(force=True)
    report = _read_report(folder / "report" / REPORT)
    return Ran(status, ended, round(seconds, 1), peak >> 20, tuple(visible(one) for one in lines), report)


def _start(client: DockerClient, tag: str, line: Line, folder: Path, modes: Mapping[str, str]) -> Container:
    from docker.errors import APIError
    from docker.types import DeviceRequest

    mounted = {**modes, "report": "rw"}
    options: dict[str, Any] = {
        "mem_limit": line.memory,
        "volumes": {str(folder / name): {"bind": f"/workspace/{name}", "mode": mode} for name, mode in mounted.items()},
        "environment": {"MEVLIP_RUN_REPORT": f"/workspace/report/{REPORT}"},
        "detach": True,
        **line.options,
    }
    if line.gpu:
        name, _, value = line.gpu.partition("=")
        wanted: dict[str, Any] = {"device_ids": value.split(",")} if name == "device" else {"count": -1}
        options["device_requests"] = [DeviceRequest(driver="nvidia", capabilities=[["gpu"]], **wanted)]
    try:
        return client.containers.run(tag, ["/bin/bash", "-c", line.command], **options)
    except APIError as error:
        raise InvalidImage(
            f"The engine cannot start {tag} ({error.explanation})",
            "Pass --gpu only if the engine has access to a GPU, and --network none if it has no bridge network.",
        ) from error


def _watch(container: Container, deadline: float, kill: Callable[[], bool]) -> tuple[Ended, int]:
    """Waits until a container is over, or its time; returns how it ended, and the peak of its memory in bytes."""
    ended: Ended = "itself"
    peak = 0
    while True:
        container.reload()
        if container.status in ("exited", "dead"):
            return ended, peak
        peak = max(peak, _memory(container))
        if ended == "itself":
            ended = "time" if time.monotonic() > deadline else "killed" if kill() else "itself"
            if ended != "itself":
                container.kill()
        time.sleep(_POLL_SECONDS)


def _memory(container: Container) -> int:
    """Bytes that a container holds; 0 where it has just ended."""
    try:
        found = container.stats(stream=False, one_shot=True).get("memory_stats", {})
    except json.JSONDecodeError:
        return 0
    return int(max(found.get("max_usage", 0), found.get("usage", 0)))


def _read_report(path: Path) -> dict[str, Any]:
    """What a container said of itself; it could have written anything."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_REPORT_BYTES:
        return {}
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
