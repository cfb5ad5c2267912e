"""Watches: passes each commit to the watches that match, in order, without gaps or duplicates.

The ledger publishes into it, the engine's watches read from it. Nothing waits for a reader: the queue of a slow
reader is dropped, and it continues from the log at its own pace. No polling; a silent watch costs nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from kubechain.resources.document import stamped
from kubechain.resources.kind import Kind
from kubechain.resources.refusals import too_old_version
from kubechain.runtime.selectors import Matcher
from kubechain.store.database import ADDED, DELETED, MODIFIED, Address, Entry

_QUEUE = 512
_PAGE = 200
_TYPES: dict[int, Literal["ADDED", "MODIFIED", "DELETED"]] = {
    ADDED: "ADDED",
    MODIFIED: "MODIFIED",
    DELETED: "DELETED",
}


class WatchEvent(NamedTuple):
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    at: Address
    revision: int
    body: bytes


class Subscription:
    """One watch. `position`: the revision up to which everything was delivered, or before which it began."""

    def __init__(self, kind: Kind[Any], resource: int, matcher: Matcher, position: int) -> None:
        self.kind = kind
        self.resource = resource
        self.matcher = matcher
        self.position = position
        self.behind = True
        self.closed = False
        self.bookmark_due = False
        self._queue: deque[WatchEvent] = deque()
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def offer(self, entry: Entry) -> None:
        """Queues the event of an entry. If the queue is full, it is dropped: the watch continues from the log."""
        if self.behind or entry.revision <= self.position:
            return
        before = entry.before.body if entry.before else None
        event = self.event(entry.revision, entry.at, entry.type, entry.body, before)
        if event is None:
            return
        if len(self._queue) >= _QUEUE:
            self.position = max(self.position, self._queue[0].revision - 1)
            self._queue.clear()
            self.behind = True
        else:
            self._queue.append(event)
        self._wake()

    def event(
        self, revision: int, at: Address, type_: int, body: bytes, before: bytes | None
    ) -> WatchEvent | None:
        """The event of a log entry for these selectors: an object may start, continue or stop to match."""
        if self.matcher.takes_all:
            return WatchEvent(_TYPES[type_], at, revision, body)
        if not self.matcher.accepts_address(at.namespace, at.name):
            return None
        if self.matcher.looks_inside:
            matched = before is not None and self.matcher.accepts(before)
            matches = type_ != DELETED and self.matcher.accepts(body)
            if not matched and not matches:
                return None
            if matched and not matches and type_ != DELETED and before is not None:
                body = stamped(self.kind, before, revision)
            type_ = DELETED if not matches else MODIFIED if matched else ADDED
        return WatchEvent(_TYPES[type_], at, revision, body)

    def close(self) -> None:
        self.closed = True
        self._wake()

    def take(self) -> WatchEvent | None:
        """The next queued event."""
        if not self._queue:
            return None
        event = self._queue.popleft()
        self.position = event.revision
        return event

    async def wait(self) -> None:
        """Waits until there may be an event to take, or a bookmark is due."""
        self._waiting = self._loop.create_future()
        await self._waiting

    def remind(self, seconds: float) -> None:
        """Makes a bookmark due at this interval, until `ended`."""
        self._timer = self._loop.call_later(seconds, self._remind, seconds)

    def ended(self) -> None:
        """The reader has stopped."""
        if self._timer is not None:
            self._timer.cancel()

    def _remind(self, seconds: float) -> None:
        self.bookmark_due = True
        self._wake()
        self.remind(seconds)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Hub:
    """All watches, by resource."""

    def __init__(self) -> None:
        self._subscriptions: dict[int, dict[Subscription, None]] = {}

    def add(self, subscription: Subscription) -> None:
        self._subscriptions.setdefault(subscription.resource, {})[subscription] = None

    def remove(self, subscription: Subscription) -> None:
        self._subscriptions[subscription.resource].pop(subscription, None)
        subscription.ended()

    def publish(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            for subscription in self._subscriptions.get(entry.at.resource, ()):
                subscription.offer(entry)

    def close(self) -> None:
        """Ends every watch."""
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.close()


def catch_up(cx: sqlite3.Connection, subscription: Subscription, compacted: int) -> list[WatchEvent]:
    """The next events from the log; after the last one the watch is live. Raises Gone if they were deleted."""
    if subscription.position < compacted:
        raise too_old_version(subscription.position, compacted)
    rows = cx.execute(
        "SELECT l.rev, l.namespace, l.name, l.type, l.body, p.body "
        "FROM log l LEFT JOIN log p ON p.rev = l.prev "
        "WHERE l.rev > ? AND l.resource = ? ORDER BY l.rev LIMIT ?",
        (subscription.position, subscription.resource, _PAGE),
    ).fetchall()
    events = []
    for revision, namespace, name, type_, body, former in rows:
        shown = stamped(subscription.kind, former, revision) if type_ == DELETED else body
        at = Address(subscription.resource, namespace, name)
        if event := subscription.event(revision, at, type_, shown, former):
            events.append(event)
    if rows:
        subscription.position = rows[-1][0]
    subscription.behind = len(rows) == _PAGE
    return events
