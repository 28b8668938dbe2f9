"""Rules that hold for the code as a whole."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mevlip import __version__
from mevlip.checkpoints.checkpoint import read_checkpoint
from mevlip.cli.main import cli
from tests.conftest import DEMO, ROOT

PACKAGES = ("submission", "validation", "training", "release", "benchmarks")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
SUBMISSION = sorted((ROOT / "submission").rglob("*.py"))
HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "gliclass", "numpy", "PIL"}


TORCH = {"attention.py", "decoding.py", "device.py", "generation.py", "loading.py", "lora.py", "mixing.py",
         "model.py", "packed.py", "qwen2_5_vl.py", "reference.py", "steps.py",
         "thinking.py", "tries.py", "vision.py"}  # fmt: skip
"""Modules that only a loaded model needs, or a base of their family."""


def imported_at_top(path: Path) -> set[str]:
    """Packages that a module imports when it is itself imported."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", SUBMISSION, ids=lambda path: path.name)
def test_only_the_model_imports_heavy_packages_at_the_top(path: Path) -> None:
    if path.name not in TORCH:
        assert not imported_at_top(path) & HEAVY


@pytest.mark.parametrize("path", SUBMISSION, ids=lambda path: path.name)
def test_the_predictor_needs_nothing_that_the_image_lacks(path: Path) -> None:
    assert not imported_at_top(path) & {"mevlip_validation", "mevlip_training", "mevlip_release", "benchmarks", "tests"}


@pytest.mark.parametrize(
    ("package", "above"),
    [("validation", {"mevlip_training", "mevlip_release"}), ("training", {"mevlip_release"})],
)
def test_packages_stand_in_one_order(package: str, above: set[str]) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert not imported_at_top(path) & above, path


@pytest.mark.parametrize("path", sorted((ROOT / "submission/mevlip/tasks").glob("*.py")), ids=lambda path: path.name)
def test_the_task_table_imports_nothing_but_answers(path: Path) -> None:
    assert imported_at_top(path) <= set(sys.stdlib_module_names) | {"mevlip"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group, with its path."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def test_every_command_is_described_in_one_line_of_eighty_columns() -> None:
    for path, command in commands(cli):
        described = command.get_short_help_str(1000)
        assert 10 < len(described) <= 60 and described.endswith("."), (path, described)


def test_an_option_means_the_same_in_every_command() -> None:
    """The shared options have one help text, or differ in it only where they name what the command itself has."""
    kinds: dict[str, set[str]] = {}
    for path, command in commands(cli):
        for option in command.params:
            if isinstance(option, click.Option) and option.opts[0] in ("--quiet", "--seed", "--checkpoint", "--device"):
                kinds.setdefault(option.opts[0], set()).add(f"{option.type} {option.is_flag}")
                assert option.help or option.opts[0] == "--seed", path
    assert {name: len(found) for name, found in kinds.items()} == dict.fromkeys(kinds, 1), kinds


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_too_long_to_be_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_the_docs_name_no_command_that_is_not_there() -> None:
    known = {path for path, _ in commands(cli)}
    groups = {path[0] for path in known if len(path) > 1}
    pages = [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/*.md"), ROOT / "Makefile", ROOT / "predict.sh"]
    named = set()
    for page in pages:
        for name, second in re.findall(r"\bmevlip ([a-z]+(?:-[a-z]+)*)(?: ([a-z][a-z0-9]*))?", page.read_text()):
            named.add((page.name, (name, second) if name in groups and second else (name,)))
    assert {path for _, path in named} <= known, sorted(one for one in named if one[1] not in known)
    assert {("predict",), ("predictions", "check"), ("data", "check")} <= {path for _, path in named}


def test_the_citation_names_this_version() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_documented_way_to_seal_a_checkpoint_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "checkpoints/README.md").read_text(), re.DOTALL)
    assert code
    named = re.search(r'name="([^"]+)", revision="([^"]+)"', code[1])
    assert named
    folder = Path(shutil.copytree(DEMO, tmp_path / "checkpoints" / "me-vlip"))
    for path in folder.glob("adapters/*/route.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model": named[1], "base_revision": named[2]}))
    monkeypatch.chdir(tmp_path)
    exec(code[1], {})
    assert read_checkpoint(folder).manifest.kind == "medical"


def test_the_help_in_the_docs_is_the_commands_own() -> None:
    done = subprocess.run(
        [sys.executable, "docs/make_help.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
