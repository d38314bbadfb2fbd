"""The house: no module is part of a circle of imports, and none is too long to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parent.parent
LONGEST = 400  # lines


def _modules() -> dict[str, Path]:
    """Map the name of each module to its file."""
    found = {}
    for top in ("socm", "sim"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules()


def _imported(tree: ast.AST, known: set[str]) -> Iterator[str]:
    """Give each known module that is imported anywhere: in functions and for types, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                if submodule in known:
                    yield submodule
                elif node.module in known:
                    yield str(node.module)


def _circles(sources: dict[str, str]) -> set[frozenset[str]]:
    """Find the sets of modules of which each imports all others, directly or not."""
    graph = nx.DiGraph(
        (name, other)
        for name, source in sources.items()
        for other in _imported(ast.parse(source), set(sources))
    )
    alone = {frozenset({name}) for name in nx.nodes_with_selfloops(graph)}
    return alone | {frozenset(c) for c in nx.strongly_connected_components(graph) if len(c) > 1}


@cache
def _sources() -> dict[str, str]:
    return {name: path.read_text(encoding="utf-8") for name, path in MODULES.items()}


def test_no_modules_import_each_other() -> None:
    assert not [sorted(circle) for circle in _circles(_sources())]


@pytest.mark.parametrize(
    "source",
    [
        "import house.b",
        "from house import b",
        "from house.b import name",
        "def late():\n    from house.b import name",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.b import name",
    ],
)
def test_a_circle_is_found_wherever_the_import_stands(source: str) -> None:
    house = {"house": "", "house.a": source, "house.b": "import house.c", "house.c": ""}
    assert _circles(house) == set()
    house["house.c"] = "from house.a import other"
    assert _circles(house) == {frozenset({"house.a", "house.b", "house.c"})}


def test_no_module_is_too_long() -> None:
    assert not [name for name, text in _sources().items() if text.count("\n") > LONGEST]
