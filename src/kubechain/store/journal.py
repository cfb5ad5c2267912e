"""The journal: what was committed and is not in the database file yet, one record per commit, each synced at once.

The writer appends to it, and begins it anew whenever the database has taken everything over; `begin` reads it
back at a start. A record holds of a larger document only what it does not share with the state before it. Records
that are whole and continue the revisions of the database count; anything else is left over and is written over.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from kubechain.store import database
from kubechain.store.document import meta_of
from kubechain.store.record import DELETED, Address, Entry, Stored

_HEAD = struct.Struct("<II")
"""Length and checksum of the record that follows."""
_SMALL = 1536
"""Bytes of a document that is written whole: to look for what is new in it costs more than to write it."""


class _Line(NamedTuple):
    """An entry of the log. Its document: `head` bytes of the state before, `middle`, and its last `tail` bytes."""

    revision: int
    resource: int
    namespace: str
    name: str
    type: int
    before: int
    head: int
    tail: int
    middle: bytes


_DSYNC: int = getattr(os, "RWF_DSYNC", 0)
"""Where the system knows it (Linux), a write that is on disk when it returns: what fdatasync does, in one call."""
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(list[_Line]).decode


class Journal:
    """One file beside the database. Without `sync` a commit can be lost with the machine, not with the process."""

    def __init__(self, path: Path, *, sync: bool) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._sync = sync
        if sync:
            _sync_folder(path.parent)
        self._last = 0
        self.size = 0
        """Bytes of records that the database may not have on disk."""

    def append(self, record: bytes) -> None:
        """Writes the record; it is on disk when this returns. Raises OSError, and then it is not there."""
        self._last = self.size
        data = _HEAD.pack(len(record), zlib.crc32(record)) + record
        try:
            _write(self._file, data, self.size, _DSYNC if self._sync else 0)
            if self._sync and not _DSYNC:
                os.fdatasync(self._file)
        except OSError:
            self.take_back()
            raise
        self.size += len(data)

    def take_back(self) -> None:
        """Drops the last record."""
        self.size = self._last
        with suppress(OSError):
            os.pwrite(self._file, bytes(_HEAD.size), self.size)

    def clear(self) -> None:
        """Begins anew, over what is there: the database has it all, on disk."""
        self.go_on(0, 0)

    def records(self) -> Iterator[tuple[bytes, int, int]]:
        """Every whole record from the beginning, with where it begins and ends."""
        data, begin = _read(self._file), 0
        while len(data) >= begin + _HEAD.size:
            length, checksum = _HEAD.unpack_from(data, begin)
            end = begin + _HEAD.size + length
            record = data[begin + _HEAD.size : end]
            if not length or end > len(data) or zlib.crc32(record) != checksum:
                return
            yield record, begin, end
            begin = end

    def go_on(self, last: int, end: int) -> None:
        """The last record that counts begins and ends there; the next one follows it."""
        self._last, self.size = last, end

    def close(self, *, empty: bool) -> None:
        """`empty`: the database has it all."""
        if empty:
            os.ftruncate(self._file, 0)
        os.close(self._file)


def _write(file: int, data: bytes, at: int, flags: int) -> None:
    while data:
        written = os.pwritev(file, [data], at, flags) if flags else os.pwrite(file, data, at)
        data, at = data[written:], at + written


def _sync_folder(folder: Path) -> None:
    """The name of a new file is on disk when its folder is."""
    file = os.open(folder, os.O_RDONLY)
    os.fsync(file)
    os.close(file)


def _read(file: int) -> bytes:
    data = b""
    while part := os.pread(file, os.fstat(file).st_size, len(data)):
        data += part
    return data


def begin(cx: sqlite3.Connection, journal: Journal) -> None:
    """At a start: the transaction that is kept open, with all the journal has; what comes next follows that."""
    journal.go_on(*replay(cx, journal))


def replay(cx: sqlite3.Connection, journal: Journal) -> tuple[int, int]:
    """Begins the transaction, and puts into it what the journal has and the file has not.

    Where the last record that counts begins and ends. The journal is only read: the thread may be writing to it.
    """
    cx.execute("BEGIN IMMEDIATE")
    newest, counts = database.newest_revision(cx), (0, 0)
    for record, start, end in journal.records():
        lines = _decode(record)
        if lines[0].revision == newest + 1:
            database.append(cx, _entries(cx, lines))
            newest, counts = lines[-1].revision, (start, end)
        elif counts[1]:  # what was here before the journal was begun anew
            break
    return counts


def encoded(entries: Sequence[Entry]) -> bytes:
    """The record of one commit."""
    return _encode([_line(entry) for entry in entries])


def _line(entry: Entry) -> _Line:
    before = entry.before
    at = (entry.revision, *entry.at, entry.type)
    if before is None:
        return _Line(*at, 0, 0, 0, entry.body)
    if entry.type == DELETED:
        return _Line(*at, before.revision, 0, 0, b"")
    if len(entry.body) < _SMALL:
        return _Line(*at, before.revision, 0, 0, entry.body)
    old, new = _stamped(before.body, before.revision, entry.revision), entry.body
    head = _common(old, new)
    tail = _common_end(old, new, min(len(old), len(new)) - head)
    return _Line(*at, before.revision, head, tail, new[head : len(new) - tail])


def _entries(cx: sqlite3.Connection, lines: Sequence[_Line]) -> list[Entry]:
    """The entries of a record, whose predecessors are in the database or come before them in the record."""
    entries: list[Entry] = []
    for line in lines:
        before = next((e.after for e in entries if e.revision == line.before), None)
        if before is None and line.before:
            body = database.document(cx, line.before)
            before = Stored(line.before, body, "", False)
        old = b"" if before is None else _stamped(before.body, before.revision, line.revision)
        body = old if line.type == DELETED else old[: line.head] + line.middle + old[len(old) - line.tail :]
        owners = () if before is None else meta_of(before.body).owner_references
        at = Address(line.resource, line.namespace, line.name)
        entries.append(Entry(line.revision, at, line.type, body, before, meta_of(body), owners))
    return entries


def _stamped(body: bytes, old: int, new: int) -> bytes:
    """The document under another revision, so that it differs in what was really changed."""
    return body.replace(b'"resourceVersion":"%d"' % old, b'"resourceVersion":"%d"' % new, 1)


def _common(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one.startswith(other[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(one: bytes, other: bytes, most: int) -> int:
    """How many bytes both end with, at most `most`."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if one.endswith(other[len(other) - middle : len(other) - low], 0, len(one) - low):
            low = middle
        else:
            high = middle - 1
    return low
