"""The SQLite file: its tables, its two connections, and every statement that is not a page of a list.

`log` holds each document once and only grows; `current` points to the newest line of every object. What is
committed reaches the file later, through the journal: see the writer. Knows nothing of Kubernetes semantics.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from kubechain.errors import SettingsError
from kubechain.store.record import DELETED, Address, Entry

Synchronous = Literal["FULL", "NORMAL", "OFF"]
_VERSION = 2
"""2: what is newest may be in the journal alone. A file of format 1 is one whose journal is empty."""
_PAGE = 4096

_SCHEMA = """
BEGIN EXCLUSIVE;
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
COMMIT;
"""


def connect(path: Path, synchronous: Synchronous) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """(the loop's, the thread's) connections to the file, made where there is none. Raises SettingsError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    try:
        writing = _connection(path)
        writing.execute(f"PRAGMA page_size = {_PAGE}")
        writing.execute("PRAGMA journal_mode = WAL")
        writing.execute(f"PRAGMA synchronous = {synchronous}")
        writing.execute("PRAGMA secure_delete = FAST")
        writing.execute("PRAGMA wal_autocheckpoint = 0")  # the writer sees to it
        writing.execute(f"PRAGMA journal_size_limit = {32 * 1024 * 1024}")
        (version,) = writing.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise SettingsError(f"{path} was written by a newer KubeChain (format {version}): use that version")
        if version == 0:
            writing.executescript(_SCHEMA)
        writing.execute(f"PRAGMA user_version = {_VERSION}")
        writing.execute("PRAGMA cache_size = -1024")  # KiB: what is hot is remembered as objects already
        writing.execute("PRAGMA cache_spill = OFF")  # what is not taken over yet stays in memory
        carrying = _connection(path)
        carrying.execute(f"PRAGMA synchronous = {synchronous}")
        carrying.execute("PRAGMA cache_size = -64")
    except sqlite3.Error as error:
        raise SettingsError(f"{path} cannot be used as a store: {error}") from error
    return writing, carrying


def _connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False, cached_statements=64)


def number_resources(cx: sqlite3.Connection, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """The lasting number of each (group, plural); new ones get the next."""
    cx.executemany("INSERT OR IGNORE INTO resource (api_group, plural) VALUES (?, ?)", list(keys))
    return {(group, plural): id_ for id_, group, plural in cx.execute("SELECT * FROM resource")}


def leave_syncing_to_the_journal(writing: sqlite3.Connection) -> None:
    """Brings all that is committed into the file, and has later commits wait for no disk."""
    writing.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    (synchronous,) = writing.execute("PRAGMA synchronous").fetchone()
    writing.execute(f"PRAGMA synchronous = {min(synchronous, 1)}")


def append(cx: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Adds the entries to the log and brings `current` and `owner` up to them."""
    newest = {entry.at: entry for entry in entries}
    gone = [at for at, entry in newest.items() if entry.type == DELETED]
    kept = [_current_row(entry) for entry in newest.values() if entry.type != DELETED]
    cx.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)", map(_log_row, entries))
    if gone:
        cx.executemany("DELETE FROM current WHERE resource = ? AND namespace = ? AND name = ?", gone)
    if kept:
        cx.executemany("INSERT OR REPLACE INTO current VALUES (?, ?, ?, ?, ?, ?)", kept)
    owned = _owner_changes(entries)
    if left := [row for row, stays in owned.items() if not stays]:
        cx.executemany("DELETE FROM owner WHERE uid = ? AND resource = ? AND namespace = ? AND name = ?", left)
    if joined := [row for row, stays in owned.items() if stays]:
        cx.executemany("INSERT OR REPLACE INTO owner VALUES (?, ?, ?, ?)", joined)


def _log_row(entry: Entry) -> tuple[int, int, str, str, int, int, bytes | None]:
    """A deletion's document is its predecessor's: only the latter is stored."""
    before = entry.before.revision if entry.before else 0
    return entry.revision, *entry.at, entry.type, before, None if entry.type == DELETED else entry.body


def _current_row(entry: Entry) -> tuple[int, str, str, int, str, bool]:
    return *entry.at, entry.revision, entry.meta.uid, entry.meta.deletion_timestamp is not None


def _owner_changes(entries: Sequence[Entry]) -> dict[tuple[str, int, str, str], bool]:
    changes: dict[tuple[str, int, str, str], bool] = {}
    for entry in entries:
        if entry.owners != entry.former_owners:
            changes |= {(owner.uid, *entry.at): False for owner in entry.former_owners}
            changes |= {(owner.uid, *entry.at): True for owner in entry.owners}
    return changes


def newest_revision(cx: sqlite3.Connection) -> int:
    """The last revision given out: the log's end is never compacted."""
    (newest,) = cx.execute("SELECT max(rev) FROM log").fetchone()
    return newest or 0


def compacted_revision(cx: sqlite3.Connection) -> int:
    (revision,) = cx.execute("SELECT compacted FROM meta").fetchone()
    return int(revision)


def compact(cx: sqlite3.Connection, after: int, upto: int) -> None:
    """Forgets what the log lines `after` < rev <= `upto` superseded, and deletions among them."""
    superseded = "SELECT prev FROM log WHERE rev > ? AND rev <= ? AND prev > 0"
    cx.execute(f"DELETE FROM log WHERE rev IN ({superseded})", (after, upto))  # noqa: S608
    cx.execute("DELETE FROM log WHERE rev > ? AND rev <= ? AND type = ?", (after, upto, DELETED))
    cx.execute("UPDATE meta SET compacted = ?", (upto,))


def state(cx: sqlite3.Connection, at: Address) -> tuple[int, bytes, str, bool] | None:
    """The newest state of an object: revision, document, uid, whether it is being deleted."""
    row = cx.execute(
        "SELECT log.rev, log.body, current.uid, current.deleting FROM current JOIN log ON log.rev = current.rev "
        "WHERE current.resource = ? AND current.namespace = ? AND current.name = ?",
        at,
    ).fetchone()
    return None if row is None else (row[0], row[1], row[2], bool(row[3]))


def addresses(cx: sqlite3.Connection, after: Address, limit: int) -> list[Address]:
    """Where the next objects are, in the order of their addresses."""
    rows = cx.execute(
        "SELECT resource, namespace, name FROM current WHERE (resource, namespace, name) > (?, ?, ?) "
        "ORDER BY resource, namespace, name LIMIT ?",
        (*after, limit),
    ).fetchall()
    return [Address(*row) for row in rows]


def document(cx: sqlite3.Connection, revision: int) -> bytes:
    """The document of a line of the log."""
    (body,) = cx.execute("SELECT body FROM log WHERE rev = ?", (revision,)).fetchone()
    return bytes(body)


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
    ).fetchall()
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
    ).fetchall()
    return [Address(*row) for row in rows]
