"""Which package imports which, read from the code: `python -m tests.architecture`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

ROOTS = tuple(Path(__file__).parents[1] / name for name in ("submission", "validation", "training", "release"))
UNDIVIDED = {"mevlip_release"}
"""Packages that are one part; of the others, every module and subpackage is a part."""

Graph = dict[str, set[str]]


def find_modules(roots: Iterable[Path]) -> dict[str, Path]:
    """The file of each module below source roots, by its import name."""
    found = {}
    for root in roots:
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def read_graph(modules: Mapping[str, Path]) -> Graph:
    """The modules that each module imports, at its top or late, but not for type checkers alone."""
    graph: Graph = {}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        named = imported_names(ast.parse(path.read_text("utf-8")), package)
        graph[name] = {module for one in named if (module := _module_of(one, modules))} - {name}
    return graph


def imported_names(node: ast.AST, package: str) -> Iterator[str]:
    """Yields the full name of everything that a tree imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        yield from (".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names)
    elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        for child in node.orelse:
            yield from imported_names(child, package)
    else:
        for child in ast.iter_child_nodes(node):
            yield from imported_names(child, package)


def _module_of(name: str, modules: Mapping[str, Path]) -> str | None:
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def part_of(module: str) -> str:
    """The part of the system that a module belongs to, such as `mevlip.core` for `mevlip.core.errors`."""
    package = module.split(".")[0]
    return package if package in UNDIVIDED else ".".join(module.split(".")[:2])


def merge_parts(graph: Graph) -> Graph:
    """The parts that each part imports."""
    merged: Graph = {}
    for module, imported in graph.items():
        merged.setdefault(part_of(module), set()).update(set(map(part_of, imported)) - {part_of(module)})
    return merged


def in_order(graph: Graph) -> list[str]:
    """Names, each after all that it imports.

    Raises:
        CycleError: There is a circle; its second argument lists it.
    """
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        sorter.done(*ready)
        order += ready
    return order


def find_circle(graph: Graph) -> list[str]:
    """A circle of imports, its first name repeated at its end; empty where there is none."""
    try:
        in_order(graph)
    except CycleError as error:
        return list(reversed(error.args[1]))  # graphlib lists what is imported first
    return []


def causes(circle: list[str], graph: Graph) -> list[str]:
    """The imports of modules that make a circle of parts."""
    steps = list(pairwise(circle))
    return sorted(
        f"{module} imports {other}"
        for module, imported in graph.items()
        for other in imported
        if (part_of(module), part_of(other)) in steps
    )


def main(roots: Iterable[Path] = ROOTS) -> int:
    """Prints what each part imports, in dependency order, and then a circle or that there is none."""
    graph = read_graph(find_modules(roots))
    parts = merge_parts(graph)
    circle = find_circle(parts)
    width = max(map(len, parts), default=0)
    for part in sorted(parts) if circle else in_order(parts):
        print(f"{part:{width}}  {', '.join(sorted(parts[part])) or '-'}")
    print()
    if circle:
        print("circle:", " -> ".join(circle), *causes(circle, graph), sep="\n  ")
    elif circle := find_circle(graph):
        print("circle of modules:", " -> ".join(circle))
    else:
        print("no circle")
    return int(bool(circle))


if __name__ == "__main__":
    sys.exit(main())
