"""Parses the simple YAML of most kubeconfigs: nested `key: value` lines and lists of them.

Used by `contexts`, so that a command need not load a YAML library to find its server. For anything else it raises
Unplain or returns None.
"""

from __future__ import annotations

import json
import re

from kubechain.resources.json import JsonObject, JsonValue

_LINE = re.compile(r'( *)(- )?([A-Za-z][\w-]*):(?: +(\{\}|\[\]|"[^"\\]*"|[\w/+=.:@-]+))? *')
_SPECIAL = re.compile(r"~|null|.*:|-.*", re.IGNORECASE)

Line = tuple[int, bool, str, str | None]
"""Indent, whether it begins a list item, key, value as written."""


class Unplain(ValueError):
    """The document needs a real YAML parser."""


def parse(document: str) -> JsonObject | None:
    """The mapping in a plain document, every value a text; None where it is not plain."""
    try:
        lines = [
            _line(line) for line in document.splitlines() if line.strip() and not line.startswith(("#", "---"))
        ]
        value, end = _mapping(lines, 0, 0)
    except Unplain:
        return None
    return value if end == len(lines) else None


def _line(line: str) -> Line:
    found = _LINE.fullmatch(line)
    if found is None or (found[4] and _SPECIAL.fullmatch(found[4])):
        raise Unplain(line)
    return len(found[1]), bool(found[2]), found[3], found[4]


def _mapping(lines: list[Line], at: int, indent: int) -> tuple[JsonObject, int]:
    out: JsonObject = {}
    while at < len(lines) and lines[at][:2] == (indent, False):
        _, _, key, written = lines[at]
        at += 1
        if written is not None:
            out[key] = json.loads(written) if written[0] in '"{[' else written
        elif at < len(lines) and lines[at][1] and lines[at][0] >= indent:
            out[key], at = _items(lines, at, lines[at][0])
        elif at < len(lines) and lines[at][0] > indent:
            out[key], at = _mapping(lines, at, lines[at][0])
        else:
            out[key] = None
    if at < len(lines) and lines[at][0] > indent:
        raise Unplain(lines[at][2])
    return out, at


def _items(lines: list[Line], at: int, indent: int) -> tuple[list[JsonValue], int]:
    out: list[JsonValue] = []
    while at < len(lines) and lines[at][:2] == (indent, True):
        lines[at] = (indent + 2, False, *lines[at][2:])
        item, at = _mapping(lines, at, indent + 2)
        out.append(item)
    return out, at
