"""What a module may lean on: no circle of imports, lazy ones counted, and no controller that knows everything."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"
MODULES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SRC / "kubechain").rglob("*.py"))
}
CONTROLLERS = [name for name in MODULES if name.startswith("kubechain.controllers.")]
MOST = 15


def imported(tree: ast.AST, modules: Iterable[str] = MODULES) -> Iterator[str]:
    """Our modules that a module imports, wherever in it."""
    known = set(modules)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in known or node.module in known:
                    yield name if name in known else node.module


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """A circle in the graph, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_there_is_no_circle_of_imports_lazy_ones_included() -> None:
    graph = {name: set(imported(ast.parse(path.read_text()))) - {name} for name, path in MODULES.items()}
    assert circle(graph) == []


def test_a_circle_through_a_lazy_import_is_found() -> None:
    sources = {"a": "import b", "b": "def later():\n    from c import thing", "c": "from a import other"}
    graph = {name: set(imported(ast.parse(text), sources)) for name, text in sources.items()}
    assert set(circle(graph)) == {"a", "b", "c"}


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_module_of_controllers_knows_few_others(name: str) -> None:
    found = set(imported(ast.parse(MODULES[name].read_text())))
    assert len(found) <= MOST, f"{name} imports {len(found)} of our modules; split it, or hand it what it needs"
