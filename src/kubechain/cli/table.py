"""A server's Table as the text that kubectl prints: same columns, same padding, same truncation.

Used by `get` and `demo`. Pure: takes the Table, returns lines.
"""

from __future__ import annotations

import re

from kubechain.cli.objects import members, printable, scalar, text
from kubechain.resources.json import JsonObject, JsonValue

_PADDING = 3
_NARROWEST = 6
_BREAK = re.compile(r"[\f\n\r]")


class Columns:
    """Turns Tables into aligned lines; widths only grow, so the rows of a watch stay under their headers."""

    def __init__(self, *, wide: bool = False, namespaces: bool = False, prefix: str = "") -> None:
        self._wide = wide
        self._namespaces = namespaces
        self._prefix = prefix
        self._definitions: list[JsonObject] = []
        self._widths: list[int] = []

    def fresh(self, prefix: str) -> Columns:
        """The same choice of columns for another resource; `prefix` goes before every name."""
        return Columns(wide=self._wide, namespaces=self._namespaces, prefix=prefix)

    def lines(self, table: JsonObject, *, header: bool = True) -> list[str]:
        """The lines of one Table; a Table without columns goes on under those of the one before it."""
        self._definitions = members(table, "columnDefinitions") or self._definitions
        rows = [self._cells(row) for row in members(table, "rows")]
        return aligned([self._header(), *rows] if header else rows, self._widths)

    def _header(self) -> list[str]:
        names = [text(self._definitions[i], "name").upper() for i in self._shown()]
        return ["NAMESPACE", *names] if self._namespaces else names

    def _cells(self, row: JsonObject) -> list[str]:
        values = row.get("cells")
        values = values if isinstance(values, list) else []
        cells = [cell(values[i]) if i < len(values) else "" for i in self._shown()]
        if self._prefix and cells:
            cells[0] = f"{self._prefix}/{cells[0]}"
        return [text(row, "object.metadata.namespace"), *cells] if self._namespaces else cells

    def _shown(self) -> list[int]:
        return [i for i, d in enumerate(self._definitions) if self._wide or not d.get("priority")]


def cell(value: JsonValue) -> str:
    """One cell: nothing for null, the first line alone of a text that has more."""
    if value is None:
        return ""
    words = scalar(value)
    end = _BREAK.search(words)
    return printable(f"{words[: end.start()]}..." if end else words)


def aligned(rows: list[list[str]], widths: list[int] | None = None) -> list[str]:
    """Rows of text under each other, as kubectl pads them; `widths` is widened in place where a cell needs it."""
    widths = [] if widths is None else widths
    for row in rows:
        widths += [_NARROWEST] * (len(row) - len(widths))
        for i, words in enumerate(row):
            widths[i] = max(widths[i], len(words) + _PADDING)
    return ["".join(w.ljust(widths[i]) for i, w in enumerate(row[:-1])) + "".join(row[-1:]) for row in rows]
