"""Effect points: every boundary right before and after a write, a model call, a tool's execution.

`Points` names those that one life of the program passes and kills it at a chosen one: from there on whoever calls
through the delegating ports of that life gets `Killed`, so that nothing it does has an effect any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from kubechain.agents.naming import digest
from kubechain.agents.ports.model import Endpoint, ModelProvider, Progress, Reply, ToolOffer
from kubechain.agents.ports.tool import Environment
from kubechain.providers.tools.function.calls import FunctionCall, FunctionProcesses, FunctionSignature
from kubechain.providers.tools.limits import NO_BOUNDS, Bounds
from kubechain.resources.builtin import EVENTS
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind, R
from kubechain.resources.message import Message
from kubechain.resources.model import Resource
from kubechain.resources.segment import TranscriptSegment
from kubechain.runtime.api import (
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

T = TypeVar("T")
STILL = 30
"""Turns of the event loop without anything under way after which nothing more will come by itself."""


class Killed(BaseException):
    """The program was killed here. No `except Exception` sees it, and no clean-up can have an effect."""


class Points:
    """The effect points of one life, and the one at which it is killed ("" for none)."""

    def __init__(self, kill_at: str = "") -> None:
        self.kill_at = kill_at
        self.passed: list[str] = []
        self.dead = False
        self._times: Counter[str] = Counter()
        self._under_way = 0
        self._begun = 0
        self._idle, self._moved = asyncio.Event(), asyncio.Event()
        self._idle.set()

    def reach(self, label: str) -> None:
        """Passes a point. Raises Killed where it is the chosen one, and ever after."""
        self.alive()
        self._times[label] += 1
        name = label if self._times[label] == 1 else f"{label} #{self._times[label]}"
        self.passed.append(name)
        if name == self.kill_at:
            self.dead = True
            self._idle.set()
            raise Killed(name)

    def alive(self) -> None:
        if self.dead:
            raise Killed(self.kill_at)

    @asynccontextmanager
    async def effect(self, label: str) -> AsyncIterator[None]:
        """A point before what happens in the block, and one after it where it succeeded."""
        async with self.call():
            self.reach(f"before {label}")
            yield
            self.reach(f"after {label}")

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Something that is waited for."""
        self.alive()
        self._begun += 1
        self._under_way += 1
        self._idle.clear()
        self._moved.set()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def quiet(self) -> None:
        """Returns when nothing more comes by itself. Raises Killed once the program is dead."""
        still, begun = 0, -1
        while still < STILL:
            self.alive()
            await self._idle.wait()
            await asyncio.sleep(0)
            still = still + 1 if self._begun == begun and not self._under_way else 0
            begun = self._begun
        self._moved.clear()

    async def moved(self) -> None:
        """Returns when something is begun after all."""
        await self._moved.wait()


@dataclass(frozen=True, slots=True)
class WatchedApi:
    """An `Api` over another one, of which it shows one namespace."""

    inner: Api
    points: Points
    namespace: str
    stamp: str
    """The fingerprint in the names of the run's children, left out of the points' names."""

    def _effect(self, verb: str, kind: Kind[T], obj: T) -> Any:
        if kind.key == EVENTS.key:
            return self.points.call()
        return self.points.effect(f"{verb} {kind.kind} {self._role(obj)}")

    def _role(self, obj: object) -> str:
        if isinstance(obj, TranscriptSegment):
            return f"from {obj.spec.first}"
        assert isinstance(obj, Resource)
        return obj.metadata.name.replace(self.stamp, "")

    async def get(self, kind: Kind[T], name: str, namespace: str = "") -> T:
        async with self.points.call():
            return await self.inner.get(kind, name, namespace)

    async def list(self, kind: Kind[T], namespace: str = "", options: ListOptions | None = None) -> Page[T]:
        async with self.points.call():
            return await self.inner.list(kind, namespace or self.namespace, options)

    async def watch(
        self, kind: Kind[T], namespace: str = "", options: WatchOptions | None = None
    ) -> AsyncGenerator[Change[T] | Bookmark, None]:
        async with aclosing(self.inner.watch(kind, namespace or self.namespace, options)) as stream:
            async for event in stream:
                self.points.alive()
                yield event

    async def create(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        async with self._effect("create", kind, obj):
            return await self.inner.create(kind, obj, dry_run=dry_run)

    async def put(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        async with self._effect("put", kind, obj):
            return await self.inner.put(kind, obj, dry_run=dry_run)

    async def put_status(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        async with self._effect("put_status", kind, obj):
            return await self.inner.put_status(kind, obj, dry_run=dry_run)

    async def checkpoint(
        self, kind: Kind[T], obj: T, child_kind: Kind[R], children: Sequence[R]
    ) -> tuple[T, Sequence[R]]:
        return await one_by_one(self, kind, obj, child_kind, children)

    async def patch(
        self, kind: Kind[T], name: str, namespace: str, merge: JsonObject, *, status: bool = False
    ) -> T:
        async with self.points.effect(f"patch {kind.kind} {name.replace(self.stamp, '')}"):
            return await self.inner.patch(kind, name, namespace, merge, status=status)

    async def delete(
        self, kind: Kind[T], name: str, namespace: str = "", options: DeleteOptions | None = None
    ) -> Deletion[T]:
        async with self.points.effect(f"delete {kind.kind} {name.replace(self.stamp, '')}"):
            return await self.inner.delete(kind, name, namespace, options)

    async def ensure(self, kind: Kind[T], obj: T) -> T:
        async with self._effect("ensure", kind, obj):
            return await self.inner.ensure(kind, obj)

    async def confirm(self, kind: Kind[T], obj: T) -> None:
        async with self.points.call():
            await self.inner.confirm(kind, obj)


def asking(turn: int) -> str:
    """What the call for a turn's reply is called (turns from 0)."""
    return f"ask turn {turn}"


def running(message: str) -> str:
    """What an execution of the tool that is given `message` is called."""
    return f"run {message}"


@dataclass(frozen=True, slots=True)
class WatchedModels:
    """A model provider over another one."""

    inner: ModelProvider
    points: Points

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        async with self.points.effect(asking(sum(m.role == "assistant" for m in messages))):
            return await self.inner.ask(endpoint, messages, tools, progress)

    async def check(self, endpoint: Endpoint) -> str:
        async with self.points.call():
            return await self.inner.check(endpoint)

    async def close(self) -> None:
        await self.inner.close()


@dataclass(frozen=True, slots=True)
class WatchedFunctions:
    """A function runner over another one, which outlives it."""

    inner: FunctionProcesses
    points: Points

    async def inspect(self, entrypoint: str, env: Environment, bounds: Bounds = NO_BOUNDS) -> FunctionSignature:
        async with self.points.call():
            return await self.inner.inspect(entrypoint, env, bounds)

    async def call(self, call: FunctionCall) -> str:
        async with self.points.effect(running(msgspec.json.decode(call.arguments)["message"])):
            return await self.inner.call(call)

    async def close(self) -> None:
        """Left open for the next life."""


def stamp_of(run_uid: str) -> str:
    """The fingerprint of a run in the names of its children."""
    return f"-{digest(run_uid)}"
