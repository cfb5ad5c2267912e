"""A small Kubernetes API in memory whose streams can be cut, whose history can be lost, and that can refuse.

Only what informers, recorders and test controllers ask of the port `Api`. Used by the tests of the runtime.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from kubechain.errors import AlreadyExists, ApiError, Conflict, Gone, NotFound
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind, R, owner_reference
from kubechain.resources.model import Clock, ObjectMeta, Resource, timestamp
from kubechain.resources.task import Task, TaskSpec
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunSpec, TaskRunStatus
from kubechain.resources.toolcall import ToolCall, ToolCallSpec
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

T = TypeVar("T")
Place = tuple[tuple[str, str], Key]


@dataclass
class MemoryApi:
    """Objects of any kind, one version counter, every change kept until `lose_history`."""

    version: int = 0
    oldest: int = 0
    objects: dict[Place, Any] = field(default_factory=dict)
    changes: list[tuple[Place, Change[Any]]] = field(default_factory=list)
    refusals: list[Exception] = field(default_factory=list)
    """Raised by the next calls, one each."""
    stale: list[Any] = field(default_factory=list)
    """What the next reads of an object answer: a state from before."""
    lists: int = 0
    watches: int = 0
    mute: bool = False
    """While set, streams deliver nothing: the watch lags behind."""
    stamp: Clock | None = None
    """Its clock, where it says when objects were written."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _cut: int = 0

    def cut(self) -> None:
        """Ends every stream that is open."""
        self._cut += 1
        self._wake()

    def lose_history(self) -> None:
        """Forgets every change so far: who resumes from an older version gets Gone."""
        self.oldest = self.version
        self.changes.clear()

    def unmute(self) -> None:
        self.mute = False
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _refuse(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)

    def _record(self, type_: Any, kind: Kind[Any], obj: Any) -> Any:
        self.version += 1
        place = (kind.key, Key(obj.metadata.namespace, obj.metadata.name))
        stored = replace(obj, metadata=replace(obj.metadata, resource_version=str(self.version)))
        if self.stamp is not None:
            stored.metadata.managed_fields = [msgspec.Raw(msgspec.json.encode({"time": timestamp(self.stamp())}))]
        if type_ == "DELETED":
            del self.objects[place]
        else:
            self.objects[place] = stored
        self.changes.append((place, Change(type_, place[1], str(self.version), stored)))
        self._wake()
        return stored

    async def get(self, kind: Kind[T], name: str, namespace: str = "") -> T:
        self._refuse()
        if self.stale:
            past: T = self.stale.pop(0)
            return past
        try:
            found: T = self.objects[kind.key, Key(namespace, name)]
        except KeyError:
            raise NotFound(f'{kind.qualified} "{name}" not found') from None
        return found

    async def list(
        self, kind: Kind[T], namespace: str = ALL_NAMESPACES, options: ListOptions | None = None
    ) -> Page[T]:
        self._refuse()
        self.lists += 1
        options = options or ListOptions()
        start, version = 0, self.version
        if options.continue_token:
            start, version = map(int, options.continue_token.split("@"))
        keys = sorted(str(key) for of, key in self.objects if of == kind.key)
        by_text = {str(key): obj for (of, key), obj in self.objects.items() if of == kind.key}
        end = start + options.limit if options.limit else len(keys)
        token = f"{end}@{version}" if end < len(keys) else ""
        return Page([_as(kind, by_text[k]) for k in keys[start:end]], str(version), token)

    async def watch(
        self, kind: Kind[T], namespace: str = ALL_NAMESPACES, options: WatchOptions | None = None
    ) -> AsyncGenerator[Change[T] | Bookmark, None]:
        self._refuse()
        self.watches += 1
        at, cut = int((options or WatchOptions()).since), self._cut
        while True:
            news = self._news
            if at < self.oldest:
                raise Gone(f"too old resource version: {at} ({self.oldest})")
            for (of, _), change in list_(self.changes):
                if not self.mute and of == kind.key and int(change.resource_version) > at:
                    at = int(change.resource_version)
                    yield Change(change.type, change.key, change.resource_version, _as(kind, change.object))
            if cut != self._cut:
                return
            if not self.mute:
                at = self.version
            await news.wait()

    async def create(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        self._refuse()
        given: Any = obj
        if (kind.key, Key(given.metadata.namespace, given.metadata.name)) in self.objects:
            raise AlreadyExists(f'{kind.qualified} "{given.metadata.name}" already exists')
        meta = replace(given.metadata, uid=f"uid-{self.version + 1}", generation=1)
        made: T = self._record("ADDED", kind, replace(given, metadata=meta))
        return made

    async def put(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        held: Any = self._held(kind, obj)
        given: Any = obj
        meta = replace(given.metadata, uid=held.metadata.uid, generation=held.metadata.generation + 1)
        made: T = self._record("MODIFIED", kind, replace(given, metadata=meta))
        return made

    async def put_status(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        self._refuse()
        given: Any = obj
        made: T = self._record("MODIFIED", kind, replace(self._held(kind, obj), status=given.status))
        return made

    def _held(self, kind: Kind[Any], obj: Any) -> Any:
        held = self.objects.get((kind.key, Key(obj.metadata.namespace, obj.metadata.name)))
        if held is None:
            raise NotFound(f'{kind.qualified} "{obj.metadata.name}" not found')
        if obj.metadata.resource_version not in ("", held.metadata.resource_version):
            raise Conflict(f'{kind.qualified} "{obj.metadata.name}": the object has been modified')
        return held

    async def delete(
        self, kind: Kind[T], name: str, namespace: str = "", options: DeleteOptions | None = None
    ) -> Deletion[T]:
        return Deletion(self._record("DELETED", kind, await self.get(kind, name, namespace)), True)

    async def patch(
        self, kind: Kind[T], name: str, namespace: str, merge: JsonObject, *, status: bool = False
    ) -> T:
        raise ApiError("not asked for by the runtime")

    async def checkpoint(
        self, kind: Kind[T], obj: T, child_kind: Kind[R], children: Sequence[R]
    ) -> tuple[T, Sequence[R]]:
        raise ApiError("not asked for by the runtime")

    async def ensure(self, kind: Kind[T], obj: T) -> T:
        raise ApiError("not asked for by the runtime")

    async def confirm(self, kind: Kind[T], obj: T) -> None:
        raise ApiError("not asked for by the runtime")


def _as(kind: Kind[T], obj: Any) -> T:
    """The object as the codec of the kind that was asked for: bytes for `kind.raw`."""
    form: Any = msgspec.json.encode(obj) if kind.codec is bytes else obj
    made: T = form
    return made


list_ = list
"""The builtin, which the class hides by its method."""


def task(name: str) -> Task:
    return Task(metadata=ObjectMeta(name=name, namespace="default"), spec=TaskSpec(agent="a", user_message="hi"))


def run(name: str, of: str = "t", version: int = 0) -> TaskRun:
    meta = ObjectMeta(name=name, namespace="default", resource_version=str(version) if version else "")
    return TaskRun(metadata=meta, spec=TaskRunSpec(task=of))


def finished(obj: TaskRun) -> TaskRun:
    return replace(obj, status=TaskRunStatus(phase="FinalAnswer"))


def call(name: str, owner: TaskRun) -> ToolCall:
    meta = ObjectMeta(
        name=name, namespace="default", owner_references=[owner_reference(TASK_RUNS, owner.metadata)]
    )
    return ToolCall(metadata=meta, spec=ToolCallSpec(tool_call_id="c", task_run=owner.metadata.name, tool="x"))


def names(objects: Any) -> list_[str]:
    found: list_[Resource] = list_(objects)
    return sorted(obj.metadata.name for obj in found)
