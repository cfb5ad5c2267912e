"""JSON as a type, for code that handles objects of any kind. Never for objects whose kind is known."""

from __future__ import annotations

from typing import TypeAlias, Union

JsonValue: TypeAlias = Union[None, bool, int, float, str, "list[JsonValue]", "dict[str, JsonValue]"]
JsonObject: TypeAlias = dict[str, JsonValue]
MAX_DEPTH = 200
"""Levels of lists and objects that a document from outside may have: code that walks it may then recurse."""


def lookup(value: JsonValue, path: str) -> JsonValue:
    """The value at a dotted path (`spec.llmRef.name`), or None where any part of it is absent."""
    for part in path.strip(".").split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def exceeds(value: JsonValue, depth: int = MAX_DEPTH) -> bool:
    """Whether lists and objects are nested deeper than that; itself it never recurses."""
    level: list[JsonValue] = [value] if isinstance(value, dict | list) else []
    while level and depth:
        depth -= 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)  # type: ignore[union-attr]
            if isinstance(inner, dict | list)
        ]
    return bool(level)
