"""What the store deletes by itself, in two background tasks: garbage, and old history. Never polls.

`Garbage` deletes objects when their owners or their namespace are deleted. Commits wake it: a deleted owner, a new
or removed ownerReference, a deletion that waits for its dependants (Foreground) or keeps them (Orphan), or a
Terminating namespace, which is emptied and then removed. It never scans after the start.

`History` deletes superseded states after some minutes, and Events after an hour. It sleeps until the next one is
old enough; marks in the database record which revision was the newest at what time. Except Events, it never
deletes a current state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from kubechain.resources.builtin import EVENTS, NAMESPACES
from kubechain.resources.document import Document
from kubechain.resources.kind import Kind
from kubechain.resources.model import Clock, ObjectMeta, OwnerReference
from kubechain.runtime.api import DeleteOptions
from kubechain.store import database
from kubechain.store.database import DELETED, Address, Entry, Stored
from kubechain.store.decisions import FOREGROUND, ORPHAN, finalized
from kubechain.store.ledger import Landed, Ledger
from kubechain.store.writes import Writes

_AT_ONCE = 200
_GRACE = 2.0
"""Seconds before a namespace is emptied: `kubectl delete -f` deletes it and then, one by one, what is in it."""
_KEEP = 5 * 60
_KEEP_EVENTS = 60 * 60
_MARK_EVERY = 60
_STEP = 200


class Garbage:
    """The objects to check, and the task that checks them."""

    def __init__(self, ledger: Ledger, writes: Writes, kinds: Mapping[int, Kind[Any]]) -> None:
        self._ledger = ledger
        self._writes = writes
        self._kinds = kinds
        self._numbers = {(kind.group, kind.kind): number for number, kind in kinds.items()}
        self._namespaces = writes.number(NAMESPACES)
        self._terminating = set[str]()
        """The namespaces that are being emptied."""
        self._due: dict[Address, None] = dict.fromkeys(database.ownerless(ledger.reader))
        self._wake = asyncio.Event()
        self._wake.set()

    def notice(self, entries: Sequence[Entry]) -> None:
        """Queues objects that a commit may have left without owner or dependants, and namespaces to empty."""
        for entry in entries:
            is_namespace = entry.at.resource == self._namespaces
            if entry.type == DELETED:
                self._due.update(dict.fromkeys(database.dependants(self._ledger.reader, entry.meta.uid)))
                if is_namespace:
                    self._terminating.discard(entry.at.name)
            elif entry.meta.deletion_timestamp and is_namespace:
                if entry.at.name not in self._terminating:
                    asyncio.get_running_loop().call_later(_GRACE, self._begin, entry.at)
            elif entry.meta.deletion_timestamp or (entry.reowned and self._has_lost(entry)):
                self._due[entry.at] = None
            if entry.former_owners and entry.reowned:
                self._due.update(dict.fromkeys(self._owners(entry.at, entry.former_owners)))
            if entry.at.namespace in self._terminating:
                self._due[Address(self._namespaces, "", entry.at.namespace)] = None
        if self._due:
            self._wake.set()

    def _begin(self, namespace: Address) -> None:
        self._due[namespace] = None
        self._wake.set()

    def _has_lost(self, entry: Entry) -> bool:
        """Whether an owner of an object does not exist or is being deleted."""
        return any(self._owner_state(entry.at, reference) != "solid" for reference in entry.owners)

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._due:
                batch = list(self._due)[:_AT_ONCE]
                for at in batch:
                    del self._due[at]
                landings = [landed for at in batch for landed in self._look(at) if landed]
                if landings:
                    await asyncio.wait(landings)
                await asyncio.sleep(0)

    def _look(self, at: Address) -> Iterator[Landed | None]:
        """Checks one object and does what is needed."""
        stored = self._ledger.state(at)
        if at.resource == self._namespaces:
            yield from self._empty(at, stored)
        if stored is None:
            return
        meta = stored.meta
        if meta.deletion_timestamp and ORPHAN in meta.finalizers:
            yield from self._orphan(at, meta)
        elif meta.deletion_timestamp and FOREGROUND in meta.finalizers:
            yield from self._delete_dependants_first(at, meta)
        elif meta.owner_references:
            yield from self._judge(at, meta)

    def _empty(self, at: Address, namespace: Stored | None) -> Iterator[Landed | None]:
        """Deletes some objects of a Terminating namespace, or removes the namespace if it is empty."""
        if namespace is None or not namespace.deleting:  # it went, and may be there again as another
            self._terminating.discard(at.name)
            return
        self._terminating.add(at.name)
        is_empty = True
        for number in (number for number, kind in self._kinds.items() if kind.namespaced):
            found = database.contents(self._ledger.reader, number, at.name, _AT_ONCE)
            is_empty = is_empty and not found
            for content, deleting in found:
                if not deleting:
                    yield self._writes.remove(content, DeleteOptions("Background"))
        if is_empty:
            yield self._writes.amend(at, finalized)

    def _orphan(self, at: Address, meta: ObjectMeta) -> Iterator[Landed | None]:
        for dependant in database.dependants(self._ledger.reader, meta.uid):
            yield self._writes.amend(dependant, _without_owners({meta.uid}))
        yield self._writes.amend(at, _without_finalizer(ORPHAN))

    def _delete_dependants_first(self, at: Address, meta: ObjectMeta) -> Iterator[Landed | None]:
        dependants = database.dependants(self._ledger.reader, meta.uid)
        if not any(self._blocks(dependant, meta.uid) for dependant in dependants):
            yield self._writes.amend(at, _without_finalizer(FOREGROUND))
            return
        for dependant in dependants:
            if (stored := self._ledger.state(dependant)) and not stored.deleting:
                self._due[dependant] = None

    def _blocks(self, dependant: Address, uid: str) -> bool:
        stored = self._ledger.state(dependant)
        owners = stored.meta.owner_references if stored else []
        return any(owner.uid == uid and owner.block_owner_deletion is True for owner in owners)

    def _judge(self, at: Address, meta: ObjectMeta) -> Iterator[Landed | None]:
        """Deletes an object that has no owner any more; otherwise removes its references to deleted owners."""
        gone, waiting, solid = set[str](), set[str](), False
        for reference in meta.owner_references:
            match self._owner_state(at, reference):
                case "gone":
                    gone.add(reference.uid)
                case "waiting":
                    waiting.add(reference.uid)
                case _:
                    solid = True
        if solid:
            if gone or waiting:
                yield self._writes.amend(at, _without_owners(gone | waiting))
        elif meta.deletion_timestamp is None:
            first = waiting and database.dependants(self._ledger.reader, meta.uid)
            options = DeleteOptions("Foreground" if first else "Background", uid=meta.uid)
            yield self._writes.remove(at, options)

    def _owner_state(self, at: Address, reference: OwnerReference) -> str:
        """gone, waiting (for its dependants to go first), or solid; owners of unknown kinds count as solid."""
        owner = next(self._owners(at, [reference]), None)
        if owner is None:
            return "solid"
        stored = self._ledger.state(owner)
        if stored is None or stored.meta.uid != reference.uid:
            return "gone"
        return "waiting" if stored.deleting and FOREGROUND in stored.meta.finalizers else "solid"

    def _owners(self, at: Address, references: Sequence[OwnerReference]) -> Iterator[Address]:
        for reference in references:
            group, _, _ = reference.api_version.rpartition("/")
            if (number := self._numbers.get((group, reference.kind))) is not None:
                namespace = at.namespace if self._kinds[number].namespaced else ""
                yield Address(number, namespace, reference.name)


def _without_owners(uids: set[str]) -> Callable[[Document], Document | None]:
    def change(document: Document) -> Document | None:
        kept = [owner for owner in document.meta.owner_references if owner.uid not in uids]
        if len(kept) == len(document.meta.owner_references):
            return None
        return Document(msgspec.structs.replace(document.meta, owner_references=kept), document.parts)

    return change


def _without_finalizer(finalizer: str) -> Callable[[Document], Document | None]:
    def change(document: Document) -> Document | None:
        kept = [f for f in document.meta.finalizers if f != finalizer]
        return Document(msgspec.structs.replace(document.meta, finalizers=kept), document.parts)

    return change


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
