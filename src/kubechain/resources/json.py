"""JSON as a type, for code that handles objects of any kind. Never for objects whose kind is known."""

from __future__ import annotations

from typing import TypeAlias, Union

JsonValue: TypeAlias = Union[None, bool, int, float, str, "list[JsonValue]", "dict[str, JsonValue]"]
JsonObject: TypeAlias = dict[str, JsonValue]


def lookup(value: JsonValue, path: str) -> JsonValue:
    """The value at a dotted path (`spec.llmRef.name`), or None where any part of it is absent."""
    for part in path.strip(".").split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value
