"""Reads the descriptions of a function and its parameters from a docstring: Google, NumPy and Sphinx style. Pure.

`signature` calls it, in the tool process.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ARGUMENTS = ("Args", "Arguments", "Parameters", "Params", "Keyword Args", "Keyword Arguments", "Other Parameters")
_OTHERS = (
    "Returns|Return|Yields|Raises|Examples?|Notes?|See Also|Attributes|Todo|Warnings?|Warns|References|Methods"
)
_HEADINGS = "|".join((*_ARGUMENTS, _OTHERS))
_GOOGLE = re.compile(rf"^({_HEADINGS}):\s*$")
_NUMPY = re.compile(rf"^({_HEADINGS})\s*$")
_RULE = re.compile(r"^-{3,}\s*$")
_ENTRY = re.compile(r"^(\s+)\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY_ENTRY = re.compile(r"^\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?$")
_SPHINX = re.compile(r"^:(\w+)(?:\s+[^:]*?)?(?:\s*\b(\w+))?:\s*(.*)$")
_SPHINX_PARAMETER = ("param", "parameter", "arg", "argument", "key", "keyword")


def docstring(text: str) -> tuple[str, dict[str, str]]:
    """What stands before the first section, and what is said about each parameter, by name."""
    lines = text.splitlines()
    section, numpy = "", False
    about: list[str] = []
    google_lines: list[str] = []
    numpy_lines: list[str] = []
    fields: list[str] = []
    for index, line in enumerate(lines):
        following = lines[index + 1] if index + 1 < len(lines) else ""
        if found := _GOOGLE.match(line):
            section, numpy = found.group(1), False
        elif (found := _NUMPY.match(line)) and _RULE.match(following):
            section, numpy = found.group(1), True
        elif _SPHINX.match(line) or (fields and line[:1].isspace() and not section):
            fields.append(line)
        elif not section:
            about.append(line)
        elif section in _ARGUMENTS and not _RULE.match(line):
            (numpy_lines if numpy else google_lines).append(line)
    notes = {**_google(google_lines), **_numpy(numpy_lines), **_sphinx(fields)}
    return "\n".join(about).strip(), notes


def _google(lines: list[str]) -> dict[str, str]:
    """`  name (type): text` and its continuation lines, which stand further in."""
    found: dict[str, list[str]] = {}
    depth, current = -1, ""
    for line in lines:
        entry = _ENTRY.match(line)
        if entry and (depth < 0 or len(entry.group(1)) <= depth):
            depth, current = len(entry.group(1)), entry.group(2)
            found[current] = [entry.group(3)]
        elif current and line.strip():
            found[current].append(line.strip())
    return _joined(found.items())


def _numpy(lines: list[str]) -> dict[str, str]:
    """`name : type`, or several names, and the lines below, which stand further in."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if entry := _NUMPY_ENTRY.match(line):
            current = re.split(r"\s*,\s*", entry.group(1))
            found.update((name, []) for name in current)
        elif line.strip():
            for name in current:
                found[name].append(line.strip())
    return _joined(found.items())


def _sphinx(lines: list[str]) -> dict[str, str]:
    """`:param type name: text` and the lines below, which stand further in."""
    found: dict[str, list[str]] = {}
    current = ""
    for line in lines:
        if entry := _SPHINX.match(line):
            kind, name, text = entry.groups()
            current = name if name and kind in _SPHINX_PARAMETER else ""
            if current:
                found[current] = [text]
        elif current and line.strip():
            found[current].append(line.strip())
    return _joined(found.items())


def _joined(found: Iterable[tuple[str, list[str]]]) -> dict[str, str]:
    return {name: " ".join(parts).strip() for name, parts in found}
