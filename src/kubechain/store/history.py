"""Deletes old history: superseded states after some minutes, Events after an hour.

A background task of the store. It sleeps until the next state or Event is old enough. Marks in the database record
which revision was the newest at what time. Except Events, it never deletes a current state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from kubechain.resources.builtin import EVENTS
from kubechain.resources.model import Clock
from kubechain.runtime.api import DeleteOptions
from kubechain.store import database
from kubechain.store.ledger import Ledger
from kubechain.store.record import Entry
from kubechain.store.writes import Writes

_KEEP = 5 * 60
_KEEP_EVENTS = 60 * 60
_MARK_EVERY = 60
_STEP = 200


class History:
    """The revisions that can still be read, and the task that deletes the oldest."""

    def __init__(self, ledger: Ledger, writes: Writes, clock: Clock) -> None:
        self._ledger = ledger
        self._writes = writes
        self._clock = clock
        self._marks: list[tuple[float, int]] = ledger.reader.execute(
            "SELECT time, rev FROM mark ORDER BY time"
        ).fetchall()
        self.compacted = database.compacted_revision(ledger.reader)
        """Lists and watches from before this revision are refused."""
        self._marked = self._marks[-1][1] if self._marks else self.compacted
        self._written = asyncio.Event()

    def notice(self, entries: Sequence[Entry]) -> None:
        self._written.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await self._until_due()
            await self.forget()

    async def forget(self) -> None:
        """Sets a mark for now, and deletes what is old enough."""
        now = self._clock().timestamp()
        if self._unmarked():
            mark = (int(now), self._ledger.committed)
            self._marks.append(mark)
            self._marked = mark[1]
            await self._ledger.run(lambda cx: cx.execute("INSERT OR REPLACE INTO mark VALUES (?, ?)", mark))
        if (revision := self._newest_before(now - _KEEP)) > self.compacted:
            await self.compact(revision)
        if revision := self._newest_before(now - _KEEP_EVENTS):
            await self._expire_events(revision)
            self._marks = [mark for mark in self._marks if mark[1] > revision]
            await self._ledger.run(lambda cx: cx.execute("DELETE FROM mark WHERE rev <= ?", (revision,)))

    async def compact(self, revision: int) -> None:
        """Deletes superseded states and deletions up to a revision, in small steps between the writes."""
        target = min(revision, self._ledger.committed - 1)
        while self.compacted < target:
            after, self.compacted = self.compacted, min(self.compacted + _STEP, target)
            await self._ledger.run(partial(database.compact, after=after, upto=self.compacted))
            await asyncio.sleep(0)

    def _unmarked(self) -> bool:
        return self._ledger.committed > self._marked

    def _newest_before(self, time: float) -> int:
        return max((revision for when, revision in self._marks if when <= time), default=0)

    async def _until_due(self) -> None:
        """Sleeps until the oldest mark is old enough, or for a while after a write."""
        if not self._unmarked():
            self._written.clear()
            try:
                async with asyncio.timeout(self._seconds_left()):
                    await self._written.wait()
            except TimeoutError:
                return
        await asyncio.sleep(_MARK_EVERY)

    def _seconds_left(self) -> float | None:
        now = self._clock().timestamp()
        due = [when + (_KEEP if rev > self.compacted + 1 else _KEEP_EVENTS) for when, rev in self._marks]
        return max(1.0, min(due) - now) if due else None

    async def _expire_events(self, revision: int) -> None:
        while old := database.unwritten_since(self._ledger.reader, self._writes.number(EVENTS), revision, _STEP):
            landings = [self._writes.remove(at, DeleteOptions("Background")) for at in old]
            if not any(landings):
                return
            await self._ledger.settled()
