"""The rules of the house that a machine can hold: docstrings, generated files, names nobody should use."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from kubechain.resources.crd import document
from kubechain.resources.kind import Kind
from kubechain.resources.registry import OURS

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "src" / "kubechain").rglob("*.py"))
VAGUE = {"utils", "helpers", "common", "manager", "base", "misc"}


@pytest.mark.parametrize("kind", OURS, ids=lambda k: k.plural)
def test_the_crd_in_deploy_is_the_one_the_model_gives(kind: Kind[object]) -> None:
    written = (ROOT / "deploy" / "crds" / f"{kind.plural}.yaml").read_text()
    assert written == document(kind), "run `make generate`"


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_every_module_says_what_it_is(module: Path) -> None:
    text = module.read_text()
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), f"{module.name} has no docstring"


def test_no_module_has_a_name_that_answers_no_question() -> None:
    assert not [m for m in MODULES if m.stem in VAGUE]


@pytest.mark.parametrize("kind", OURS, ids=lambda k: k.plural)
def test_every_field_of_every_kind_has_a_description(kind: Kind[object]) -> None:
    bare: list[str] = []

    def walk(node: object, path: str) -> None:
        if not isinstance(node, dict):
            return
        for name, child in (node.get("properties") or {}).items():
            if path or name not in ("metadata",):
                if not child.get("description"):
                    bare.append(f"{path}.{name}")
                walk(child, f"{path}.{name}")
        walk(node.get("items"), f"{path}[]")

    walk(kind.schema, "")
    assert not bare


@pytest.mark.parametrize(
    ("said", "only"),
    [
        (r"yaml\.(safe_)?(load|parse|compose)", {"resources/yamltext.py"}),
        (r"datetime\.now\(|utcnow\(", {"runtime/clock.py", "samples/mcp_server.py"}),
        (r"ApiError\.__subclasses__", {"resources/status.py"}),
    ],
)
def test_there_is_one_reader_of_yaml_one_clock_and_one_mapping_of_errors(said: str, only: set[str]) -> None:
    """A server, a tool of ours for people to copy, is a program of its own."""
    found = {str(m.relative_to(ROOT / "src" / "kubechain")) for m in MODULES if re.search(said, m.read_text())}
    assert found == only
