"""Keeps objects of one kind current by name, with one informer for each name. It reads no other objects.

Flow: `want` a key -> list and watch of that one name -> `read` waits for the first answer -> `release` forgets it.
Guarantees: those of an informer, for each name; an object that is released, or may not be read any more, is
forgotten. If the API forbids a name, handlers are called as for a deletion, and the informer tries again with
backoff. It needs only the verbs list and watch on these names. It never writes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from kubechain.errors import ApiError, Conflict, Forbidden
from kubechain.resources.kind import Kind
from kubechain.resources.model import ObjectMeta, Resource
from kubechain.runtime.api import Api, Key
from kubechain.runtime.backoff import Chance
from kubechain.runtime.informer import Informer
from kubechain.runtime.selectors import FieldSelector, Requirement

R = TypeVar("R", bound=Resource)
AT_ONCE = 16
"""Names that are asked for the first time at the same time: a thousand of them are no storm."""


class _Named(Generic[R]):
    """One name: its informer, whether an answer has come, and the refusal if that is what it was."""

    def __init__(self, listen: Callable[[_Named[R]], Informer[R]]) -> None:
        self.known = asyncio.Event()
        self.refusal: Forbidden | None = None
        self.task: asyncio.Task[None] | None = None
        self.informer = listen(self)


class NamedInformer(Generic[R]):
    """The wanted objects of `kind`. Handlers are best set before `run`."""

    def __init__(self, api: Api, kind: Kind[R], *, chance: Chance = random.random) -> None:
        self.kind = kind
        self.synced = asyncio.Event()
        """Set from the start: `read` waits for the one name that is asked for."""
        self.synced.set()
        self._api = api
        self._chance = chance
        self._named: dict[Key, _Named[R]] = {}
        self._handlers: list[Callable[[R | None, R | None], None]] = []
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._group: asyncio.TaskGroup | None = None

    def __len__(self) -> int:
        return len(self._named)

    def want(self, key: Key) -> None:
        """Keeps the object current from now on. Further calls change nothing."""
        if key in self._named:
            return
        named = self._named[key] = _Named(partial(self._listen, key))
        if self._group is not None:
            named.task = self._group.create_task(self._keep(named))

    def _listen(self, key: Key, named: _Named[R]) -> Informer[R]:
        name = FieldSelector((Requirement("metadata.name", "=", (key.name,)),))
        answered = partial(self._answered, key, named)
        informer = Informer(
            self._api, self.kind, key.namespace, fields=name, chance=self._chance, answered=answered
        )
        informer.on_change(partial(self._changed, named))
        return informer

    def release(self, key: Key) -> None:
        """Forgets the object and ends its watch."""
        named = self._named.pop(key, None)
        if named is not None:
            named.known.set()
            if named.task is not None:
                named.task.cancel()

    def get(self, key: Key) -> R | None:
        """The object as last seen; None if it is not wanted, does not exist, or is not known yet."""
        named = self._named.get(key)
        return None if named is None else named.informer.get(key)

    async def read(self, key: Key) -> R | None:
        """The object, or None where there is none; waits for the first answer.

        Raises Forbidden while it may not be read; Conflict where nobody names it any more (the caller is behind).
        """
        named = self._named.get(key)
        if named is not None:
            await named.known.wait()
        if named is None or self._named.get(key) is not named:
            raise Conflict(f'{self.kind.qualified} "{key}" is no longer referred to: look again')
        if named.refusal is not None:
            raise named.refusal
        return named.informer.get(key)

    def on_change(self, handler: Callable[[R | None, R | None], None]) -> None:
        """As for an informer, but not called for the first answer, for which `read` waits."""
        self._handlers.append(handler)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for named in self._named.values():
                    named.task = group.create_task(self._keep(named))
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None

    async def _keep(self, named: _Named[R]) -> None:
        async with asyncio.TaskGroup() as group, self._gate:
            group.create_task(named.informer.run())
            await named.known.wait()

    def _changed(self, named: _Named[R], old: R | None, new: R | None) -> None:
        if named.known.is_set():
            for handler in self._handlers:
                handler(old, new)

    def _answered(self, key: Key, named: _Named[R], error: ApiError | None) -> None:
        """The API refused the name or, None, listed it; any other trouble changes nothing that is known."""
        if self._named.get(key) is not named or not (error is None or isinstance(error, Forbidden)):
            return
        before, named.refusal = named.refusal, error
        held = named.informer.get(key) is not None
        if error is not None:
            named.informer.forget()
        if not held and str(before or "") != str(error or ""):
            self._changed(
                named, self.kind.codec(metadata=ObjectMeta(name=key.name, namespace=key.namespace)), None
            )
        named.known.set()
