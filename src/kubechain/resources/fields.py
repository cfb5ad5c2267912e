"""Reads a few fields of JSON documents, and skips the rest of them.

The store's matcher of a watch with a field selector calls it twice for every change. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kubechain.resources.json import JsonValue, lookup

Read = Callable[[bytes], Mapping[str, str]]
_Tree = dict[str, "_Tree"]


def reader(paths: Mapping[str, str]) -> Read:
    """What reads the texts at dotted paths, by the names given to them; "" where a field is absent."""
    if not paths:
        return lambda document: {}
    tree: _Tree = {}
    for path in paths.values():
        below = tree
        for part in path.split("."):
            below = below.setdefault(part, {})
    decode = msgspec.json.Decoder(_shape(tree)).decode
    members = {name: _members(tree, path) for name, path in paths.items()}

    def read(document: bytes) -> Mapping[str, str]:
        try:
            whole = decode(document)
        except msgspec.ValidationError:  # something else stands where an object was expected
            values: JsonValue = msgspec.json.decode(document)
            return {name: _text(lookup(values, path)) for name, path in paths.items()}
        return {name: _text(_value(whole, path)) for name, path in members.items()}

    return read


def _shape(tree: _Tree) -> Any:
    """A type with these members and no others; any value where the tree ends."""
    if not tree:
        return Any
    fields = [(f"m{n}", _shape(below) | None if below else Any, None) for n, below in enumerate(tree.values())]
    return msgspec.defstruct("Fields", fields, rename={f"m{n}": name for n, name in enumerate(tree)})


def _members(tree: _Tree, path: str) -> list[str]:
    """The path in the names that its shape gives to members."""
    found: list[str] = []
    for part in path.split("."):
        found.append(f"m{list(tree).index(part)}")
        tree = tree[part]
    return found


def _value(shaped: Any, members: list[str]) -> JsonValue:
    for member in members:
        if shaped is None:
            return None
        shaped = getattr(shaped, member)
    value: JsonValue = shaped
    return value


def _text(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
