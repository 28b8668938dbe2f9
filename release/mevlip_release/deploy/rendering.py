"""Filling the templates: every value is quoted for the language that it is put into."""

from __future__ import annotations

import os
import re
import shlex
import string
import unicodedata
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

_REFUSED = {"Cc", "Cs", "Zl", "Zp"}
_REFERENCE = re.compile(r"[A-Za-z0-9./][A-Za-z0-9._/:@+-]*", re.ASCII)
_CLAIM = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_TIME = re.compile(r"([0-9]{1,3}):([0-5][0-9]):([0-5][0-9])", re.ASCII)
_MEMORY = re.compile(r"[1-9][0-9]{0,4}[GM]", re.ASCII)
_IN_IMAGE = ("/workspace/inputs", "/workspace/outputs")


class _Template(string.Template):
    delimiter = "@@"


@dataclass(frozen=True)
class Needs:
    """What one predictor needs.

    Attributes:
        gpus: GPUs.
        memory: Memory, such as `28G`.
        time: The longest time, as `HH:MM:SS`.
    """

    gpus: int = 1
    memory: str = "28G"
    time: str = "24:00:00"

    def __post_init__(self) -> None:
        _demand(_MEMORY.fullmatch(self.memory), f"{self.memory!r} is not a memory size such as 28G")
        _demand(_TIME.fullmatch(self.time) and self.seconds, f"{self.time!r} is not a time such as 24:00:00")

    @property
    def seconds(self) -> int:
        """The longest time in seconds."""
        hours, minutes, seconds = map(int, self.time.split(":"))
        return (hours * 60 + minutes) * 60 + seconds


def slurm(source: Path, output: Path, shards: int, needs: Needs, image: Path | None = None) -> str:
    """A SLURM array script: one task with one predictor for each shard, and the merge.

    Args:
        source: The input folder.
        output: The output folder.
        shards: How many parts the questions are divided into.
        needs: What each task needs.
        image: An Apptainer image; None for the `mevlip` command of the environment that submits the script.

    Raises:
        ValueError: A value cannot be put into the script.
    """
    seen = _IN_IMAGE if image else (_absolute(source), _absolute(output))
    command = (
        ["apptainer", "exec", *_container(source, output, needs), "--pwd", "/app", "--env", "PYTHONPATH=submission",
         _absolute(image), "python3", "-P", "-m", "mevlip"]
        if image else ["mevlip"]
    )  # fmt: skip
    return _fill(
        "slurm.sh",
        shards=str(shards),
        gres=f"gpu:{needs.gpus}" if needs.gpus else "none",
        memory=needs.memory,
        time=needs.time,
        mevlip=shlex.join(command),
        output_folder=shlex.quote(_absolute(output)),
        input=shlex.quote(seen[0]),
        output=shlex.quote(seen[1]),
    )


def kubernetes(image: str, source: str, output: str, shards: int, needs: Needs) -> str:
    """A Kubernetes manifest: an indexed job with a pod for each shard, and a suspended job for the merge.

    Args:
        image: The image's reference.
        source: Name of the persistent volume claim that holds the input.
        output: Name of the claim that receives the output.
        shards: How many parts the questions are divided into.
        needs: What each pod needs.

    Raises:
        ValueError: A value cannot be put into the manifest.
    """
    for claim in (source, output):
        _demand(_CLAIM.fullmatch(claim), f"{claim!r} is not a name of a persistent volume claim")
    _demand(_REFERENCE.fullmatch(image), f"{image!r} is not a reference of an image")
    return _fill(
        "k8s.yaml",
        image=quote_yaml(image),
        input=quote_yaml(source),
        output=quote_yaml(output),
        shards=str(shards),
        seconds=str(needs.seconds),
        memory=f"{needs.memory}i",
        gpus=str(needs.gpus),
    )


def apptainer(image: str, source: Path, output: Path, needs: Needs) -> str:
    """An Apptainer definition that wraps the image; its help has the command that runs it.

    Args:
        image: The image's reference in a Docker engine, or the path of its archive, which ends in .tar or .tar.gz.
        source: The input folder.
        output: The output folder.
        needs: What the predictor needs.

    Raises:
        ValueError: A value cannot be put into the definition.
    """
    _demand(_REFERENCE.fullmatch(image), f"{image!r} is not a reference or an archive of an image")
    run = shlex.join(["apptainer", "run", *_container(source, output, needs), "me-vlip.sif"])
    _demand("{{" not in run, "Apptainer replaces '{{' in definitions; name a path without it")
    archive = image.endswith((".tar", ".tar.gz"))
    return _fill("apptainer.def", bootstrap="docker-archive" if archive else "docker-daemon", image=image, run=run)


def compose(image: str, source: Path, output: Path, needs: Needs) -> str:
    """A Docker Compose file with one predictor, hardened, that runs as the user who renders it.

    Args:
        image: The image's reference.
        source: The input folder.
        output: The output folder, which must exist.
        needs: What the predictor needs.

    Raises:
        ValueError: A value cannot be put into the file.
    """
    _demand(_REFERENCE.fullmatch(image), f"{image!r} is not a reference of an image")
    device = f"[{{driver: nvidia, count: {needs.gpus}, capabilities: [gpu]}}]"
    return _fill(
        "compose.yaml",
        image=quote_yaml(image),
        user=quote_yaml(f"{os.getuid()}:{os.getgid()}"),
        input=_quote_compose(_absolute(source)),
        output=_quote_compose(_absolute(output)),
        memory=needs.memory.lower(),
        devices=device if needs.gpus else "[]",
    )


def quote_yaml(text: str) -> str:
    """A text as a double-quoted YAML scalar of plain ASCII."""
    return '"' + "".join(map(_escape, text)) + '"'


def _escape(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if " " <= char <= "~" else f"\\U{ord(char):08X}"


def _quote_compose(text: str) -> str:
    return quote_yaml(text.replace("$", "$$"))  # or Compose would look for a variable


def _container(source: Path, output: Path, needs: Needs) -> list[str]:
    """Apptainer's options: nothing of the host but both folders."""
    folders = [_absolute(source), _absolute(output)]
    for folder in folders:
        _demand(not set(folder) & set(":,"), f"Apptainer cannot bind {folder!r}: it has a colon or a comma")
    binds = ["--bind", f"{folders[0]}:{_IN_IMAGE[0]}:ro", "--bind", f"{folders[1]}:{_IN_IMAGE[1]}"]
    return [*(["--nv"] if needs.gpus else []), "--containall", *binds]


def _absolute(path: Path) -> str:
    text = os.path.abspath(path)  # noqa: PTH100 - links stay as they are named
    _demand(
        not any(unicodedata.category(char) in _REFUSED for char in text),
        f"{text!r} has a line break, a control character or a byte that is not text",
    )
    return text


def _demand(holds: object, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _fill(name: str, **values: str) -> str:
    text = resources.files("mevlip_release.deploy").joinpath("templates", name).read_text("utf-8")
    return _Template(text).substitute(values)
