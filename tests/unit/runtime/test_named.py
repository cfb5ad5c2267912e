"""Objects that are kept current by name, over the embedded store: nothing else is asked for, a refusal heals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from kubechain.errors import Conflict, Forbidden
from kubechain.resources.builtin import SECRETS, Secret
from kubechain.resources.kind import Kind
from kubechain.resources.model import ObjectMeta
from kubechain.runtime.api import Bookmark, Change, Key, ListOptions, Page, WatchOptions
from kubechain.runtime.clock import now
from kubechain.runtime.named import NamedInformer
from kubechain.store.engine import Store

T = TypeVar("T")
Told = asyncio.Queue[tuple[str, str]]
SECONDS = 10.0
ONE = Key("default", "one")


@dataclass
class Guarded:
    """A store of which only the `allowed` names may be read, and each by its name."""

    store: Store
    allowed: set[str] = field(default_factory=lambda: {"one"})
    asked: list[str] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """A watch began; one ended."""

    def _check(self, verb: str, options: ListOptions | WatchOptions | None) -> str:
        name = options.fields.equal_to("metadata.name") if options else None
        self.asked.append(f"{verb} {name}")
        if name not in self.allowed:
            raise Forbidden(f'secrets "{name}" is forbidden: User "operator" cannot {verb} resource "secrets"')
        return name

    async def list(self, kind: Kind[T], namespace: str = "", options: ListOptions | None = None) -> Page[T]:
        self._check("list", options)
        return await self.store.list(kind, namespace, options)

    async def watch(
        self, kind: Kind[T], namespace: str = "", options: WatchOptions | None = None
    ) -> AsyncGenerator[Change[T] | Bookmark, None]:
        name = self._check("watch", options)
        self.opened.set()
        try:
            async with aclosing(self.store.watch(kind, namespace, options)) as events:
                async for event in events:
                    if name not in self.allowed:
                        return
                    yield event
        finally:
            self.closed.set()


def secret(name: str, value: str = "YQ==") -> Secret:
    return Secret(metadata=ObjectMeta(name=name, namespace="default"), data={"key": value})


@asynccontextmanager
async def running() -> AsyncIterator[tuple[NamedInformer[Secret], Guarded, Told]]:
    """An informer of named secrets whose backoff is short, and what its handlers were told."""
    async with Store.open(None, clock=now) as store, asyncio.timeout(SECONDS):
        guarded, told = Guarded(store), Told()
        informer = NamedInformer(guarded, SECRETS, chance=lambda: 0.01)  # type: ignore[arg-type]  # lists, watches

        def hear(old: Secret | None, new: Secret | None) -> None:
            told.put_nowait(tuple("-" if s is None else s.data.get("key", "?") for s in (old, new)))  # type: ignore[arg-type]

        informer.on_change(hear)
        task = asyncio.create_task(informer.run())
        try:
            yield informer, guarded, told
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert task.cancelled()


async def test_only_what_is_named_is_asked_for_and_a_change_of_it_is_told() -> None:
    async with running() as (informer, api, told):
        for name in ("one", "two"):
            await api.store.create(SECRETS, secret(name))
        informer.want(ONE)
        informer.want(ONE)
        found = await informer.read(ONE)
        assert found is not None
        assert found.data == {"key": "YQ=="}
        await api.store.put(SECRETS, secret("one", "Yg=="))
        await api.store.put(SECRETS, secret("two", "Yg=="))
        assert await told.get() == ("YQ==", "Yg==")
        await api.store.delete(SECRETS, "one", "default")
        assert await told.get() == ("Yg==", "-")
        assert await informer.read(ONE) is None
        assert api.asked == ["list one", "watch one"]


async def test_a_name_that_is_not_there_yet_is_told_when_it_comes() -> None:
    async with running() as (informer, api, told):
        informer.want(ONE)
        assert await informer.read(ONE) is None
        await api.store.create(SECRETS, secret("one"))
        assert await told.get() == ("-", "YQ==")


async def test_what_nobody_names_any_more_is_forgotten_and_its_watch_ends() -> None:
    async with running() as (informer, api, told):
        await api.store.create(SECRETS, secret("one"))
        informer.want(ONE)
        await informer.read(ONE)
        await api.opened.wait()
        informer.release(ONE)
        assert informer.get(ONE) is None
        await api.closed.wait()
        with pytest.raises(Conflict, match="no longer referred to"):
            await informer.read(ONE)
        informer.want(ONE)
        assert await informer.read(ONE) is not None
        assert told.empty()


async def test_who_waits_for_a_name_that_is_released_meanwhile_is_told_to_look_again() -> None:
    async with Store.open(None, clock=now) as store, asyncio.timeout(SECONDS):
        informer = NamedInformer(store, SECRETS)
        informer.want(ONE)
        waiting = asyncio.create_task(informer.read(ONE))
        await asyncio.sleep(0)
        informer.release(ONE)
        with pytest.raises(Conflict):
            await waiting


async def test_a_refusal_is_raised_and_heals_when_the_right_is_given() -> None:
    async with running() as (informer, api, told):
        api.allowed.clear()
        informer.want(ONE)
        with pytest.raises(Forbidden, match='User "operator" cannot list'):
            await informer.read(ONE)
        api.allowed.add("one")
        assert await told.get() == ("?", "-")
        assert await informer.read(ONE) is None
        await api.store.create(SECRETS, secret("one"))
        assert await told.get() == ("-", "YQ==")


async def test_what_may_not_be_read_any_more_is_no_longer_held() -> None:
    async with running() as (informer, api, told):
        await api.store.create(SECRETS, secret("one"))
        informer.want(ONE)
        await informer.read(ONE)
        await api.opened.wait()
        api.allowed.clear()
        await api.store.put(SECRETS, secret("one", "Yg=="))  # wakes the watch, which ends
        assert await told.get() == ("YQ==", "-")
        assert informer.get(ONE) is None
        with pytest.raises(Forbidden):
            await informer.read(ONE)
        api.allowed.add("one")
        assert await told.get() == ("-", "Yg==")
        found = await informer.read(ONE)
        assert found is not None
        assert found.data == {"key": "Yg=="}


async def test_a_thousand_names_are_asked_for_once_each() -> None:
    async with running() as (informer, api, _):
        keys = [Key("default", f"s{n}") for n in range(1_000)]
        api.allowed = {key.name for key in keys}
        for key in keys:
            informer.want(key)
        found = await asyncio.gather(*map(informer.read, keys))
        assert found == [None] * 1_000
        assert sum(line.startswith("list") for line in api.asked) == 1_000
