"""Group commit: decisions are made on the event loop, a thread of its own makes them last.

Called by the engine. Everything decided while the thread is busy goes into the next transaction, so one sync
serves all writers. What is decided but not yet on disk is kept here for the decisions that follow it; nobody is
told of a write, and no watch sees it, before its transaction is on disk.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kubechain.errors import InternalError
from kubechain.store import database
from kubechain.store.record import DELETED, Address, Entry, Stored

Job = Callable[[sqlite3.Connection], object]
Done = Callable[[Exception | None], None]
Landed = asyncio.Future[None]


@dataclass(slots=True)
class _Batch:
    entries: list[Entry] = field(default_factory=list)
    waiting: list[Landed] = field(default_factory=list)


class Ledger:
    """The end of the log: gives out revisions and turns decided entries into committed ones."""

    def __init__(
        self,
        writing: sqlite3.Connection,
        reading: sqlite3.Connection,
        publish: Callable[[Sequence[Entry]], None],
    ) -> None:
        self._reading = reading
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._pending: dict[Address, Entry] = {}
        self._collecting = _Batch()
        self._last: Landed | None = None
        self._busy = self._flush_due = False
        self._jobs: queue.SimpleQueue[tuple[Job, Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=_write, args=(writing, self._jobs, self._loop), name="store-writer", daemon=True
        )
        self._next = database.newest_revision(reading) + 1
        self.committed = self._next - 1
        """The newest revision that is on disk and published."""
        self.batches = 0
        """How many transactions have carried writes since the store was opened."""
        self._thread.start()

    @property
    def next_revision(self) -> int:
        return self._next

    def state(self, at: Address) -> Stored | None:
        """The newest decided state of an object, on disk or on its way there."""
        pending = self._pending.get(at)
        if pending is None:
            return database.state(self._reading, at)
        return None if pending.type == DELETED else Stored(pending.revision, pending.body)

    def header(self, at: Address) -> tuple[int, str, bool] | None:
        """(revision, uid, whether it is being deleted) of the newest decided state."""
        pending = self._pending.get(at)
        if pending is None:
            return database.header(self._reading, at)
        if pending.type == DELETED:
            return None
        return pending.revision, pending.meta.uid, pending.meta.deletion_timestamp is not None

    def append(self, entry: Entry) -> Landed:
        """Takes the entry as the next of the log; the future ends when it is on disk."""
        if not self._thread.is_alive():
            raise InternalError("the store is closed")
        self._next = entry.revision + 1
        self._pending[entry.at] = entry
        self._collecting.entries.append(entry)
        self._last = landed = self._loop.create_future()
        self._collecting.waiting.append(landed)
        if not self._busy and not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)
        return landed

    async def settled(self) -> None:
        """Returns when everything decided so far is on disk."""
        if self._last is not None and not self._last.done():
            await asyncio.wait([self._last])

    async def run(self, job: Job) -> None:
        """Runs a job of upkeep in a transaction of its own, between two batches."""
        future: Landed = self._loop.create_future()

        def done(error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._jobs.put((job, done))
        await future

    async def close(self) -> None:
        """Waits for what is under way and ends the thread."""
        while self._busy or self._collecting.entries:
            await self.settled()
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _flush(self) -> None:
        """Hands what has been collected in this turn of the event loop to the thread."""
        self._flush_due, self._busy = False, True
        self.batches += 1
        batch, self._collecting = self._collecting, _Batch()
        self._jobs.put((lambda cx: database.append(cx, batch.entries), lambda error: self._landed(batch, error)))

    def _landed(self, batch: _Batch, error: Exception | None) -> None:
        self._busy = False
        if error is not None:
            self._fail(batch, error)
            return
        for entry in batch.entries:
            if self._pending.get(entry.at) is entry:
                del self._pending[entry.at]
        self.committed = batch.entries[-1].revision
        self._publish(batch.entries)
        for landed in batch.waiting:
            if not landed.done():
                landed.set_result(None)
        if self._collecting.entries:
            self._flush()

    def _fail(self, batch: _Batch, error: Exception) -> None:
        """Nothing of the batch is on disk, so what was decided on top of it cannot stand either."""
        waiting = batch.waiting + self._collecting.waiting
        self._collecting = _Batch()
        self._pending.clear()
        self._next = database.newest_revision(self._reading) + 1
        for landed in waiting:
            if not landed.done():
                landed.set_exception(
                    InternalError(f"the store could not write: {error}; free the disk, then retry")
                )


def _write(
    cx: sqlite3.Connection,
    jobs: queue.SimpleQueue[tuple[Job, Done] | None],
    loop: asyncio.AbstractEventLoop,
) -> None:
    """The thread: one transaction per job, in order."""
    while (taken := jobs.get()) is not None:
        job, done = taken
        error: Exception | None = None
        try:
            cx.execute("BEGIN IMMEDIATE")
            job(cx)
            cx.execute("COMMIT")
        except Exception as failure:  # whatever it is, the ones who wait must hear of it
            error = failure
            if cx.in_transaction:
                cx.execute("ROLLBACK")
        loop.call_soon_threadsafe(done, error)
