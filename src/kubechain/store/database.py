"""What a store remembers: addresses, states and log entries, their tables, and the statements about them.

`log` contains each document once and only grows at its end; `current` points to the newest row of every object;
the view `objects` shows them to people. Pages of lists are read in `pages`. Called by the ledger and the readers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from kubechain.resources.document import Document
from kubechain.resources.model import ObjectMeta, OwnerReference

ADDED: Final = 0
MODIFIED: Final = 1
DELETED: Final = 2
TABLES = """
CREATE TABLE resource (
  id INTEGER PRIMARY KEY, api_group TEXT NOT NULL, plural TEXT NOT NULL, UNIQUE (api_group, plural)
);
CREATE TABLE log (
  rev INTEGER PRIMARY KEY, resource INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  type INTEGER NOT NULL, prev INTEGER NOT NULL, body BLOB
);
CREATE TABLE current (
  resource INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  rev INTEGER NOT NULL, uid TEXT NOT NULL, deleting INTEGER NOT NULL,
  PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE owner (
  uid TEXT NOT NULL, resource INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  PRIMARY KEY (uid, resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE mark (time INTEGER PRIMARY KEY, rev INTEGER NOT NULL);
CREATE TABLE meta (compacted INTEGER NOT NULL);
INSERT INTO meta VALUES (0);
"""
ADDED_IN_3 = """
ALTER TABLE log ADD COLUMN checksum INTEGER;
CREATE VIEW objects AS
  SELECT api_group, plural, c.namespace, c.name, c.rev AS revision, CAST(l.body AS TEXT) AS body
  FROM current c JOIN log l ON l.rev = c.rev JOIN resource r ON r.id = c.resource;
"""


class Address(NamedTuple):
    """The address of an object: the store's number of its resource, namespace ("" for cluster scope), name."""

    resource: int
    namespace: str
    name: str


class Stored(msgspec.Struct, frozen=True, gc=False):
    """One state of an object: its revision, and its document as bytes and parsed."""

    revision: int
    body: bytes
    document: Document

    @property
    def meta(self) -> ObjectMeta:
        return self.document.meta

    @property
    def deleting(self) -> bool:
        return self.document.meta.deletion_timestamp is not None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One row of the log. For DELETED, `body` is the last state, with the revision of the deletion."""

    revision: int
    at: Address
    type: int
    body: bytes
    document: Document
    before: Stored | None

    @property
    def meta(self) -> ObjectMeta:
        return self.document.meta

    @property
    def after(self) -> Stored | None:
        """The state of the object after this entry; None if it is deleted."""
        return None if self.type == DELETED else Stored(self.revision, self.body, self.document)

    @property
    def former_owners(self) -> Sequence[OwnerReference]:
        """The owners of the object before this entry."""
        return self.before.meta.owner_references if self.before else ()

    @property
    def reowned(self) -> bool:
        """Whether the owners of the object are others than before."""
        return self.owners != self.former_owners

    @property
    def owners(self) -> Sequence[OwnerReference]:
        """The owners of the object after this entry; none if it is deleted."""
        return () if self.type == DELETED else self.meta.owner_references


def number_resources(cx: sqlite3.Connection, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """The permanent number of each (group, plural). New ones get the next number."""
    found = {(group, plural): id_ for id_, group, plural in cx.execute("SELECT * FROM resource")}
    if new := [key for key in keys if key not in found]:
        cx.executemany("INSERT INTO resource (api_group, plural) VALUES (?, ?)", new)
        return number_resources(cx, ())
    return found


def append(cx: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Adds the entries to the log and updates `current` and `owner`."""
    newest = {entry.at: entry for entry in entries}
    gone = [at for at, entry in newest.items() if entry.type == DELETED]
    kept = [_current_row(entry) for entry in newest.values() if entry.type != DELETED]
    cx.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(_log_row, entries))
    if gone:
        cx.executemany("DELETE FROM current WHERE resource = ? AND namespace = ? AND name = ?", gone)
    if kept:
        cx.executemany("INSERT OR REPLACE INTO current VALUES (?, ?, ?, ?, ?, ?)", kept)
    owned = _owner_changes(entries)
    if left := [row for row, stays in owned.items() if not stays]:
        cx.executemany("DELETE FROM owner WHERE uid = ? AND resource = ? AND namespace = ? AND name = ?", left)
    if joined := [row for row, stays in owned.items() if stays]:
        cx.executemany("INSERT OR REPLACE INTO owner VALUES (?, ?, ?, ?)", joined)


def _log_row(entry: Entry) -> tuple[int, int, str, str, int, int, bytes | None, int]:
    """The row of an entry. A deletion has the document of its predecessor, which is stored only once."""
    before = entry.before.revision if entry.before else 0
    row = entry.revision, *entry.at, entry.type, before, None if entry.type == DELETED else entry.body
    return *row, checksum(*row)


def checksum(
    revision: int, resource: int, namespace: str, name: str, type_: int, before: int, body: bytes | None
) -> int:
    """A checksum of a row of the log, with which the next start finds damage."""
    return crc32(body or b"", crc32(f"{revision} {resource} {namespace} {name} {type_} {before}".encode()))


def _current_row(entry: Entry) -> tuple[int, str, str, int, str, bool]:
    return *entry.at, entry.revision, entry.meta.uid, entry.meta.deletion_timestamp is not None


def _owner_changes(entries: Sequence[Entry]) -> dict[tuple[str, int, str, str], bool]:
    changes: dict[tuple[str, int, str, str], bool] = {}
    for entry in entries:
        if entry.reowned:
            changes |= {(owner.uid, *entry.at): False for owner in entry.former_owners}
            changes |= {(owner.uid, *entry.at): True for owner in entry.owners}
    return changes


def newest_revision(cx: sqlite3.Connection) -> int:
    """The last revision that was used. The end of the log is never compacted."""
    (newest,) = cx.execute("SELECT max(rev) FROM log").fetchone()
    return newest or 0


def compacted_revision(cx: sqlite3.Connection) -> int:
    (revision,) = cx.execute("SELECT compacted FROM meta").fetchone()
    return int(revision)


def compact(cx: sqlite3.Connection, after: int, upto: int) -> None:
    """Deletes the states that the rows `after` < rev <= `upto` superseded, and the deletions among them."""
    superseded = "SELECT prev FROM log WHERE rev > ? AND rev <= ? AND prev > 0"
    cx.execute(f"DELETE FROM log WHERE rev IN ({superseded})", (after, upto))  # noqa: S608
    cx.execute("DELETE FROM log WHERE rev > ? AND rev <= ? AND type = ?", (after, upto, DELETED))
    cx.execute("UPDATE meta SET compacted = ?", (upto,))


def state(cx: sqlite3.Connection, at: Address) -> tuple[int, bytes] | None:
    """The newest state of an object: revision and document."""
    found: tuple[int, bytes] | None = cx.execute(
        "SELECT log.rev, log.body FROM current JOIN log ON log.rev = current.rev "
        "WHERE current.resource = ? AND current.namespace = ? AND current.name = ?",
        at,
    ).fetchone()
    return found


def dependants(cx: sqlite3.Connection, uid: str) -> list[Address]:
    """The objects with an ownerReference to that uid."""
    rows = cx.execute("SELECT resource, namespace, name FROM owner WHERE uid = ?", (uid,)).fetchall()
    return [Address(*row) for row in rows]


def ownerless(cx: sqlite3.Connection) -> list[Address]:
    """The objects that name an owner which does not exist, and those that are being deleted."""
    rows = cx.execute(
        "SELECT resource, namespace, name FROM owner "
        "WHERE uid IN (SELECT uid FROM owner EXCEPT SELECT uid FROM current) "
        "UNION SELECT resource, namespace, name FROM current WHERE deleting"
    )
    return [Address(*row) for row in rows]


def contents(cx: sqlite3.Connection, resource: int, namespace: str, limit: int) -> list[tuple[Address, bool]]:
    """Up to `limit` objects of a resource in a namespace, each with whether it is being deleted."""
    rows = cx.execute(
        "SELECT name, deleting FROM current WHERE resource = ? AND namespace = ? ORDER BY deleting LIMIT ?",
        (resource, namespace, limit),
    ).fetchall()
    return [(Address(resource, namespace, name), bool(deleting)) for name, deleting in rows]


def unwritten_since(cx: sqlite3.Connection, resource: int, revision: int, limit: int) -> list[Address]:
    """Up to `limit` objects of a resource whose newest state is not newer than `revision`."""
    rows = cx.execute(
        "SELECT resource, namespace, name FROM current WHERE resource = ? AND rev <= ? LIMIT ?",
        (resource, revision, limit),
    )
    return [Address(*row) for row in rows]
