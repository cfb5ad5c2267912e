"""Every CEL rule of our CRDs has been judged by a real API server: kept at least once, and broken.

What it said is what the native twins of the rules must say: tests/contract holds the embedded server to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.recorded.story import stories

CRDS = Path(__file__).parents[2] / "deploy" / "crds"


def rules_in(schema: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(path of the node, message) of every rule below a schema; items of lists are `[]`."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path, rule["message"]
    for name, inner in schema.get("properties", {}).items():
        yield from rules_in(inner, f"{path}.{name}".lstrip("."))
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from rules_in(inner, f"{path}[]")


def rules() -> list[tuple[str, str, str]]:
    """(kind, path, message) of every rule that is shipped."""
    found = []
    for crd in map(yaml.safe_load, sorted(path.read_text() for path in CRDS.glob("*.yaml"))):
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        found += [(crd["spec"]["names"]["kind"], path, message) for path, message in rules_in(schema)]
    return found


@cache
def judged() -> list[tuple[str, Any, dict[str, Any]]]:
    """(kind, object sent, answer of the real server) of every recorded create and update of the rules' stories."""
    steps = [step for story in stories() if story["file"].startswith("rules") for step in story["steps"]]
    kinds = {crd["spec"]["names"]["plural"]: crd["spec"]["names"]["kind"] for crd in _crds()}
    return [(kinds[_plural(step["ask"])], step["body"], step["answer"]) for step in steps]


def _crds() -> list[Any]:
    return [yaml.safe_load(path.read_text()) for path in CRDS.glob("*.yaml")]


def _plural(ask: str) -> str:
    return ask.split("/namespaces/")[1].split("/")[1].split("?")[0]


def reaches(value: Any, path: str) -> bool:
    """Whether there is something at a path, so that a rule there was evaluated."""
    head, _, rest = path.partition(".")
    if not head:
        return value is not None
    name, items = head.removesuffix("[]"), head.endswith("[]")
    inner = value.get(name) if isinstance(value, dict) else None
    if items:
        return any(reaches(item, rest) for item in inner or ())
    return inner is not None and reaches(inner, rest)


@pytest.mark.parametrize(("kind", "path", "message"), rules())
def test_a_real_server_has_judged_every_rule_kept_and_broken(kind: str, path: str, message: str) -> None:
    mine = [(body, answer) for judged_kind, body, answer in judged() if judged_kind == kind]
    kept = [body for body, answer in mine if answer["code"] in (200, 201) and reaches(body, path)]
    broken = [answer for _, answer in mine if answer["code"] == 422 and message in json.dumps(answer["body"])]
    again = "add a step to tests/contract/recorded/rules.json and record it (docs/compat.md)"
    assert kept, f"nothing that keeps the rule {message!r} of {kind} {path} was recorded: {again}"
    assert broken, f"nothing that breaks the rule {message!r} of {kind} {path} was recorded: {again}"
