"""The part of JSONPath that printer columns use: `.a.b`, `['a']`, `[0]`, `[*]`, `[?(@.type=="Ready")]`.

Compiled once per column by `table`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from kubechain.resources.json import JsonValue, lookup

Step = Callable[[JsonValue], list[JsonValue]]
_STEP = re.compile(
    r"""\.?(?:(?P<name>[A-Za-z0-9_/-]+)
    |\['(?P<quoted>(?:[^'\\]|\\.)+)'\]
    |\[(?P<index>-?\d+)\]
    |(?P<all>\[\*\]|\*)
    |\[\?\(@\.(?P<field>[A-Za-z0-9_.]+)\s*==\s*["'](?P<value>[^"']*)["']\)\])""",
    re.VERBOSE,
)


def compile_path(path: str) -> Step:
    """A function from an object to every value that `path` finds in it. Raises ValueError."""
    steps, position = [], 0
    while position < len(path):
        found = _STEP.match(path, position)
        if not found or found.end() == position:
            raise ValueError(f"JSONPath {path!r} is not understood at {path[position:]!r}")
        steps.append(_step(found))
        position = found.end()

    def find(value: JsonValue) -> list[JsonValue]:
        values = [value]
        for step in steps:
            values = [inner for outer in values for inner in step(outer)]
        return values

    return find


def _step(found: re.Match[str]) -> Step:
    if found["index"]:
        return _at(int(found["index"]))
    if found["all"]:
        return _every
    if found["field"]:
        return _where(found["field"], found["value"])
    return _member(found["name"] or found["quoted"].replace("\\", ""))


def _member(name: str) -> Step:
    return lambda value: [value[name]] if isinstance(value, dict) and name in value else []


def _at(index: int) -> Step:
    return lambda value: [value[index]] if isinstance(value, list) and -len(value) <= index < len(value) else []


def _every(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, list):
        return value
    return list(value.values()) if isinstance(value, dict) else []


def _where(field: str, wanted: str) -> Step:
    def matching(value: JsonValue) -> list[JsonValue]:
        return [item for item in value if lookup(item, field) == wanted] if isinstance(value, list) else []

    return matching
