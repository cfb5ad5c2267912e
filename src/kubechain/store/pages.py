"""Lists: pages of a snapshot, ordered by namespace and name, and the tokens that lead to the next page.

Called by the engine and by watches for the present. A page at a revision shows what was there at that revision,
however much has been written since: `current` where an object has not changed, the log where it has.
"""

from __future__ import annotations

import base64
import sqlite3
from typing import NamedTuple

import msgspec

from kubechain.errors import BadRequest
from kubechain.store import database
from kubechain.store.matching import Matcher


class Place(NamedTuple):
    """After which object a page begins."""

    namespace: str
    name: str


class Item(NamedTuple):
    namespace: str
    name: str
    revision: int
    body: bytes


class Slice(msgspec.Struct, frozen=True):
    """Part of a list: what it holds, of which revision, and after which object it goes on, if it does."""

    items: list[Item]
    revision: int
    rest: Place | None


class _Token(msgspec.Struct):
    v: str
    rv: int
    start: str


def token(revision: int, place: Place) -> str:
    """The continue token of a list at `revision`; -1 goes on with the present."""
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
    cx: sqlite3.Connection, resource: int, matcher: Matcher, revision: int | None, after: Place | None, size: int
) -> Slice:
    """The matching ones among the next `size` objects, as of `revision`, or of the present for None."""
    at = database.newest_revision(cx) if revision is None else revision
    changed = {} if revision is None else _changed_since(cx, resource, matcher, at)
    items, rest = _chunk(cx, resource, matcher, changed, after, size)
    return Slice(items, at, rest)


def remaining(cx: sqlite3.Connection, resource: int, matcher: Matcher, place: Place) -> int:
    """How many objects come after a place, at present."""
    where, values = _range(resource, matcher, place)
    (count,) = cx.execute(f"SELECT count(*) FROM current c WHERE {where}", values).fetchone()  # noqa: S608
    return int(count)


def _chunk(
    cx: sqlite3.Connection,
    resource: int,
    matcher: Matcher,
    changed: dict[Place, int],
    after: Place | None,
    size: int,
) -> tuple[list[Item], Place | None]:
    """One page of `current`, with what has changed since put back to what it was, and where to go on."""
    where, values = _range(resource, matcher, after)
    rows = cx.execute(
        "SELECT c.namespace, c.name, l.rev, l.body FROM current c JOIN log l ON l.rev = c.rev "  # noqa: S608
        f"WHERE {where} ORDER BY c.namespace, c.name LIMIT ?",
        (*values, size),
    ).fetchall()
    end = Place(rows[-1][0], rows[-1][1]) if len(rows) == size else None
    items = [Item(*row) for row in rows if (row[0], row[1]) not in changed]
    if changed:
        items += _former(cx, changed, after, end)
        items.sort()
    return [i for i in items if _matches(matcher, i)], end


def _matches(matcher: Matcher, item: Item) -> bool:
    if not matcher.selects:
        return True
    return matcher.accepts_address(item.namespace, item.name) and (
        not matcher.looks_inside or matcher.accepts(item.body)
    )


def _range(resource: int, matcher: Matcher, after: Place | None) -> tuple[str, list[int | str]]:
    """The rows of `current` that can be on the list, after a place."""
    where = "c.resource = ?"
    conditions: list[int | str] = [resource]
    if matcher.namespace:
        where += " AND c.namespace = ?"
        conditions.append(matcher.namespace)
        if matcher.name is not None:
            where += " AND c.name = ?"
            conditions.append(matcher.name)
        if after is not None:
            where += " AND c.name > ?"
            conditions.append(after.name)
    elif after is not None:
        where += " AND (c.namespace, c.name) > (?, ?)"
        conditions += [after.namespace, after.name]
    return where, conditions


def _changed_since(cx: sqlite3.Connection, resource: int, matcher: Matcher, revision: int) -> dict[Place, int]:
    """The objects written after a revision, each with the log line that it had then (0: it was not there)."""
    rows = cx.execute(
        "SELECT namespace, name, prev FROM log WHERE rev > ? AND resource = ? ORDER BY rev", (revision, resource)
    ).fetchall()
    changed: dict[Place, int] = {}
    for namespace, name, prev in rows:
        if not matcher.namespace or namespace == matcher.namespace:
            changed.setdefault(Place(namespace, name), prev)
    return changed


def _former(
    cx: sqlite3.Connection, changed: dict[Place, int], after: Place | None, end: Place | None
) -> list[Item]:
    """The former states of changed objects between two places."""
    found = []
    for place, revision in changed.items():
        if revision and (after is None or place > after) and (end is None or place <= end):
            (body,) = cx.execute("SELECT body FROM log WHERE rev = ?", (revision,)).fetchone()
            found.append(Item(*place, revision, body))
    return found
