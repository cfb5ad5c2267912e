"""Checks at a start whether the files of a store are damaged, before anything is changed or served.

SQLite finds a broken page, but not a changed byte in a document. It takes a damaged commit in its own log
(`store.db-wal`) for one that a loss of power interrupted, and drops it with all that follow. Therefore every row
of the table `log` has a checksum, and the commits that SQLite would drop are counted. This module only reads.
"""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path
from urllib.parse import quote

from kubechain.errors import SettingsError
from kubechain.store.database import checksum

_HEADER = struct.Struct(">2I I 4x 8s 2I")
"""Of `store.db-wal`: magic number, format, size of a page, salts (new at each checkpoint), two checksums."""
_FRAME = struct.Struct(">4xI8s8x")
"""Before each page: the size of the database where the page ends a commit, and the salts."""
_COUNTED = struct.Struct("=16xI")
"""In `store.db-shm`, which SQLite writes when it reads its log: how many frames of it count."""
_CHECKED = 3
"""The format whose lines have a checksum."""
_WRONG_POINTERS = """
SELECT count(*) FROM current c LEFT JOIN log l
  ON l.rev = c.rev AND l.resource = c.resource AND l.namespace = c.namespace AND l.name = c.name
WHERE l.body IS NULL"""


def examine(path: Path) -> None:
    """Raises SettingsError when the files are damaged, and leaves them as they are."""
    if not path.exists() or not path.stat().st_size:
        return
    try:
        cx = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        try:
            problem = _problem(cx, path)
        finally:
            cx.close()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        problem = str(error)
    if problem:
        raise SettingsError(
            f"{path} is damaged ({problem}) and was not changed. Restore a backup, or start with another "
            "folder. To read what is left, use .dump or .recover of the program sqlite3, best on a copy"
        )


def _problem(cx: sqlite3.Connection, path: Path) -> str:
    (version,) = cx.execute("PRAGMA user_version").fetchone()
    if lost := _lost_commits(path):
        return f"{lost} in {path.name}-wal cannot be read"
    (said,) = cx.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        return str(said).replace("\n", " ")
    return _wrong_lines(cx) if version == _CHECKED else ""


def _wrong_lines(cx: sqlite3.Connection) -> str:
    """What is wrong with the rows of the log, or with the rows that refer to them."""
    lines = cx.execute("SELECT rev, resource, namespace, name, type, prev, body, checksum FROM log")
    for *line, expected in lines:
        if expected is not None and checksum(*line) != expected:
            revision, _, namespace, name, *_ = line
            return f"revision {revision}, of {namespace}/{name}, is not what was written"
    (wrong,) = cx.execute(_WRONG_POINTERS).fetchone()
    return f"{wrong} objects have lost their newest revision" if wrong else ""


def _lost_commits(path: Path) -> str:
    """Commits in SQLite's log after the place where SQLite stops reading.

    One commit may be incomplete because of a loss of power, before anyone got an answer. Two cannot be: each one
    is on disk before the next one starts.
    """
    log = path.with_name(f"{path.name}-wal")
    data = log.read_bytes() if log.exists() else b""
    header = data[: _HEADER.size]
    if not any(header):  # nothing was ever committed to it
        return ""
    if not _is_whole(header):
        return "all commits"
    _, _, page, salts, _, _ = _HEADER.unpack(header)
    (counted,) = _COUNTED.unpack(path.with_name(f"{path.name}-shm").read_bytes()[: _COUNTED.size])
    step = _FRAME.size + page
    frames = (_FRAME.unpack_from(data, at) for at in range(_HEADER.size + counted * step, len(data) - page, step))
    lost = sum(ends > 0 and found == salts for ends, found in frames)
    return f"{lost} commits" if lost > 1 else ""


def _is_whole(header: bytes) -> bool:
    """Whether the checksums in the header of SQLite's log are right."""
    magic, *_, one, other = _HEADER.unpack(header)
    words = struct.unpack(">6I" if magic & 1 else "<6I", header[:24])
    first = second = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) % 2**32
        second = (second + odd + first) % 2**32
    return (first, second) == (one, other)
