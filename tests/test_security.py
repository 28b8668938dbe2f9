"""What SECURITY.md promises of the code as a whole, and that it names tests that are there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_repository import MODULES


def unsafe_loads(tree: ast.AST) -> Iterator[str]:
    """Yields each call that could fetch or run a model's own code."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if given.get("trust_remote_code", "False") != "False":
            yield ast.unparse(node)
        # Only transformers' Auto classes look for code beside the weights.
        automatic = re.fullmatch(r"(\w+\.)*Auto\w+\.from_(pretrained|config)", ast.unparse(node.func))
        if automatic and "trust_remote_code" not in given and given.get(None) != "OFFLINE":
            yield ast.unparse(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_call_runs_a_models_own_code(path: Path) -> None:
    assert list(unsafe_loads(ast.parse(path.read_text("utf-8")))) == []


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("AutoModel.from_pretrained(folder)", 1),
        ("transformers.AutoModel.from_config(config)", 1),
        ("AutoModel.from_pretrained(folder, trust_remote_code=True)", 1),
        ("load(folder, trust_remote_code=trusted)", 1),
        ("AutoModel.from_pretrained(folder, trust_remote_code=False)", 0),
        ("AutoModel.from_pretrained(folder, **OFFLINE)", 0),
    ],
)
def test_a_call_that_would_is_found(code: str, count: int) -> None:
    assert len(list(unsafe_loads(ast.parse(code)))) == count


def test_every_test_that_the_page_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+(?:\.py)?)`", (ROOT / "SECURITY.md").read_text("utf-8"))
    assert len(named) > 20 and [name for name in named if not (ROOT / name).exists()] == []
