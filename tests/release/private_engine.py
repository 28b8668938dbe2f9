"""A Docker engine for the tests: the one that answers, else a private one, with a base image and wheels to build from.

A private engine has no bridge and does not change the firewall; it lives in one folder and ends with the tests. Its
builds can only reach a folder of wheels on loopback, downloaded with this machine's own pip. It requires root, Debian's
docker.io and mmdebstrap; `EngineAbsent` names what is missing.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mevlip_release.build import default_base
from tests.conftest import HANG, ROOT

PORT = 18765  # fixed: another address would change a build argument, and so a layer

_HOOK = "nvidia-container-runtime-hook"


class EngineAbsent(Exception):
    """No engine answers and none can be started; the message says why."""


@dataclass(frozen=True)
class PrivateEngine:
    """An engine that builds and runs.

    Attributes:
        url: Its address, as DOCKER_HOST.
        build_args: What a build needs to find packages.
        network: The network of builds.
    """

    url: str
    build_args: dict[str, str]
    network: str | None

    @property
    def build_options(self) -> list[str]:
        """The same as options of `mevlip image build`."""
        network = ["--network", self.network] if self.network else []
        return [*network, *(f"--build-arg={name}={value}" for name, value in self.build_args.items())]

    @property
    def run_options(self) -> list[str]:
        """Options of commands that run the image: a private engine has no bridge."""
        return ["--network", "none"] if self.network else []


@contextlib.contextmanager
def private_engine(work: Path) -> Iterator[PrivateEngine]:
    """Provides an engine until the context ends.

    Args:
        work: Folder of a private engine; base image and wheels are kept there for the next run.

    Raises:
        EngineAbsent: No engine answers and none can be started.
    """
    if _answers(None):
        yield PrivateEngine(os.environ.get("DOCKER_HOST", ""), {}, None)
        return
    _require()
    work.mkdir(parents=True, exist_ok=True)
    wheels = _fill_wheelhouse(work / "wheels")
    base = _make_base(work / "base.tar")
    with _daemon(work) as url, _serving(wheels):
        _import_base(url, base)
        address = f"http://127.0.0.1:{PORT}/"
        yield PrivateEngine(url, {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": address}, "host")


def _answers(url: str | None) -> bool:
    import docker

    try:
        client = docker.DockerClient(base_url=url, timeout=10) if url else docker.from_env(timeout=10)
        with contextlib.closing(client):
            return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False


def _require() -> None:
    if os.geteuid() != 0:
        raise EngineAbsent("no Docker engine answers, and only root can start a private one")
    missing = [name for name in ("dockerd", "mmdebstrap") if shutil.which(name) is None]
    if missing:
        raise EngineAbsent(f"no Docker engine answers, and {' and '.join(missing)} are not installed to start one")


def _fill_wheelhouse(folder: Path) -> Path:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", str(folder)]
    pinned = ["--find-links", str(folder), "-c", str(ROOT / "constraints/predict.txt")]
    _run([*fetch, *pinned, *project["dependencies"]], "the wheels cannot be fetched")
    return folder


def _make_base(path: Path) -> Path:
    """Makes a small Debian with Python, laid out like the official Python image, whose name it gets later."""
    if not path.is_file():
        draft = path.with_name("draft.tar")  # mmdebstrap chooses the format by the suffix
        venv = 'chroot "$1" python3.11 -m venv --copies /usr/local'
        tidy = 'rm -f "$1"/usr/lib/python3.11/EXTERNALLY-MANAGED; : > "$1"/etc/resolv.conf; : > "$1"/etc/hostname'
        release = default_base().rpartition("-")[2]
        packages = "python3.11,python3.11-venv,ca-certificates,netbase,tzdata"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io", f"--include={packages}",
                   f"--customize-hook={venv}", f"--customize-hook={tidy}", release, str(draft)]  # fmt: skip
        _run(command, "the stand-in base image cannot be made")
        draft.rename(path)
    return path


@contextlib.contextmanager
def _daemon(work: Path) -> Iterator[str]:
    stub = work / "bin" / _HOOK
    stub.parent.mkdir(exist_ok=True)
    stub.write_text("#!/bin/sh\nexit 0\n")  # makes the engine accept --gpus, without providing a device
    stub.chmod(0o755)
    url = f"unix://{work}/docker.sock"
    alone = ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none"]
    places = {"data-root": work / "data", "exec-root": work / "exec", "pidfile": work / "docker.pid", "host": url}
    command = ["dockerd", *alone, "--group=root", *(f"--{name}={place}" for name, place in places.items())]
    with (work / "dockerd.log").open("w") as log:
        environment = {**os.environ, "PATH": f"{stub.parent}:{os.environ['PATH']}"}
        daemon = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + HANG
        while not _answers(url):
            if daemon.poll() is not None or time.monotonic() > deadline:
                last = (work / "dockerd.log").read_text(errors="replace").strip().splitlines()[-1:]
                raise EngineAbsent(f"a private Docker engine does not start here: {''.join(last)[-300:]}")
            time.sleep(0.2)
        yield url
    finally:
        daemon.terminate()
        daemon.wait(HANG)
        # Its network namespace stays mounted and would keep the folder busy.
        subprocess.run(["umount", str(work / "exec/netns/default")], check=False, capture_output=True)


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[None]:
    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            """Logs nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), functools.partial(Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()


def _import_base(url: str, base: Path) -> None:
    import docker

    with contextlib.closing(docker.DockerClient(base_url=url, timeout=HANG)) as client:
        base_name = default_base()
        if client.images.list(name=base_name):  # importing it again would invalidate the cache of every layer above it
            return
        name, _, tag = base_name.partition(":")
        changes = ["ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "ENV LANG=C.UTF-8",
                   'CMD ["python3"]']  # fmt: skip
        client.api.import_image_from_file(str(base), repository=name, tag=tag, changes=changes)


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineAbsent(f"{failure}: {(done.stderr.strip().splitlines() or ['no message'])[-1][:300]}")
