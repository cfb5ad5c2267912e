"""The columns that a user names, and the order that a user asks for: `-o custom-columns=` and `--sort-by`.

Used by `get`. Pure: objects in, lines and order out, as kubectl has them.
"""

from __future__ import annotations

import re

from kubechain.cli import jsonpath
from kubechain.cli.exits import CommandError
from kubechain.cli.objects import printable, scalar
from kubechain.cli.table import aligned
from kubechain.resources.json import JsonObject, JsonValue

_DIGITS = re.compile(r"(\d+)")
Rank = tuple[int, float, tuple[tuple[int, int, str], ...]]


def custom(objects: list[JsonObject], spec: str, *, header: bool = True) -> list[str]:
    """The lines of `-o custom-columns=NAME:.metadata.name,...`. Raises CommandError."""
    columns = [part.partition(":")[::2] for part in spec.split(",")]
    if not spec or not all(name and path for name, path in columns):
        raise CommandError(
            f"custom-columns={spec} cannot be read: write NAME:.metadata.name, with commas between the columns"
        )
    rows = [[name for name, _ in columns]] if header else []
    for obj in objects:
        rows.append([_cell(jsonpath.select(obj, path)) for _, path in columns])
    return aligned(rows)


def ordered(objects: list[JsonObject], path: str) -> list[JsonObject]:
    """The objects by the value at a path, those without one first. Raises CommandError where none has one."""
    found = [(jsonpath.select(obj, path), obj) for obj in objects]
    if objects and not any(values for values, _ in found):
        raise CommandError(f"no object has a field {path}: name another one with --sort-by")
    return [obj for _, obj in sorted(found, key=lambda entry: _rank(entry[0]))]


def _cell(values: list[JsonValue]) -> str:
    return printable(",".join("<none>" if value is None else scalar(value) for value in values) or "<none>")


def _rank(values: list[JsonValue]) -> Rank:
    """Missing values first, then numbers, then text with the numbers in it by their size."""
    if not values or values[0] is None:
        return (0, 0.0, ())
    value = values[0]
    if isinstance(value, (int, float)):
        return (1, float(value), ())
    pieces = [piece for piece in _DIGITS.split(scalar(value)) if piece]
    return (2, 0.0, tuple((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pieces))
