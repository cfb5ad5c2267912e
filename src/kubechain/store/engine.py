"""The embedded engine: the port `Api` over one SQLite file.

Opened by the composition root and by tests. Reads are answered at once from the event loop's own connection;
writes are decided at once and answered when they are on disk (see ledger); watches are fed by what is committed.
One process per file. Never validates spec or status: callers that take input from outside do that first.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec.structs import replace

from kubechain.errors import AlreadyExists, ApiError, BadRequest
from kubechain.logs import Logger
from kubechain.resources import refusals
from kubechain.resources.builtin import NAMESPACES
from kubechain.resources.document import Document, given, meta_of
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind, R, T
from kubechain.resources.model import Clock, ObjectMeta, Resource
from kubechain.resources.registry import ALL
from kubechain.runtime.api import (
    ALL_NAMESPACES,
    Bookmark,
    Change,
    DeleteOptions,
    Deletion,
    Key,
    ListOptions,
    Page,
    WatchOptions,
)
from kubechain.runtime.selectors import Matcher
from kubechain.store import database, files, hub, pages
from kubechain.store.cleanup import Garbage, History
from kubechain.store.database import Entry
from kubechain.store.decisions import IMMORTAL
from kubechain.store.files import Synchronous
from kubechain.store.hub import Hub, Subscription
from kubechain.store.ledger import Ledger
from kubechain.store.pages import Item, Place
from kubechain.store.writes import Outcome, Writes

_CHUNK = 200
_BOOKMARK_EVERY = 60.0
_AFTER_A_BUG = 1.0
log = Logger(__name__)


class Store:
    """`async with Store.open(path, clock=now) as store:` - an `Api`."""

    def __init__(
        self, path: Path, clock: Clock, synchronous: Synchronous, kinds: Sequence[Kind[Any]], remember: int
    ) -> None:
        """Opens the file, or creates it; blocks. Raises SettingsError."""
        self._clock = clock
        self._remember = remember
        self._connections = files.connect(path, synchronous)
        numbers = database.number_resources(self._connections.writing, [kind.key for kind in kinds])
        self._kinds = {numbers[kind.key]: kind for kind in kinds}

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path | None,
        *,
        clock: Clock,
        synchronous: Synchronous = "FULL",
        kinds: Sequence[Kind[Any]] = ALL,
        remember: int = 1024 * 1024,
        thread: Executor | None = None,
    ) -> AsyncIterator[Self]:
        """The store in a file, which is created if it does not exist. None: a store in memory.

        `remember`: how many bytes of recently used objects are kept in memory. `thread`: where commits are made,
        by default a thread of its own; it is shut down with the store.
        """
        async with AsyncExitStack() as stack:
            if path is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kubechain-"))
                path, synchronous = Path(folder) / "store.db", "OFF"
            store = await asyncio.to_thread(cls, path, clock, synchronous, kinds, remember)
            stack.push_async_callback(store._close)
            await store._start(thread)
            yield store

    async def _start(self, thread: Executor | None) -> None:
        self._hub = Hub()
        self._ledger = Ledger(self._connections, self._publish, self._remember, thread)
        self._writes = Writes(self._ledger, self._kinds, self._clock)
        self._history = History(self._ledger, self._writes, self._clock)
        self._garbage = Garbage(self._ledger, self._writes, self._kinds)
        workers = (self._garbage.run, self._history.run)
        self._tasks = [asyncio.create_task(_kept_alive(run), name=f"store {run.__qualname__}") for run in workers]
        for name in sorted(IMMORTAL):
            if self._ledger.state(self._writes.address(NAMESPACES, "", name)) is None:
                self._writes.create(NAMESPACES, Document(ObjectMeta(name=name), {}))
        await self._ledger.settled()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._hub.close()
        await self._ledger.close()
        await asyncio.to_thread(self._connections.close)

    def _publish(self, entries: Sequence[Entry]) -> None:
        self._hub.publish(entries)
        self._garbage.notice(entries)
        self._history.notice(entries)

    async def get(self, kind: Kind[T], name: str, namespace: str = "") -> T:
        stored = self._ledger.stored(self._writes.address(kind, namespace, name))
        if stored is None:
            raise refusals.not_found(kind, name)
        return kind.decode(stored.body)

    async def list(
        self, kind: Kind[T], namespace: str = ALL_NAMESPACES, options: ListOptions | None = None
    ) -> Page[T]:
        options = options or ListOptions()
        matcher = Matcher(kind, namespace, options.labels, options.fields)
        revision, place = self._list_from(options)
        number, limit = self._writes.number(kind), options.limit
        page: Page[T] = Page([], "")
        last: Item | None = None
        size = limit + 1 if limit and not matcher.looks_inside else _CHUNK
        while True:
            items, place = pages.read(self._ledger.reader, number, matcher, revision, place, size)
            for item in items:
                if limit and len(page.items) == limit and last is not None:
                    return self._continued(matcher, number, page, revision, Place(last.namespace, last.name))
                page.items.append(kind.decode(item.body))
                last = item
            if place is None:
                return replace(page, resource_version=str(revision))
            await asyncio.sleep(0)
            self._refuse_forgotten(revision, place)

    async def watch(
        self, kind: Kind[T], namespace: str = ALL_NAMESPACES, options: WatchOptions | None = None
    ) -> AsyncGenerator[Change[T] | Bookmark, None]:
        options = options or WatchOptions()
        matcher = Matcher(kind, namespace, options.labels, options.fields)
        number, position = self._writes.number(kind), _version(options.since)
        if position == 0 or options.initial_events:
            present = await self.list(
                kind.raw, namespace, ListOptions(options.labels, options.fields, resource_version=options.since)
            )
            position = int(present.resource_version)
            for body in present.items:
                yield _added(kind, body)
            if options.initial_events:
                yield Bookmark(str(position), initial_end=True)
        subscription = Subscription(kind, number, matcher, position)
        self._hub.add(subscription)
        if options.bookmarks:
            subscription.remind(_BOOKMARK_EVERY)
        try:
            while not subscription.closed:
                if subscription.behind:  # log first, then live, then log again after falling behind
                    for event in hub.catch_up(self._ledger.reader, subscription, self._history.compacted):
                        yield _change(kind, event)
                while (queued := subscription.take()) is not None:
                    yield _change(kind, queued)
                if subscription.behind or subscription.closed:
                    continue
                if subscription.bookmark_due:
                    yield self._bookmark(subscription)
                else:
                    await subscription.wait()
        finally:
            self._hub.remove(subscription)

    async def create(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        document = given(kind, obj)
        return await self._saved(kind, obj, lambda: self._writes.create(kind, document, dry_run=dry_run))

    async def put(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        document = given(kind, obj)
        return await self._saved(kind, obj, lambda: self._writes.put(kind, document, dry_run=dry_run))

    async def put_status(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        document = given(kind, obj)
        return await self._saved(kind, obj, lambda: self._writes.put_status(kind, document, dry_run=dry_run))

    async def _saved(self, kind: Kind[T], obj: T, write: Callable[[], Outcome]) -> T:
        return _answer(kind, obj, await self._written(write))

    async def checkpoint(
        self, kind: Kind[T], obj: T, child_kind: Kind[R], children: Sequence[R]
    ) -> tuple[T, Sequence[R]]:
        document, made = given(kind, obj), list[R]()

        def write() -> Outcome:
            outcome = self._writes.put_status(kind, document)
            for child in children:
                with suppress(ApiError):
                    made.append(self._ensured(child_kind, child))
            return outcome

        outcome = await self._written(write)
        # Decided in one turn of the event loop: all of it landed in one transaction.
        return _answer(kind, obj, outcome), made

    def _ensured(self, kind: Kind[R], obj: R) -> R:
        """Decides on a create, or finds the existing object."""
        try:
            return _answer(kind, obj, self._writes.create(kind, given(kind, obj)))
        except AlreadyExists:
            found = self._ledger.state(self._writes.address(kind, obj.metadata.namespace, obj.metadata.name))
            if found is None:
                raise
            return kind.decode(found.body)

    async def patch(
        self, kind: Kind[T], name: str, namespace: str, merge: JsonObject, *, status: bool = False
    ) -> T:
        outcome = await self._written(lambda: self._writes.patch(kind, namespace, name, merge, status=status))
        return kind.decode(outcome.body)

    async def delete(
        self, kind: Kind[T], name: str, namespace: str = "", options: DeleteOptions | None = None
    ) -> Deletion[T]:
        wanted = options or DeleteOptions()
        outcome = await self._written(lambda: self._writes.delete(kind, namespace, name, wanted))
        return Deletion(kind.decode(outcome.body), outcome.gone)

    async def ensure(self, kind: Kind[T], obj: T) -> T:
        document = given(kind, obj)
        try:
            return await self._saved(kind, obj, lambda: self._writes.create(kind, document))
        except AlreadyExists:
            return await self.get(kind, document.meta.name, document.meta.namespace)

    async def confirm(self, kind: Kind[T], obj: T) -> None:
        meta = obj.metadata if isinstance(obj, Resource) else given(kind, obj).meta
        newest = self._ledger.state(self._writes.address(kind, meta.namespace, meta.name))
        if newest is None:
            raise refusals.not_found(kind, meta.name)
        if (str(newest.revision), newest.meta.uid) != (meta.resource_version, meta.uid):
            raise refusals.conflict(kind, meta.name)

    async def compact(self, revision: int) -> None:
        """Deletes the history up to a revision now, before it is old enough."""
        await self._history.compact(revision)

    async def _written(self, write: Callable[[], Outcome]) -> Outcome:
        """Decides now, and answers or raises when everything that the decision is based on is on disk."""
        try:
            outcome = write()
        except ApiError:
            await self._ledger.settled()
            raise
        if outcome.landed is not None:
            await outcome.landed
        else:
            await self._ledger.settled()
        return outcome

    def _list_from(self, options: ListOptions) -> tuple[int, Place | None]:
        """(revision to read at, place to begin after). Raises Gone, Timeout, BadRequest."""
        if options.continue_token:
            if options.resource_version not in ("", "0"):
                raise BadRequest("specifying resource version is not allowed when using continue")
            revision, place = pages.parse_token(options.continue_token)
            self._refuse_forgotten(revision, place)
            return (self._ledger.committed if revision < 0 else revision), place
        wanted = _version(options.resource_version)
        if wanted > (newest := self._ledger.committed):
            raise refusals.future_version(wanted, newest)
        if options.match != "Exact":
            return newest, None
        if wanted < self._history.compacted:
            raise refusals.too_old_list()
        return wanted, None

    def _refuse_forgotten(self, revision: int, place: Place) -> None:
        if 0 <= revision < self._history.compacted:
            raise refusals.Expired(pages.token(-1, place))

    def _continued(self, matcher: Matcher, number: int, page: Page[T], revision: int, place: Place) -> Page[T]:
        remaining = None if matcher.selects else pages.remaining(self._ledger.reader, number, matcher, place)
        return Page(page.items, str(revision), pages.token(revision, place), remaining)

    def _bookmark(self, subscription: Subscription) -> Bookmark:
        """The bookmark of a watch that has delivered everything."""
        subscription.bookmark_due = False
        subscription.position = max(subscription.position, self._ledger.shown)
        return Bookmark(str(subscription.position))


async def _kept_alive(run: Callable[[], Awaitable[None]]) -> None:
    """One of the store's own workers: a bug in it is logged, and does not end it."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("a worker of the store failed", worker=run.__qualname__)
            await asyncio.sleep(_AFTER_A_BUG)


def _version(text: str) -> int:
    """The number in a resource version, 0 for none. Raises BadRequest."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        raise refusals.no_version(text)
    return int(text)


def _answer(kind: Kind[T], given: T, outcome: Outcome) -> T:
    """The object as written: the given one with new metadata, if nothing else changed."""
    if isinstance(given, Resource) and outcome.meta is not None:
        return msgspec.structs.replace(given, metadata=outcome.meta)
    return kind.decode(outcome.body)


def _added(kind: Kind[T], body: bytes) -> Change[T]:
    meta = meta_of(body)
    return Change("ADDED", Key(meta.namespace, meta.name), meta.resource_version, kind.decode(body))


def _change(kind: Kind[T], event: hub.WatchEvent) -> Change[T]:
    key = Key(event.at.namespace, event.at.name)
    return Change(event.type, key, str(event.revision), kind.decode(event.body))
