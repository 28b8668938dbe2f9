"""A fake Docker client: the part of the SDK's interface that testing and saving an image need.

Its containers are functions of the mounted folders; the tests on a real engine check the same behavior.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker.errors

Program = Callable[[Path, Path], tuple[int, str]]
"""Takes the input and the output folder, returns exit status and log."""


class FakeContainer:
    """A container that has already run, or one that runs until it is killed."""

    def __init__(self, status: int, output: str, *, hangs: bool = False, oom: bool = False) -> None:
        self.status = "running" if hangs else "exited"
        self.attrs = {"State": {"ExitCode": status, "OOMKilled": oom}}
        self.output, self.removed = output, False

    def reload(self) -> None:
        """It is as it is."""

    def kill(self) -> None:
        self.status, self.attrs["State"]["ExitCode"] = "exited", 137

    def logs(self, tail: int) -> bytes:
        return "\n".join(self.output.splitlines()[-tail:]).encode()

    def stats(self, **options: Any) -> dict[str, Any]:
        return {"memory_stats": {"usage": 300 << 20, "max_usage": 400 << 20}}

    def remove(self, force: bool) -> None:
        self.removed = True


class FakeImage:
    """An image whose archive was made by hand."""

    def __init__(self, archive: bytes = b"") -> None:
        self.id, self.attrs, self.tags = "sha256:1", {"Size": len(archive)}, ["team:latest"]
        self.content = archive

    def save(self, named: str, chunk_size: int = 1 << 20) -> Iterator[bytes]:
        yield self.content


class FakeDockerClient:
    """A client of an engine with one image.

    Attributes:
        report: What containers write as their run report; None for none.
        hangs: The runs, counted from 0, that go on until they are killed.
        oom: Whether containers run out of memory.
    """

    def __init__(self, program: Program = lambda inputs, outputs: (0, ""), archive: bytes = b"") -> None:
        self.images = self.containers = self
        self.image = FakeImage(archive)
        self.program = program
        self.loads: list[str] = ["sha256:1"]
        self.started: list[tuple[Any, dict[str, Any]]] = []
        self.report: dict[str, Any] | None = {"questions": 1, "gpu": None, "seconds": {"load": 5.0, "answer": 2.0}}
        self.hangs: tuple[int, ...] = ()
        self.oom = False

    def get(self, tag: str) -> FakeImage:
        if not re.match("team|me-vlip", tag):
            raise docker.errors.ImageNotFound("no such image", explanation=f"no such image: {tag}")
        return self.image

    def load(self, file: Any) -> list[FakeImage]:
        assert file.read(2) == b"\x1f\x8b", "gzip"
        loaded = [FakeImage() for _ in self.loads]
        for image, name in zip(loaded, self.loads, strict=True):
            image.id = name
        return loaded

    def version(self) -> dict[str, Any]:
        return {"Version": "1.2", "ApiVersion": "1.41", "Platform": {"Name": "fake"}}

    def run(self, tag: str, command: list[str], **options: Any) -> Any:
        self.started.append((command, options))
        if options.get("device_requests") and not (self.report or {}).get("gpu"):
            raise docker.errors.APIError("no", explanation='could not select device driver "nvidia"')
        places = {volume["bind"].rsplit("/", 1)[-1]: Path(place) for place, volume in options["volumes"].items()}
        number = len(self.started) - 1
        status, output = self.program(places["inputs"], places["outputs"])
        if self.report is not None:
            (places["report"] / "run.json").write_text(json.dumps(self.report))
        return FakeContainer(status, output, hangs=number in self.hangs, oom=self.oom)
