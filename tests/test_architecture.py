"""Packages and modules stand in one order: what `python -m tests.architecture` prints, as rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture import ROOTS, Graph, find_circle, find_modules, in_order, main, merge_parts, read_graph
from tests.conftest import ROOT

PACKAGES = ("mevlip", "mevlip_validation", "mevlip_training", "mevlip_release")
"""Each may import those before it."""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return read_graph(find_modules(ROOTS))


def within(graph: Graph, package: str) -> Graph:
    """The imports of one package's names among themselves."""
    names = {name for name in graph if name.split(".")[0] == package}
    return {name: graph[name] & names for name in names}


def test_all_code_is_read(graph: Graph) -> None:
    assert {name.split(".")[0] for name in graph} == set(PACKAGES)
    assert "mevlip.core.errors" in graph["mevlip.predictor"] | graph["mevlip.flare.questions"]
    assert "mevlip.inference.model" in graph["mevlip.predictor"], "late imports count"
    assert "mevlip.predictor" not in graph["mevlip"], "imports for type checkers do not"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_those_before_it(graph: Graph, package: str) -> None:
    later = PACKAGES[PACKAGES.index(package) + 1 :]
    found = [(name, other) for name in within(graph, package) for other in graph[name] if other.split(".")[0] in later]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_import_each_other_in_no_circle(graph: Graph, package: str) -> None:
    assert find_circle(within(graph, package)) == []


@pytest.mark.parametrize(
    "package",
    [
        "mevlip",
        "mevlip_validation",
        "mevlip_training",
        "mevlip_release",
    ],
)
def test_subpackages_import_each_other_in_no_circle(graph: Graph, package: str) -> None:
    assert find_circle(within(merge_parts(graph), package)) == []


def test_only_commands_import_the_command_line(graph: Graph) -> None:
    def is_command(name: str) -> bool:
        return ".cli." in name or name.endswith((".cli", "_cli")) or name == "mevlip.__main__"

    users = {name for name, imported in graph.items() if any(one.startswith("mevlip.cli") for one in imported)}
    assert [name for name in sorted(users) if not is_command(name)] == []
    others = {f"{folder}.{path.stem}" for folder in ("docs", "benchmarks") for path in (ROOT / folder).glob("*.py")}
    outside = read_graph(find_modules(ROOTS) | {name: ROOT / f"{name.replace('.', '/')}.py" for name in others})
    assert {name for name in others if any(one.startswith("mevlip.cli") for one in outside[name])} == {"docs.make_help"}


def write(root: Path, **modules: str) -> Path:
    for name, text in modules.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return root


def test_a_circle_of_packages_is_found_and_its_imports_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        tmp_path,
        app__low__a="import json\ndef late():\n    from app.high import b\n",
        app__high__b="from ..low.c import thing\n",
        app__low__c="",
        app__alone="import os\n",
    )
    assert main([tmp_path]) == 1
    shown = capsys.readouterr().out
    assert "circle:\n  app.high -> app.low -> app.high\n" in shown or "app.low -> app.high -> app.low\n" in shown
    assert "  app.high.b imports app.low.c\n  app.low.a imports app.high.b\n" in shown


def test_a_circle_of_modules_in_one_package_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, app__low__a="from app.low import b\n", app__low__b="import app.low.a\n")
    assert main([tmp_path]) == 1
    assert "circle of modules: app.low." in capsys.readouterr().out


def test_what_only_type_checkers_import_makes_no_circle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        tmp_path,
        app__low__a="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from app.high.b import B\n",
        app__high__b="import app.low.a\n",
    )
    assert main([tmp_path]) == 0
    assert capsys.readouterr().out == "app.low   -\napp.high  app.low\n\nno circle\n"


def test_what_is_imported_comes_first() -> None:
    assert in_order({"c": {"b"}, "a": set(), "b": {"a"}, "d": {"a"}}) == ["a", "b", "d", "c"]
