"""The part of JSONPath in use here: `.a.b`, `['a']`, `.a\\.b`, `[0]`, `[*]`, `[?(@.type=="Ready")]`.

The one reader: printer columns of the server, `-o jsonpath=` and `--for=jsonpath=` of the command line. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from kubechain.resources.json import JsonValue, lookup

Step = Callable[[JsonValue], list[JsonValue]]
_STEP = re.compile(
    r"""\.?\[(?:'(?P<quoted>(?:[^'\\]|\\.)+)'
    |"(?P<double>(?:[^"\\]|\\.)+)"
    |(?P<index>-?\d{1,9})
    |(?P<all>\*)
    |\?\(@\.(?P<field>[A-Za-z0-9_.]+)\s*==\s*["'](?P<value>[^"']*)["']\))\]
    |\.(?P<every>\*)
    |\.(?P<name>(?:[A-Za-z0-9_/-]|\\.)+)""",
    re.VERBOSE | re.ASCII,
)


class NotJsonPath(ValueError):
    """A path is none that is understood here; `rest` is where it ends to be."""

    def __init__(self, path: str, rest: str) -> None:
        super().__init__(f"JSONPath {path!r} is not understood at {rest!r}")
        self.rest = rest


def compile_path(path: str) -> Step:
    """A function from an object to every value that `path` finds in it. Raises NotJsonPath."""
    whole = path if path.startswith((".", "[")) or not path else f".{path}"
    steps, at = [], len(whole) if whole == "." else 0
    while at < len(whole):
        found = _STEP.match(whole, at)
        if found is None:
            raise NotJsonPath(path, whole[at:])
        steps.append(_step(found))
        at = found.end()

    def find(value: JsonValue) -> list[JsonValue]:
        values = [value]
        for step in steps:
            values = [inner for outer in values for inner in step(outer)]
        return values

    return find


def _step(found: re.Match[str]) -> Step:
    if found["index"]:
        return _at(int(found["index"]))
    if found["all"] or found["every"]:
        return _every
    if found["field"]:
        return _where(found["field"], found["value"])
    return _member(re.sub(r"\\(.)", r"\1", found["name"] or found["quoted"] or found["double"]))


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
