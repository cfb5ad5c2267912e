"""Group commit: decisions are made on the event loop, and everything decided meanwhile is one transaction.

The loop makes the rows, and commits them where that takes no time; on other disks a thread does. What is decided
but not yet on disk is kept here for the decisions that follow; nobody is told before its transaction is on disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter

from kubechain.errors import InternalError
from kubechain.resources.document import parse
from kubechain.store import database
from kubechain.store.database import Address, Entry, Stored
from kubechain.store.files import Connections

Landed = asyncio.Future[None]
Job = Callable[[sqlite3.Connection], object]
_QUICK, _SLOW = 0.001, 100
"""Seconds that a commit may take on the event loop; commits that the thread makes after one that took longer."""
_LARGEST = 64 * 1024
"""Bytes of a document that is not kept in memory: few are as large."""


class Recent:
    """The newest committed states of recently used objects, up to a number of bytes of documents.

    States can be dropped at any time: they are read again from the file.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: OrderedDict[Address, Stored] = OrderedDict()
        self.size = 0

    def get(self, at: Address) -> Stored | None:
        if (found := self._states.get(at)) is not None:
            self._states.move_to_end(at)
        return found

    def put(self, at: Address, stored: Stored) -> None:
        self.forget(at)
        if len(stored.body) > _LARGEST:
            return
        self._states[at] = stored
        self.size += len(stored.body)
        while self.size > self._limit:
            self.forget(next(iter(self._states)))

    def forget(self, at: Address) -> None:
        if (former := self._states.pop(at, None)) is not None:
            self.size -= len(former.body)


class _Batch:
    """One transaction: its entries, and the futures of those who wait for them."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.jobs: list[Job] = []
        self.waiting: list[Landed] = []
        self.over: Landed | None = None

    def end(self, problem: str) -> None:
        """Ends all futures of the batch."""
        for landed in self.waiting:
            if landed.done():
                continue
            if problem:
                landed.set_exception(InternalError(problem))
                landed.exception()  # of several that end together, one is awaited
            else:
                landed.set_result(None)
        if self.over is not None and not self.over.done():
            self.over.set_result(None)


class Ledger:
    """The end of the log: assigns revisions, and commits decided entries.

    `remember` is how many bytes of recently used documents are kept in memory; `thread` commits, by default one of
    its own.
    """

    def __init__(
        self,
        connections: Connections,
        publish: Callable[[Sequence[Entry]], None],
        remember: int,
        thread: Executor | None = None,
    ) -> None:
        self.reader = connections.reading
        """The connection to read from: it sees what is committed."""
        self._writing = connections.writing
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._thread = thread or ThreadPoolExecutor(1, "store-writer")
        self._thread.submit(
            int
        )  # the thread starts now: where none can start, a later commit would stay in its line
        self._recent = Recent(remember)
        self._pending: dict[Address, Entry] = {}
        self._collecting = _Batch()
        self._under_way: _Batch | None = None
        self._flush_due = self._closed = False
        self._slow = 0 if thread is None else sys.maxsize  # commits of the thread before the loop tries one
        self.committed = database.newest_revision(self.reader)
        """The newest revision that is on disk."""
        self.next_revision = self.committed + 1
        self.shown = self.committed
        """The newest revision that watches have been told of."""
        self.batches = 0
        """How many transactions have carried writes since the store was opened."""

    def state(self, at: Address) -> Stored | None:
        """The newest decided state of an object, on disk or on its way there."""
        pending = self._pending.get(at)
        return self.stored(at) if pending is None else pending.after

    def stored(self, at: Address) -> Stored | None:
        """The newest state of an object that is on disk."""
        found = self._recent.get(at)
        if found is None and (row := database.state(self.reader, at)) is not None:
            found = Stored(*row, parse(row[1]))
            self._recent.put(at, found)
        return found

    def append(self, entry: Entry) -> Landed:
        """Adds the entry to the log. The future ends when it is on disk."""
        landed = self._wait()
        self.next_revision = entry.revision + 1
        self._pending[entry.at] = entry
        self._collecting.entries.append(entry)
        return landed

    async def run(self, job: Job) -> None:
        """Runs a maintenance job as part of the next transaction."""
        landed = self._wait()
        self._collecting.jobs.append(job)
        await landed

    async def settled(self) -> None:
        """Returns when everything decided so far is on disk, or has failed."""
        batch = self._collecting if self._collecting.waiting else self._under_way
        if batch is not None:
            batch.over = batch.over or self._loop.create_future()
            await asyncio.wait([batch.over])

    async def close(self) -> None:
        """Waits for writes in progress, and refuses further ones."""
        while self._collecting.waiting or self._under_way:
            await self.settled()
        self._closed = True
        self._thread.shutdown()

    def _wait(self) -> Landed:
        """A future in the next transaction, which is scheduled if needed."""
        if self._closed:
            raise InternalError("the store is closed")
        landed = self._loop.create_future()
        self._collecting.waiting.append(landed)
        self._flush_soon()
        return landed

    def _flush_soon(self) -> None:
        if self._under_way is None and not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Makes rows of what was collected, and has the thread commit them."""
        self._flush_due = False
        self.batches += 1
        batch, self._collecting = self._collecting, _Batch()
        self._under_way = batch
        try:
            self._writing.execute("BEGIN IMMEDIATE")
            if batch.entries:
                database.append(self._writing, batch.entries)
            for job in batch.jobs:
                job(self._writing)
        except Exception as error:  # whatever it is, those who wait must hear of it
            self._landed(batch, error)
        else:
            if self._slow:
                self._slow -= 1
                self._thread.submit(lambda: self._loop.call_soon_threadsafe(self._landed, batch, self._commit()))
            else:
                begun = perf_counter()
                self._landed(batch, self._commit())
                self._slow = _SLOW if perf_counter() - begun > _QUICK else 0

    def _commit(self) -> Exception | None:
        try:
            self._writing.execute("COMMIT")
            return None
        except Exception as error:  # in the thread as well, those who wait must hear of it
            return error

    def _landed(self, batch: _Batch, error: Exception | None) -> None:
        self._under_way = None
        if error is not None:
            self._fail(batch, error)
            return
        for entry in batch.entries:
            self._remember(entry)
        batch.end("")
        if batch.entries:
            self.committed = batch.entries[-1].revision
            self._loop.call_soon(self._show, batch.entries)  # who wrote hears of it first
        if self._collecting.waiting:
            self._flush_soon()

    def _show(self, entries: Sequence[Entry]) -> None:
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
        """Fails the batch, and everything that was decided on top of it, because none of it is on disk."""
        with suppress(sqlite3.Error):  # a failed COMMIT may have ended the transaction already
            self._writing.execute("ROLLBACK")
        later, self._collecting = self._collecting, _Batch()
        self._pending.clear()
        self.next_revision = self.committed + 1
        for lost in (batch, later):
            lost.end(f"the store could not write: {error}; {_way_on(error)}, then retry")


def _way_on(error: Exception) -> str:
    busy = isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY
    return "end the transaction of the other program that writes to its file" if busy else "free some disk space"
