"""Rehearses a submission: the archive to be uploaded goes through what a challenge will do with it, and worse."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mevlip import __version__
from mevlip.core import memory
from mevlip.core.files import file_sha256, write_text_atomically
from mevlip.flare.questions import PREDICTIONS_NAME
from mevlip.runs.journal import journals
from mevlip_release import labels
from mevlip_release.containers import TIME_LIMIT, Line, Ran, run_container
from mevlip_release.docker_client import InvalidImage, engine_failures, load_archive
from mevlip_release.inspection import Inspection, inspect_archive
from mevlip_release.profiles import Profile
from mevlip_release.smoke_test import Case, check_output, find_failure, modes_of, official, work_folder

if TYPE_CHECKING:
    from docker import DockerClient

JSON, PAGE = "rehearsal.json", "rehearsal.html"
_NO_GPU = "no GPU was passed: nothing is known about its memory and speed"
_MOST_ROUNDED = 0.1
"""Share of a resumed run's answers that may differ from a whole run's. What is left is asked in other batches, whose
sums are rounded otherwise in bfloat16: of 72 answers of the demo, two boxes moved by a few pixels."""


@dataclass(frozen=True)
class Check:
    """One thing that was tried.

    Attributes:
        name: What.
        passed: Whether it went well; None where it could not be tried.
        detail: What was found.
    """

    name: str
    passed: bool | None
    detail: str

    @property
    def result(self) -> str:
        """The same in words."""
        return "not tried" if self.passed is None else "ok" if self.passed else "FAILED"


@dataclass(frozen=True)
class Rehearsal:
    """What came of a rehearsal.

    Attributes:
        profile: Whose limits.
        archive: The archive: name, size in bytes, sha256.
        image: The image: id, labels, layers' sizes and steps.
        machine: Engine, processor and memory.
        gpu: The GPU passed, as asked for; empty for none.
        checks: What was tried, in order; after one that failed for good nothing more was.
        runs: How each container ended, without its report.
        device: GPU, its driver and peak memory, as the last whole run says; empty without.
        seconds_for_all: Wall seconds for the profile's number of cases, extrapolated; None where no run got so far.
    """

    profile: Profile
    archive: dict[str, Any]
    image: dict[str, Any]
    machine: dict[str, Any]
    gpu: str
    checks: tuple[Check, ...]
    runs: tuple[dict[str, Any], ...]
    device: dict[str, Any]
    seconds_for_all: float | None

    @property
    def passed(self) -> bool:
        """Whether everything that could be tried went well."""
        return all(check.passed is not False for check in self.checks)

    def plain(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **asdict(self),
            "profile": self.profile.model_dump(),
            "version": 1,
            "mevlip": __version__,
            "passed": self.passed,
        }


class _Failed(Exception):
    """Nothing further can be tried."""


class _Stage:
    """A rehearsal on its way."""

    def __init__(self, client: DockerClient, archive: Path, profile: Profile, line: Line, case: Case) -> None:
        self.client, self.archive, self.profile, self.line, self.case = client, archive, profile, line, case
        self.image_id = ""
        self.image: dict[str, Any] = {}
        self.checks: list[Check] = []
        self.runs: list[tuple[str, Ran]] = []
        self.whole: list[Ran] = []

    def check(self, name: str, failure: str, detail: str, *, fatal: bool = False) -> None:
        """Notes what was found; a failure that leaves nothing more to try ends the rehearsal."""
        self.checks.append(Check(name, not failure, failure or detail))
        if failure and fatal:
            raise _Failed

    def examine(self, quiet: bool) -> None:
        """Looks at the archive itself."""
        try:
            found = inspect_archive(self.archive, quiet)
        except InvalidImage as error:
            self.check("archive is whole", error.cause, "", fatal=True)
            raise
        self.image = _describe(found)
        self.check("archive is whole", "", f"{len(found.layers)} layers have the digests that the image lists")
        self.check("no unexpected files", found.unexpected_summary if found.unexpected else "", "none in any layer")
        size, most = self.image["size"] / 1e9, self.profile.image_gb
        limit = f"{size:.2f} GB, the limit is {most:g} GB" if most else f"{size:.2f} GB, no limit is known"
        self.check("image size", limit if most and size > most else "", limit)

    def load(self) -> None:
        """Hands the archive to the engine."""
        try:
            loaded = load_archive(self.client, self.archive)
        except InvalidImage as error:
            self.check("engine loads it", error.cause, "", fatal=True)
            raise
        self.image_id = str(loaded.id)
        tags = ", ".join(loaded.tags)
        self.check("engine loads it", "" if tags else "it has no name: save it by one, such as team:latest", tags)

    def run(self, name: str, folder: Path) -> Ran:
        """Runs the line once to its end and checks what comes out."""
        ran = run_container(self.client, self.image_id, self.line, folder, modes_of(self.case))
        self.runs.append((name, ran))
        failure = find_failure(self.case, self.line, ran, folder)
        where = ran.gpu.get("name") or {"cpu": "the CPU", "": "it does not say where"}[ran.device]
        self.whole.append(ran)
        self.check(name, failure, f"{ran.questions} answers in {ran.seconds:g} s on {where}", fatal=True)
        return ran

    def run_and_kill(self, folder: Path, wanted: bytes) -> None:
        """Kills a run in the middle, and lets the next one finish it."""
        outputs = folder / "outputs"

        def some_are_kept() -> bool:
            return any(b'"answer"' in path.read_bytes() for path in journals(outputs))

        name = "killed and resumed"
        modes = modes_of(self.case)
        killed = run_container(self.client, self.image_id, self.line, folder, modes, some_are_kept)
        self.runs.append(("killed", killed))
        if killed.ended != "killed":
            cause = "it was over before it could be killed: rehearse with an --input of more questions"
            self.check(name, cause if not killed.status else f"exited with status {killed.status}", "")
            return
        again = run_container(self.client, self.image_id, self.line, folder, modes)
        self.runs.append(("resumed", again))
        failure = f"exited with status {again.status}" if again.status else check_output(folder, self.case.user)
        told = "the same bytes came out"
        if not failure:
            differing, asked = count_differing((outputs / PREDICTIONS_NAME).read_bytes(), wanted)
            if differing:
                told = f"{differing} of {asked} answers differ from those of a whole run"
            if differing > _MOST_ROUNDED * asked:
                failure = told
        kept = int(again.report.get("resumed", 0))
        self.check(name, failure, f"{kept} answers were kept, {told}")

    def measure(self, ran: Ran) -> float:
        """Compares memory and time with the profile's limits; returns seconds for all its cases."""
        peak, most = int(ran.gpu.get("peak_memory_bytes", 0)) / 1e9, self.profile.gpu_gb
        if ran.gpu:
            told = f"{peak:.2f} GB" + (f" of {most:g} GB" if most else "")
            self.check("GPU memory", told if most and peak > most else "", told)
        else:
            self.checks.append(Check("GPU memory", None, _NO_GPU))
        self.check("main memory", "", f"{ran.peak_mib} MiB with file pages, the limit is {self.line.memory}")
        whole = statistics.median(run.seconds_for(self.profile.cases) for run in self.whole)
        each = whole / self.profile.cases
        told = f"{each:.2f} s per case, {whole / 3600:.2f} h for {self.profile.cases} cases like these on this machine"
        most_seconds = self.profile.seconds_per_case
        late = most_seconds is not None and each > most_seconds
        self.check("time", f"{told}; the limit is {most_seconds} s per case" if late else "", told)
        return whole


