"""The connection that writes, and whose turn it is to use it: the loop's while commits are quick, else a thread's.

Called by the ledger. A transaction is begun and committed by one of the two in one go, and never by the loop
while the thread has anything to do. Never decides what is written.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable

from kubechain.store.pace import Pace

Job = Callable[[sqlite3.Connection], object]
Done = Callable[[Exception | None], None]
_CHECKPOINT = 16 * 1024 * 1024
"""Bytes of write-ahead log after which it is carried over into the database."""


class Writer:
    """Jobs go through it in order, each in a transaction of its own."""

    def __init__(self, writing: sqlite3.Connection, reading: sqlite3.Connection) -> None:
        self._writing = writing
        self._reading = reading
        self._loop = asyncio.get_running_loop()
        self._pace = Pace()
        self._handed_over = 0
        self._unchecked = 0
        self._jobs: queue.SimpleQueue[tuple[Job, Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def reader(self) -> sqlite3.Connection:
        """The connection to read from, now and without an await in between.

        The writing one knows that nobody else writes and keeps its pages; the other forgets them at every commit.
        """
        return self._reading if self._handed_over else self._writing

    def write(self, job: Job, size: int, done: Done) -> None:
        """Commits about `size` bytes; `done` hears of it on the loop, perhaps before this returns."""
        self._unchecked += size
        begun = time.monotonic()
        if self._handed_over or not self._pace.is_quick(begun):
            self.hand_over(job, done)
            return
        error = _transact(self._writing, job)
        ended = time.monotonic()
        self._pace.took(ended - begun, ended)
        if self._unchecked > _CHECKPOINT:
            self._checkpoint()
        done(error)

    def hand_over(self, job: Job, done: Done) -> None:
        """Has the thread run a job in a transaction."""
        self._put(lambda cx: _raise(_transact(cx, job)), done)
        if self._unchecked > _CHECKPOINT:
            self._checkpoint()

    async def close(self) -> None:
        """Lets the thread finish what it has, and ends it."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _checkpoint(self) -> None:
        self._unchecked = 0
        self._put(lambda cx: cx.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall(), lambda error: None)

    def _put(self, job: Job, done: Done) -> None:
        self._handed_over += 1
        self._jobs.put((job, done))

    def _work(self) -> None:
        """The thread: one job after the other."""
        while (taken := self._jobs.get()) is not None:
            job, done = taken
            error: Exception | None = None
            try:
                job(self._writing)
            except Exception as failure:  # whatever it is, the ones who wait must hear of it
                error = failure
            self._loop.call_soon_threadsafe(self._done, done, error)

    def _done(self, done: Done, error: Exception | None) -> None:
        self._handed_over -= 1
        done(error)


def _transact(cx: sqlite3.Connection, job: Job) -> Exception | None:
    """Runs the job in a transaction that is either on disk afterwards, or has not been."""
    try:
        cx.execute("BEGIN IMMEDIATE")
        job(cx)
        cx.execute("COMMIT")
    except Exception as failure:
        if cx.in_transaction:
            cx.execute("ROLLBACK")
        return failure
    return None


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error
