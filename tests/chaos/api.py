"""The port `Api` over a real store, spoiled by the weather: what a Kubernetes API may do to its clients.

Stale lists and reads, conflicts, refusals before and after the effect, streams that are cut, late, repeated or
refused for age. One per life of the program; it keeps every promise of the port that a real API server keeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from msgspec.structs import replace

from kubechain.errors import ApiError, Conflict, Details, Gone, InternalError, Timeout, TooManyRequests
from kubechain.resources.document import meta_of
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind, R
from kubechain.runtime.api import (
    ALL_NAMESPACES,
    Api,
    Bookmark,
    Change,
    DeleteOptions,
    Deletion,
    ListOptions,
    Page,
    WatchOptions,
)
from kubechain.runtime.checkpoint import one_by_one
from kubechain.runtime.selectors import parse_fields
from tests.chaos.fate import Life
from tests.chaos.weather import Weather

T = TypeVar("T")
Event = Change[T] | Bookmark


class FaultyApi:
    """`store` is asked for the truth. Requests that were on their way at a kill may arrive after it."""

    def __init__(self, store: Api, weather: Weather, life: Life) -> None:
        self._store = store
        self._weather = weather
        self._life = life

    async def get(self, kind: Kind[T], name: str, namespace: str = "") -> T:
        await self._reading(f"get {kind.plural}/{name}")
        found = await self._store.get(kind, name, namespace)
        if self._weather.strikes("read"):
            self._weather.injected("api: stale get")
            return await self._older(kind, name, namespace)
        return found

    async def list(
        self, kind: Kind[T], namespace: str = ALL_NAMESPACES, options: ListOptions | None = None
    ) -> Page[T]:
        await self._reading(f"list {kind.plural}")
        options, dice = options or ListOptions(), self._weather.dice("list")
        if options.continue_token:
            if self._weather.strikes("read"):
                self._weather.injected("api: 410 while paging")
                raise Gone("the continue token is too old: list again")
        elif self._weather.strikes("read", factor=2):
            newest = int((await self._store.list(kind.raw, namespace, ListOptions(limit=1))).resource_version)
            self._weather.injected("api: stale list")
            version = str(max(1, newest - dice.randint(1, 30)))
            options = replace(options, resource_version=version, match="Exact")
        if options.limit and self._weather.strikes("read", factor=2):
            options = replace(options, limit=dice.randint(1, 4))
        try:
            return await self._store.list(kind, namespace, options)
        except Gone:
            return await self._store.list(kind, namespace)

    async def _older(self, kind: Kind[T], name: str, namespace: str) -> T:
        """An earlier state of an object, where it has one."""
        newest = await self._store.get(kind, name, namespace)
        version = int(meta_of(kind.encode(newest)).resource_version)
        past = str(max(1, version - self._weather.dice("past").randint(1, 6)))
        only = ListOptions(fields=parse_fields(f"metadata.name={name}"), resource_version=past, match="Exact")
        items = (await self._store.list(kind, namespace, only)).items
        return items[0] if items else newest

    async def watch(
        self, kind: Kind[T], namespace: str = ALL_NAMESPACES, options: WatchOptions | None = None
    ) -> AsyncGenerator[Change[T] | Bookmark, None]:
        options = options or WatchOptions()
        await self._reading(f"watch {kind.plural} since {options.since}")
        if options.since and self._weather.strikes("watch"):
            self._weather.injected("api: 410 on watch")
            raise Gone(f"too old resource version: {options.since}")
        if self._weather.dice("bookmarks").random() < 0.9:
            options = replace(options, bookmarks=False)
        lossy = False
        async with aclosing(self._store.watch(kind, namespace, options)) as stream:
            while (event := await self._next(stream, cut=lossy)) is not None:
                await self._life.cross(f"event {kind.plural} {_about(event)}")
                if lossy or self._weather.strikes("watch"):
                    fate = self._weather.dice("event").choice(("late", "twice", "cut", "broken", "gone", "lost"))
                    fate = "lost" if lossy else fate
                    self._weather.injected(f"api: watch event {fate}")
                    if fate == "late":
                        await asyncio.sleep(self._weather.dice("late").choice((0.01, 1.0, 20.0)))
                    elif fate == "cut":
                        return
                    elif fate == "broken":
                        raise InternalError("the stream broke")
                    elif fate == "gone":
                        raise Gone("too old resource version")
                    elif fate == "lost":
                        # What is lost is never followed by anything newer: the stream is cut first.
                        if lossy and self._weather.dice("event").random() < 0.5:
                            return
                        lossy = True
                        continue
                    else:
                        yield event
                yield event

    async def _next(self, stream: AsyncGenerator[Event[T], None], *, cut: bool) -> Event[T] | None:
        """The next event; None when the stream ends, be it because it is cut in its silence."""
        if not cut and not self._weather.strikes("watch", factor=0.5):
            return await anext(stream, None)
        coming = asyncio.ensure_future(anext(stream, None))
        patience = self._weather.dice("silence").choice((0.05, 5.0))
        try:
            done, _ = await asyncio.wait({coming}, timeout=patience)
        except asyncio.CancelledError:
            await _ended(coming)
            raise
        if done:
            return coming.result()
        self._weather.injected("api: watch cut in silence")
        await _ended(coming)
        return None

    async def create(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        return await self._writing(
            f"create {_name(kind, obj)}", lambda: self._store.create(kind, obj, dry_run=dry_run)
        )

    async def put(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        return await self._writing(
            f"put {_name(kind, obj)}", lambda: self._store.put(kind, obj, dry_run=dry_run), conflicts=True
        )

    async def put_status(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        effect = lambda: self._store.put_status(kind, obj, dry_run=dry_run)  # noqa: E731
        return await self._writing(f"put_status {_name(kind, obj)}", effect, conflicts=True)

    async def checkpoint(
        self, kind: Kind[T], obj: T, child_kind: Kind[R], children: Sequence[R]
    ) -> tuple[T, Sequence[R]]:
        return await one_by_one(self, kind, obj, child_kind, children)

    async def patch(
        self, kind: Kind[T], name: str, namespace: str, merge: JsonObject, *, status: bool = False
    ) -> T:
        return await self._writing("patch", lambda: self._store.patch(kind, name, namespace, merge, status=status))

    async def delete(
        self, kind: Kind[T], name: str, namespace: str = "", options: DeleteOptions | None = None
    ) -> Deletion[T]:
        return await self._writing("delete", lambda: self._store.delete(kind, name, namespace, options))

    async def ensure(self, kind: Kind[T], obj: T) -> T:
        return await self._writing(f"ensure {_name(kind, obj)}", lambda: self._store.ensure(kind, obj))

    async def confirm(self, kind: Kind[T], obj: T) -> None:
        await self._reading(f"confirm {_name(kind, obj)}")
        await self._store.confirm(kind, obj)

    async def _reading(self, verb: str) -> None:
        await self._life.cross(verb)
        await self._travel()
        if self._weather.strikes("read"):
            raise self._refusal("before")

    async def _writing(self, verb: str, effect: Callable[[], Awaitable[T]], *, conflicts: bool = False) -> T:
        try:
            await self._life.cross(verb)
            await self._travel()
        except asyncio.CancelledError:
            self._arrives_late(effect)
            raise
        if self._weather.strikes("write"):
            if conflicts and self._weather.dice("refusal").random() < 0.4:
                self._weather.injected("api: conflict")
                raise Conflict("the object has been modified; please apply your changes to the latest version")
            raise self._refusal("before")
        done = await effect()
        if self._weather.strikes("write", factor=0.5):
            raise self._refusal("after")
        await self._travel()
        await self._life.cross(f"{verb} answered")
        return done

    def _refusal(self, when: str) -> ApiError:
        dice = self._weather.dice("refusal")
        later = Details(retry_after=dice.choice((0, 1, 5)))
        errors = (TooManyRequests("slow down", later), InternalError("etcd is away"), Timeout("too slow", later))
        error = dice.choice(errors if when == "before" else errors[1:])
        self._weather.injected(f"api: {error.code} {when} the effect")
        return error

    async def _travel(self) -> None:
        """The way there or back, mostly short."""
        if self._weather.dice("way").random() < 0.3:
            await asyncio.sleep(self._weather.dice("way").choice((0.0, 0.002, 0.02, 0.3)))

    def _arrives_late(self, effect: Callable[[], Awaitable[Any]]) -> None:
        """A request that had left a process before it was killed."""
        if not self._life.over or self._weather.dice("late write").random() < 0.7:
            return
        self._weather.injected("api: write arrives after the kill")
        self._life.fate.on_the_way.add(
            asyncio.create_task(_arrive(effect, self._weather.dice("late write").choice((0.0, 1.0, 9.0))))
        )


def _name(kind: Kind[T], obj: T) -> str:
    meta = meta_of(kind.encode(obj))
    return f"{kind.plural}/{meta.name}@{meta.resource_version}"


def _about(event: Event[Any]) -> str:
    return (
        event.resource_version
        if isinstance(event, Bookmark)
        else f"{event.type} {event.key} {event.resource_version}"
    )


async def _arrive(effect: Callable[[], Awaitable[Any]], after: float) -> None:
    await asyncio.sleep(after)
    try:
        await effect()
    except ApiError:
        return


async def _ended(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
