"""Lists: pages of a snapshot, ordered by namespace and name, and the tokens that lead to the next page.

Called by the engine, and by watches for their initial state. A page at a revision shows the objects as they were
at that revision: from `current` if an object has not changed since, otherwise from the log.
"""

from __future__ import annotations

import base64
import sqlite3
from typing import NamedTuple

import msgspec

from kubechain.errors import BadRequest
from kubechain.runtime.selectors import Matcher


class Place(NamedTuple):
    """The object after which a page begins."""

    namespace: str
    name: str


class Item(NamedTuple):
    namespace: str
    name: str
    revision: int
    body: bytes


class _Token(msgspec.Struct):
    v: str
    rv: int
    start: str


def token(revision: int, place: Place) -> str:
    """The continue token of a list at `revision`; -1 continues with the newest state."""
    start = f"{place.namespace}/{place.name}\0"
    return base64.urlsafe_b64encode(msgspec.json.encode(_Token("meta.k8s.io/v1", revision, start))).decode()


def parse_token(text: str) -> tuple[int, Place]:
    """(revision, place). Raises BadRequest."""
    try:
        decoded = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Token)
        namespace, slash, name = decoded.start.partition("/")
        if decoded.v != "meta.k8s.io/v1" or not slash or not name.endswith("\0"):
            raise ValueError("it has another form")
    except ValueError as error:
        raise BadRequest(f"continue key is not valid: {error}") from error
    return decoded.rv, Place(namespace, name[:-1])


def read(
    cx: sqlite3.Connection, resource: int, matcher: Matcher, revision: int, after: Place | None, size: int
) -> tuple[list[Item], Place | None]:
    """The matching objects among the next `size`, as of `revision`, and where the list continues."""
    where, values = _range(resource, matcher, after)
    rows = cx.execute(
        f"SELECT c.namespace, c.name, l.rev, l.body FROM current c JOIN log l ON l.rev = c.rev WHERE {where} "  # noqa: S608
        f"AND c.rev <= ? UNION ALL {_FORMER.format(where=where)} ORDER BY 1, 2 LIMIT ?",
        (*values, revision, *values, revision, revision, size),
    ).fetchall()
    rest = Place(rows[-1][0], rows[-1][1]) if len(rows) == size else None
    return [item for row in rows if _matches(matcher, item := Item(*row))], rest


_FORMER = """
SELECT c.namespace, c.name, c.rev, c.body FROM log later JOIN log c ON c.rev = later.prev
WHERE {where} AND later.rev > ? AND c.rev <= ?"""
"""The states that were the newest at a revision and are not any more."""


def remaining(cx: sqlite3.Connection, resource: int, matcher: Matcher, place: Place) -> int:
    """How many objects come after a place now."""
    where, values = _range(resource, matcher, place)
    (count,) = cx.execute(f"SELECT count(*) FROM current c WHERE {where}", values).fetchone()  # noqa: S608
    return int(count)


def _matches(matcher: Matcher, item: Item) -> bool:
    if not matcher.selects:
        return True
    return matcher.accepts_address(item.namespace, item.name) and (
        not matcher.looks_inside or matcher.accepts(item.body)
    )


def _range(resource: int, matcher: Matcher, after: Place | None) -> tuple[str, list[int | str]]:
    """The SQL condition for the objects `c` of the list after a place."""
    where, values = "c.resource = ?", list[int | str]([resource])
    if matcher.namespace:
        where += " AND c.namespace = ?"
        values.append(matcher.namespace)
        if matcher.name is not None:
            where += " AND c.name = ?"
            values.append(matcher.name)
        if after is not None:
            where += " AND c.name > ?"
            values.append(after.name)
    elif after is not None:
        where += " AND (c.namespace, c.name) > (?, ?)"
        values += after
    return where, values