def rehearse(
    client: DockerClient,
    archive: Path,
    profile: Profile,
    inputs: Path,
    gpu: str = "",
    network: str | None = None,
    time_limit: float = TIME_LIMIT,
    quiet: bool = True,
) -> Rehearsal:
    """Takes an archive through what a challenge will do with it.

    It is read and verified layer by layer, loaded, run twice in the profile's line, whose outputs must be the same
    bytes, killed once and resumed.

    Args:
        client: The engine's client.
        archive: The archive to be uploaded.
        profile: The challenge.
        inputs: An input folder; containers get copies.
        gpu: The GPU to pass; a container that does not use it fails.
        network: Network of a line that allows one; None for the engine's default.
        time_limit: Seconds that each run may take.
        quiet: Whether to hide the progress bar.

    Raises:
        InvalidImage: The engine cannot start the image.
        NoEngine: The engine stopped answering.
        InputError: The input folder does not contain a question.
    """
    case = official(profile, network)
    stage = _Stage(client, archive, profile, Line(profile.command, profile.memory, gpu, time_limit, case.options), case)
    seconds = None
    with suppress(_Failed):  # the check that failed says why
        stage.examine(quiet)
        stage.load()
        with work_folder(inputs, case.user) as folder:
            stage.run("first run", folder)
            first = (folder / "outputs" / PREDICTIONS_NAME).read_bytes()
        with work_folder(inputs, case.user) as folder:
            last = stage.run("second run", folder)
            second = (folder / "outputs" / PREDICTIONS_NAME).read_bytes()
        stage.check("both runs agree", "" if first == second else "their predictions differ", "the same bytes")
        with work_folder(inputs, case.user) as folder:
            stage.run_and_kill(folder, first)
        seconds = stage.measure(last)
    return Rehearsal(
        profile,
        {"name": archive.name, "size": archive.stat().st_size, "sha256": file_sha256(archive)},
        stage.image,
        _describe_machine(client),
        gpu,
        tuple(stage.checks),
        tuple({"name": name, **_plain(ran)} for name, ran in stage.runs),
        dict(next((ran.gpu for name, ran in reversed(stage.runs) if ran.gpu), {})),
        seconds,
    )


