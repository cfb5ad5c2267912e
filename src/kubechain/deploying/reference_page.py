"""docs/reference.md, written from the models: every kind, its columns, rules and fields.

Called by `python -m kubechain.deploying.reference_page docs/reference.md` and by the test that holds the page
current. Pure but for the one file; never says what a model does not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import GROUP, VERSION, Kind
from kubechain.resources.registry import OURS

_HEAD = f"""# Reference: the kinds and their fields

Written by `python -m kubechain.deploying.reference_page docs/reference.md` from the models in
`src/kubechain/resources`; `kubectl explain` says the same. Every kind is of group `{GROUP}`,
version `{VERSION}`, namespaced, and in the category `kubechain` (`kubectl get kubechain` lists them all); those
with a status have it as a subresource.

`*` marks a field that must be there (where the object around it is). `a[].b` is the field `b` of each entry of the
list `a`. What you write is below `spec`, what KubeChain writes below `status`. Names of other objects are names in
the same namespace.
"""
_LIMITS = {
    "minimum": "≥ {}",
    "maximum": "≤ {}",
    "maxItems": "at most {} entries",
    "maxLength": "at most {} characters",
}
_LONG = 1024
"""A limit above this is a safeguard, not something to know."""


def page() -> str:
    """The whole page as Markdown."""
    contents = " ·\n".join(f"[{kind.kind}](#{kind.singular})" for kind in OURS)
    return "\n".join([_HEAD, contents, *(_section(kind) for kind in OURS)])


def _section(kind: Kind[Any]) -> str:
    lines = [
        f"\n## {kind.kind}\n",
        kind.description,
        "",
        f"`kubectl get {kind.plural}` prints {_columns(kind)}.",
        "",
    ]
    if kind.selectable:
        picked = ", ".join(f"`{path}`" for path in kind.selectable)
        lines += [f"`--field-selector` picks by {picked}, besides `metadata.name` and `metadata.namespace`.", ""]
    rules = list(_rules(kind.schema, ""))
    if rules:
        lines += ["Rules, checked when it is applied:", *rules, ""]
    properties = kind.schema["properties"]
    assert isinstance(properties, dict)  # noqa: S101 - a structural schema has them
    for part in (p for p in ("spec", "status") if p in properties):
        lines += ["| field | type | meaning |", "|---|---|---|", *_rows(properties[part], part), ""]
    return "\n".join(lines).rstrip()


def _columns(kind: Kind[Any]) -> str:
    always = ", ".join(c.name.upper() for c in kind.columns if not c.wide)
    wide = ", ".join(c.name.upper() for c in kind.columns if c.wide)
    return f"NAME, {always}" + (f"; with `-o wide` also {wide}" if wide else "")


def _rules(schema: JsonValue, path: str) -> Iterator[str]:
    """One line for each validation rule below a node."""
    if not isinstance(schema, dict):
        return
    for rule in _list(schema.get("x-kubernetes-validations")):
        if isinstance(rule, dict):
            yield f"- `{path}`: {rule['message']}"
    for name, child in _properties(schema).items():
        yield from _rules(child, f"{path}.{name}" if path else name)
    yield from _rules(schema.get("items"), f"{path}[]")


def _rows(schema: JsonValue, path: str) -> Iterator[str]:
    """One table row for each field below a node, in the order of the model."""
    if not isinstance(schema, dict):
        return
    required = _list(schema.get("required"))
    for name, child in _properties(schema).items():
        if not isinstance(child, dict):
            continue
        here = f"{path}.{name}"
        star = " *" if name in required else ""
        yield f"| `{here}`{star} | {_type(child)} | {_cell(child.get('description'))} |"
        items = child.get("items")
        if isinstance(items, dict):
            yield from _rows(items, f"{here}[]")
        else:
            yield from _rows(child, here)


def _type(schema: JsonObject) -> str:
    """The type with the limits that people run into."""
    choices = _list(schema.get("enum"))
    if choices:
        return " \\| ".join(f"`{choice}`" for choice in choices)
    items = schema.get("items")
    if isinstance(items, dict):
        said = f"list of {_type(items)}"
    elif schema.get("x-kubernetes-preserve-unknown-fields"):
        said = "any object" if schema.get("type") == "object" else "any JSON"
    else:
        said = str(schema.get("format") if schema.get("format") == "date-time" else schema.get("type", "any"))
    limits = [
        words.format(value)
        for key, words in _LIMITS.items()
        if isinstance(value := schema.get(key), int) and value <= _LONG
    ]
    return ", ".join([said, *limits])


def _cell(text: JsonValue) -> str:
    return str(text or "").replace("|", "\\|").replace("\n", " ")


def _properties(schema: JsonObject) -> JsonObject:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def document() -> str:
    """The file's content."""
    return page() + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(), encoding="utf-8")
