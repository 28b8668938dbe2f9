"""Every `mevlip` command line in the help and in the docs is right usage; those that need no training are run."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mevlip.cli.main import cli
from mevlip_training.demo.inputs import write_training
from mevlip_training.demo.wordings import DATASETS
from tests.conftest import DEMO, EXAMPLES, ROOT, answer_folder, call_mevlip
from tests.test_repository import commands

PAGES = [ROOT / "README.md", *sorted(ROOT.glob("[a-z]*/*.md"))]
PLACES = {
    "INPUT": EXAMPLES,
    "TRUTH": EXAMPLES,
    "FLARE": EXAMPLES,
    "build/split/validation": EXAMPLES,
    "OUTPUT/predictions.json": "build/demo/predictions.json",
    "A/predictions.json": "build/demo/predictions.json",
    "B/predictions.json": "build/demo/predictions.json",
    "TRAIN": ROOT / "examples/training",
    "build/split": EXAMPLES,
    "build/augmented": EXAMPLES,
    "build/slake": EXAMPLES,
    "build/slake-out/predictions.json": "build/demo/predictions.json",
    "checkpoints/me-vlip": DEMO,
    "A.json": "build/demo/predictions.json",
    "B.json": "build/demo/predictions.json",
    "theirs.json": "build/demo/predictions.json",
    "generalist/predictions.json": "build/demo/predictions.json",
    "routed/predictions.json": "build/demo/predictions.json",
    "examples/inputs": EXAMPLES,
    "inputs": EXAMPLES,
    "outputs/predictions.json": "build/demo/predictions.json",
    "examples/training": ROOT / "examples/training",
    "checkpoints/demo": DEMO,
    "build/recipes/skewed": EXAMPLES,
    "build/recipes/even": EXAMPLES,
    "balanced.yaml": ROOT / "training/mevlip_training/recipes/hexapus-2026.yaml",
    "second-stage.yaml": ROOT / "training/mevlip_training/recipes/list-seu-2026.yaml",
    "ours.yaml": ROOT / "training/mevlip_training/recipes/list-seu-2026.yaml",
}
"""What stands for the names that the examples use."""

RUN = {
    ("data", "check"), ("data", "stats"), ("data", "split"), ("data", "prepare"), ("score",), ("compare",), ("tasks",),
    ("predictions", "check"), ("predictions", "format"), ("predictions", "show"), ("predictions", "zip"),
    ("checkpoint", "check"), ("scan-phi",),
    ("deploy", "slurm"), ("deploy", "k8s"), ("deploy", "apptainer"), ("deploy", "compose"),
}  # fmt: skip
"""Commands whose examples are run here; those of others load a model, train, fetch, or need a container engine."""


def lines() -> Iterator[tuple[str, str]]:
    """Where a command line stands, and its arguments as text, comments taken off."""
    for path, command in commands(cli):
        for found in re.findall(r"Example: mevlip ((?:.*\\\n)*.*)", command.help or ""):
            yield f"help of {' '.join(path)}", found
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").split("\n"):
                if found := re.match(r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?mevlip (.*)", line):
                    yield page.relative_to(ROOT).as_posix(), found[1]


LINES = sorted({(where, shlex.join(shlex.split(text.replace("\\\n", " "), comments=True))) for where, text in lines()})


def resolve(arguments: list[str]) -> tuple[tuple[str, ...], click.Command, list[str]]:
    """The command that a line names, and its own arguments."""
    known = dict(commands(cli))
    path: tuple[str, ...] = ()
    while arguments and (*path, arguments[0]) in known:
        path, arguments = (*path, arguments[0]), arguments[1:]
    return path, known[path], arguments


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a finished run of the demo and other questions, where the runnable examples may write."""
    place = tmp_path_factory.mktemp("examples")
    report = answer_folder(EXAMPLES, place / "build/demo", explanations=place / "OUT/explanations.jsonl")
    assert report.predictions.is_file()
    shutil.copy(report.predictions, place / "OUT")
    write_training(place / "validation", 9, {one.name: 1 for one in DATASETS})
    (place / "llamafactory_configs").symlink_to(ROOT / "llamafactory_configs")
    return place


def test_there_are_examples_of_every_kind() -> None:
    shown = {resolve(shlex.split(text))[0] for _, text in LINES}
    leaves = {path for path, command in commands(cli) if not isinstance(command, click.Group)}
    assert leaves - {("tasks",)} <= shown, leaves - shown


@pytest.mark.parametrize(("where", "text"), LINES)
def test_an_example_is_right_usage(where: str, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Arguments are parsed by the command itself; only that files exist is not asked."""
    _, command, arguments = resolve(shlex.split(text))
    monkeypatch.setattr(click.Path, "convert", lambda self, value, *_: value)
    with contextlib.suppress(click.exceptions.Exit):  # --help
        command.make_context("mevlip", arguments)


@pytest.mark.model
@pytest.mark.parametrize(
    ("where", "text"), [one for one in LINES if resolve(shlex.split(one[1]))[0] in RUN and "--judge" not in one[1]]
)
def test_an_example_runs(where: str, text: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    arguments = [str(PLACES.get(word, word)) for word in shlex.split(text)]
    if "--out" in arguments:
        arguments[arguments.index("--out") + 1] = str(tmp_path / "out")
    if "--tokenizer" in arguments:
        arguments[arguments.index("--tokenizer") + 1] = str(DEMO / "base")
    if "--validation" in arguments:
        arguments[arguments.index("--validation") + 1] = str(folder / "validation")
    done = call_mevlip(*[word.replace("OUT/", f"{folder}/OUT/") for word in arguments])
    assert done.exit_code == 0, (arguments, done.output, done.exception)