def write_rehearsal(rehearsal: Rehearsal, out: Path) -> tuple[Path, Path]:
    """Writes a rehearsal as JSON and as a page; returns both files.

    Raises:
        EnvironmentProblem: The folder cannot be written, or the extra for pages is missing.
    """
    from mevlip_validation.report.page import write_page

    write_text_atomically(out / JSON, json.dumps(rehearsal.plain(), indent=1) + "\n")
    write_page(
        out / PAGE,
        "rehearsal",
        folder=Path(__file__).parent,
        rehearsal=rehearsal,
        facts=list(_facts(rehearsal)),
        layers=[
            (f"{layer['size'] / 1e6:.1f}", layer["step"], layer["digest"])
            for layer in rehearsal.image.get("layers", [])
        ],
        runs=[_row(run) for run in rehearsal.runs],
    )
    return out / JSON, out / PAGE


def _facts(rehearsal: Rehearsal) -> Iterator[tuple[str, str]]:
    recorded = rehearsal.image.get("labels", {})
    version, revision = (recorded.get(name, "?") for name in (labels.VERSION, labels.REVISION))
    profile, machine, device = rehearsal.profile, rehearsal.machine, rehearsal.device
    yield "archive", f"{rehearsal.archive['name']}, {rehearsal.archive['size'] / 1e9:.3f} GB"
    yield "sha256", rehearsal.archive["sha256"]
    yield "image", rehearsal.image.get("id", "not read")
    yield "code", f"{version}, {revision}"
    yield "checkpoint", recorded.get(labels.CHECKPOINT, "?")
    network = "the engine's network" if profile.network else "no network"
    yield "line", f"/bin/bash -c {profile.command!r}, memory {profile.memory}, {network}"
    if device:
        peak = device.get("peak_memory_bytes", 0) / 1e9
        yield "GPU", f"{device.get('name')}, driver {device.get('driver')}, peak {peak:.2f} GB"
    else:
        yield "GPU", f"{rehearsal.gpu} was passed and not used" if rehearsal.gpu else _NO_GPU
    free = f"{machine['memory'] / 1e9:.0f} GB free"
    yield "machine", f"{machine['processor']}, {machine['processors']} CPUs, {free}; {machine['engine']}"


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    names = ("name", "ended", "status", "questions", "seconds", "seconds_per_question", "peak_mib", "device")
    # A run that was killed leaves no report to know them from.
    unknown = () if run["questions"] else ("questions", "seconds_per_question")
    return tuple("" if name in unknown else str(run[name]) for name in names)


def _plain(ran: Ran) -> dict[str, Any]:
    plain = {name: value for name, value in vars(ran).items() if name != "report"}
    more = {"device": ran.device, "questions": ran.questions}
    return {**plain, **more, "seconds_per_question": round(ran.seconds_per_question, 3)}


def _describe(found: Inspection) -> dict[str, Any]:
    layers = [{"digest": layer.digest, "size": layer.size, "step": layer.short_step} for layer in found.layers]
    return {"id": found.id, "size": sum(layer.size for layer in found.layers), "labels": found.labels, "layers": layers}


def _describe_machine(client: DockerClient) -> dict[str, Any]:
    with engine_failures():
        engine = client.version()
    return {
        "engine": f"{engine.get('Platform', {}).get('Name') or 'docker'} {engine['Version']}",
        "processor": platform.processor() or platform.machine(),
        "processors": os.cpu_count() or 1,
        "memory": memory.available(),
        "platform": platform.platform(),
    }


def count_differing(first: bytes, second: bytes) -> tuple[int, int]:
    """Of two predictions files of one input folder, how many records differ, and how many there are."""
    pairs = list(zip(json.loads(first), json.loads(second), strict=True))
    return sum(one != other for one, other in pairs), len(pairs)
