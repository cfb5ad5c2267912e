"""Group commit: decisions are made on the event loop, the writer makes them last.

Called by the engine. Everything decided in one turn of the event loop, or while a transaction is under way, goes
into one transaction, so one sync serves all writers. What is decided but not yet on disk is kept here for the
decisions that follow it; nobody is told of a write, and no watch sees it, before its transaction is on disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence

from kubechain.errors import InternalError
from kubechain.store import database
from kubechain.store.journal import Journal
from kubechain.store.recent import Recent
from kubechain.store.record import Address, Entry, Stored
from kubechain.store.writer import Job, Writer

Landed = asyncio.Future[None]
_STEPS = 3
"""Turns of the event loop from a commit to its showing: who wrote gets as far as to wait for something else."""


class _Batch:
    """What goes into one transaction, who waits for a write in it, and what waits for all of it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.waiting: list[Landed] = []
        self.over: Landed | None = None

    def end(self, problem: str = "") -> None:
        """Tells everyone."""
        for landed in self.waiting:
            if not landed.done():
                if problem:
                    landed.set_exception(InternalError(problem))
                    landed.exception()  # of several that end together, one is awaited
                else:
                    landed.set_result(None)
        if self.over is not None and not self.over.done():
            self.over.set_result(None)


class Ledger:
    """The end of the log: gives out revisions and turns decided entries into committed ones.

    `remember` is how many bytes of recently used objects are kept in memory.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        carrier: sqlite3.Connection,
        journal: Journal,
        publish: Callable[[Sequence[Entry]], None],
        remember: int,
    ) -> None:
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._pending: dict[Address, Entry] = {}
        self._recent = Recent(remember)
        self._collecting = _Batch()
        self._under_way: _Batch | None = None
        self._flush_due = self._closed = False
        self._writer = Writer(connection, carrier, journal)
        self._next = database.newest_revision(connection) + 1
        self.committed = self._next - 1
        """The newest revision that is on disk."""
        self.shown = self.committed
        """The newest revision that watches have been told of."""
        self.batches = 0
        """How many transactions have carried writes since the store was opened."""

    @property
    def reader(self) -> sqlite3.Connection:
        """The connection to read from: it sees all that is committed. Not to be kept."""
        return self._writer.reader

    @property
    def next_revision(self) -> int:
        return self._next

    def state(self, at: Address) -> Stored | None:
        """The newest decided state of an object, on disk or on its way there."""
        pending = self._pending.get(at)
        return self.stored(at) if pending is None else pending.after

    def stored(self, at: Address) -> Stored | None:
        """The newest state of an object that is on disk."""
        found = self._recent.get(at)
        if found is None and (found := self._writer.state(at)) is not None:
            self._recent.put(at, found)
        return found

    def append(self, entry: Entry) -> Landed:
        """Takes the entry as the next of the log; the future ends when it is on disk."""
        if self._closed:
            raise InternalError("the store is closed")
        self._next = entry.revision + 1
        self._pending[entry.at] = entry
        landed = self._loop.create_future()
        self._collecting.entries.append(entry)
        self._collecting.waiting.append(landed)
        if self._under_way is None and not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)
        return landed

    async def settled(self) -> None:
        """Returns when everything decided so far is on disk, or has failed."""
        batch = self._collecting if self._collecting.entries else self._under_way
        if batch is not None:
            batch.over = batch.over or self._loop.create_future()
            await asyncio.wait([batch.over])

    async def run(self, job: Job) -> None:
        """Runs a job of upkeep between two batches; what it did may have to be done again after a crash."""
        future: Landed = self._loop.create_future()

        def done(error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._writer.run(job, done)
        await future

    async def close(self) -> None:
        """Waits for what is under way; nothing can be written any more."""
        while self._collecting.entries or self._under_way:
            await self.settled()
        self._closed = True
        await self._writer.close()

    def _flush(self) -> None:
        """Has the writer commit what has been collected in this turn of the event loop."""
        self._flush_due = False
        self.batches += 1
        batch, self._collecting = self._collecting, _Batch()
        self._under_way = batch
        self._writer.write(batch.entries, lambda error: self._landed(batch, error))

    def _landed(self, batch: _Batch, error: Exception | None) -> None:
        self._under_way = None
        if error is not None:
            self._fail(batch, error)
            return
        for entry in batch.entries:
            self._remember(entry)
        self.committed = batch.entries[-1].revision
        # Who wrote hears of it first: what it has in hand by then need not be sent to it by its watch.
        batch.end()
        self._loop.call_soon(self._show, batch.entries, _STEPS)
        if self._collecting.entries and not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _show(self, entries: Sequence[Entry], after: int) -> None:
        """Tells the watches, so many turns of the event loop later."""
        if after:
            self._loop.call_soon(self._show, entries, after - 1)
            return
        self.shown = entries[-1].revision
        self._publish(entries)

    def _remember(self, entry: Entry) -> None:
        if self._pending.get(entry.at) is entry:
            del self._pending[entry.at]
        if (after := entry.after) is None:
            self._recent.forget(entry.at)
        else:
            self._recent.put(entry.at, after)

    def _fail(self, batch: _Batch, error: Exception) -> None:
        """Nothing of the batch is on disk, so what was decided on top of it cannot stand either."""
        later, self._collecting = self._collecting, _Batch()
        self._pending.clear()
        self._next = database.newest_revision(self.reader) + 1
        for lost in (batch, later):
            lost.end(f"the store could not write: {error}; free the disk, then retry")
