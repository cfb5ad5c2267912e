"""Commits: a record in the journal, synced; later, many at once, rows in a transaction that stays open.

Called by the ledger. The loop alone uses the connection, and `reader` brings it up to the journal, so every read
sees all that was committed. The journal is written by the loop while its syncs are quick, else by a thread; that
thread also takes the journal over into the database file once it is long, and commits wait meanwhile.
It never decides what is written.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence

from kubechain.errors import InternalError
from kubechain.logs import Logger
from kubechain.store import database
from kubechain.store.journal import Journal, encoded, replay
from kubechain.store.pace import Pace
from kubechain.store.record import Address, Entry, Stored
from kubechain.store.seen import Seen

Job = Callable[[sqlite3.Connection], object]
Done = Callable[[Exception | None], None]
_LONG = 4 * 1024 * 1024
"""Bytes of journal after which the database file takes it over."""
_MANY = 8 * 1024 * 1024
"""Bytes of documents after which it is taken over however short it is: until then they are in memory."""
_WORTH = 256 * 1024
"""Bytes of journal that are taken over once nothing was written for a while: a start would have to read them."""
_REST = 1.0
"""Seconds without a commit that are such a while."""
_ROWS = 64
"""Entries that become rows together, at the most: a statement for many costs each of them little."""
log = Logger(__name__)


class Writer:
    """Commits go through it in order. `carrier` is the thread's connection to the same file."""

    def __init__(self, connection: sqlite3.Connection, carrier: sqlite3.Connection, journal: Journal) -> None:
        self._connection = connection
        self._carrier = carrier
        self._journal = journal
        self._seen = Seen(lambda after, limit: database.addresses(self._current, after, limit))
        self._loop = asyncio.get_running_loop()
        self._pace = Pace()
        self._handed_over = 0
        self._take_over_at = _LONG
        self._documents = 0
        self._rowless: dict[Address, Entry] = {}
        self._rowless_entries: list[Entry] = []
        self._behind = False
        """Whether the open transaction lacks more than the entries without rows."""
        self._committed_at = self._loop.time()
        self._rest: asyncio.TimerHandle | None = None
        self._jobs: queue.SimpleQueue[tuple[Callable[[], object], Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()
        self._await_rest()

    @property
    def reader(self) -> sqlite3.Connection:
        """The connection to read from: it sees all that is committed. Raises InternalError."""
        if (error := _tried(self._make_rows)) is not None:
            raise InternalError(f"the store cannot be read: {error}; free the disk, then retry")
        return self._connection

    def state(self, at: Address) -> Stored | None:
        """The newest committed state of one object, whether it is among the rows yet or not."""
        if (entry := self._rowless.get(at)) is not None:
            return entry.after
        if at not in self._seen:
            return None
        row = database.state(self._current, at)
        return None if row is None else Stored(*row)

    @property
    def _current(self) -> sqlite3.Connection:
        """The connection to read from what has no entry without rows. Raises InternalError."""
        return self.reader if self._behind else self._connection

    def write(self, entries: Sequence[Entry], done: Done) -> None:
        """Commits the entries; `done` hears of it on the loop, perhaps before this returns."""
        record = encoded(entries)
        begun = time.monotonic()
        if self._handed_over or not self._pace.is_quick(begun):
            self._put(lambda: self._journal.append(record), lambda error: self._synced(entries, error, done))
            return
        error = _tried(lambda: self._journal.append(record))
        ended = time.monotonic()
        self._pace.took(ended - begun, ended)
        self._synced(entries, error, done)

    def run(self, job: Job, done: Done) -> None:
        """Runs a job of upkeep in the open transaction: on disk with the next take-over, and lost with a crash."""
        if self._handed_over:
            self._put(lambda: None, lambda _: self._done_at_once(job, done))
        else:
            self._done_at_once(job, done)

    async def close(self) -> None:
        """Has the database file take everything over, and ends the thread."""
        if self._rest is not None:
            self._rest.cancel()
        idle = self._loop.create_future()
        self._put(lambda: None, lambda _: idle.set_result(None))
        await idle
        error = _tried(self._commit)
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        empty = error is None and await asyncio.to_thread(self._carried)
        self._journal.close(empty=empty)

    def _synced(self, entries: Sequence[Entry], error: Exception | None, done: Done) -> None:
        """The entries are in the journal, or it could not be written."""
        if error is None:
            error = self._taken(entries)
        if (self._journal.size > self._take_over_at or self._documents > _MANY) and not self._handed_over:
            self._take_over()
        self._committed_at = self._loop.time()
        self._await_rest()
        done(error)

    def _taken(self, entries: Sequence[Entry]) -> Exception | None:
        """The entries are in the journal and rows soon. Where no rows can be made they are not taken after all."""
        before = len(self._rowless_entries)
        self._rowless_entries += entries
        for entry in entries:
            self._rowless[entry.at] = entry
            if entry.before is None:
                self._seen.add(entry.at)
        if len(self._rowless_entries) >= _ROWS and (error := _tried(self._make_rows)) is not None:
            self._journal.take_back()
            del self._rowless_entries[before:]
            self._rowless = {entry.at: entry for entry in self._rowless_entries}
            return error
        self._documents += sum(len(entry.body) for entry in entries)
        return None

    def _make_rows(self) -> None:
        """Brings the database up to the journal. Raises sqlite3.Error, and then the next call begins anew."""
        if self._behind:
            self._restore()
        elif self._rowless:
            self._behind = True  # a statement that fails may take the whole transaction with it
            database.append(self._connection, self._rowless_entries)
        self._rowless_entries, self._rowless, self._behind = [], {}, False

    def _commit(self) -> None:
        self._make_rows()
        self._connection.execute("COMMIT")

    def _await_rest(self) -> None:
        """Looks again after a while; one timer, set only where there is something to take over."""
        if self._rest is None and self._journal.size > _WORTH:
            when = self._committed_at + _REST
            self._rest = self._loop.call_at(when, self._rested, when)

    def _rested(self, when: float) -> None:
        self._rest = None
        now = max(self._loop.time(), when)  # a loop may be a shade early
        if self._handed_over:  # the thread is at work
            self._committed_at = now
        if now < self._committed_at + _REST:
            self._await_rest()
        elif self._journal.size > _WORTH:
            self._take_over()

    def _done_at_once(self, job: Job, done: Done) -> None:
        error = _tried(lambda: job(self.reader))
        self._behind = self._behind or error is not None
        done(error)

    def _restore(self) -> None:
        """After a failure half way: the open transaction as the journal has it."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        replay(self._connection, self._journal)

    def _take_over(self) -> None:
        """Ends the transaction, and has the thread bring it into the database file before the next begins."""
        self._documents = 0
        if (error := _tried(self._commit)) is None:
            self._put(self._carry, self._taken_over)
            return
        _complain(error)
        self._take_over_at = self._journal.size + _LONG
        self._behind = self._behind or not self._connection.in_transaction

    def _carry(self) -> None:
        """The thread: once all is in the database file, and on disk there, the journal begins anew."""
        if self._carried():
            self._journal.clear()

    def _carried(self) -> bool:
        _, frames, carried = self._carrier.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return bool(frames == carried)

    def _taken_over(self, error: Exception | None) -> None:
        """The journal was begun anew, or goes on where it could not be; what waits in the thread follows."""
        if error is not None:
            _complain(error)
        self._take_over_at = self._journal.size + _LONG
        self._connection.execute("BEGIN IMMEDIATE")

    def _put(self, job: Callable[[], object], done: Done) -> None:
        self._handed_over += 1
        self._jobs.put((job, done))

    def _work(self) -> None:
        """The thread: one job after the other."""
        while (taken := self._jobs.get()) is not None:
            job, done = taken
            self._loop.call_soon_threadsafe(self._done, done, _tried(job))

    def _done(self, done: Done, error: Exception | None) -> None:
        self._handed_over -= 1
        done(error)


def _complain(error: Exception) -> None:
    log.error("the journal could not be taken over, and grows; free the disk", error=str(error))


def _tried(job: Callable[[], object]) -> Exception | None:
    """What went wrong: whoever waits for the job must hear of it."""
    try:
        job()
    except Exception as failure:
        return failure
    return None
