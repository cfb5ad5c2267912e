"""Opens the files of a store: for one process at a time, undamaged, in the current format.

Called by the engine. `store.db`, `-wal` and `-shm` are SQLite's; `store.db-lock` is locked while they are in use.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from kubechain.errors import SettingsError
from kubechain.store import damage
from kubechain.store.database import ADDED_IN_3, TABLES

Synchronous = Literal["FULL", "NORMAL", "OFF"]
_VERSION = 3
_PAGE = 1024
"""Bytes: a commit writes whole pages, and most documents are small."""
_CHECKPOINT = 16 * 1024
"""Pages in SQLite's log after which a commit carries them into the file. A page that was written many times is
carried once, so later is cheaper; 16 MiB are read back at a start in 30 ms."""
_LITTLE = 1024 * 1024
"""Bytes left of a disk that is as good as full."""


class Connections(NamedTuple):
    """`writing` makes transactions, one at a time; `reading` sees what is committed. `lock` keeps others out."""

    writing: sqlite3.Connection
    reading: sqlite3.Connection
    lock: int

    def close(self) -> None:
        self.reading.close()
        self.writing.close()
        os.close(self.lock)


def connect(path: Path, synchronous: Synchronous) -> Connections:
    """Opens the file, or creates it. Raises SettingsError when it cannot be used."""
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked(path)
        try:
            damage.examine(path)
            writing = _writing(path, synchronous)
            reading = _connection(path)
            reading.execute("PRAGMA query_only = ON")
        except BaseException:
            os.close(lock)
            raise
    return Connections(writing, reading, lock)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turns an error into a message: what cannot be used, why, and what to do."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        text = f"{path} cannot be used as a store: {error}"
        if path.parent.exists() and shutil.disk_usage(path.parent).free < _LITTLE:
            text += "; the disk is full: free some of it, then start again"
        raise SettingsError(text) from error


def _locked(path: Path) -> int:
    """A lock that is released when the process ends. Raises SettingsError when another process holds it."""
    lock = os.open(path.with_name(f"{path.name}-lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SettingsError(f"{path} is locked: another KubeChain uses it; stop that one first") from None
    return lock


def _connection(path: Path) -> sqlite3.Connection:
    cx = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False, cached_statements=64)
    cx.execute("PRAGMA cache_size = -1024")  # KiB: what is hot is remembered as objects already
    return cx


def _writing(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    cx = _connection(path)
    (version,) = cx.execute("PRAGMA user_version").fetchone()
    if version != _VERSION:
        _bring_up_to_date(cx, path, version)
    cx.execute(f"PRAGMA synchronous = {synchronous}")
    cx.execute("PRAGMA secure_delete = FAST")
    cx.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
    cx.execute(f"PRAGMA journal_size_limit = {2 * _CHECKPOINT * _PAGE}")
    return cx


def _bring_up_to_date(cx: sqlite3.Connection, path: Path, version: int) -> None:
    """Creates the tables of a new file, and converts a file of an older format."""
    if version > _VERSION:
        raise SettingsError(f"{path} was written by a newer KubeChain (format {version}): use that version")
    journal = path.with_name(f"{path.name}-commits")
    if journal.exists() and journal.stat().st_size:
        raise SettingsError(
            f"{journal} has commits that only the KubeChain which wrote them can read, one from before format "
            f"{_VERSION}: start that one again, stop it with `kubechain down`, then start this one"
        )
    cx.execute(f"PRAGMA page_size = {_PAGE}")
    cx.execute("PRAGMA journal_mode = WAL")
    tables = TABLES if version == 0 else ""
    cx.executescript(f"BEGIN EXCLUSIVE;{tables}{ADDED_IN_3}PRAGMA user_version = {_VERSION};COMMIT;")
    journal.unlink(missing_ok=True)
