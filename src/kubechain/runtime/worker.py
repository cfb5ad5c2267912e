"""Runs one controller: takes keys from the queue, starts passes, and decides what follows from a failure.

Flow: a change -> its key in the queue -> one task for each key in progress, up to `limit` -> Next.
Guarantees: never two passes over one key at a time; a change during a pass leads to another pass; no pass before
every informer has synced; failures and their waiting times are kept here, not in the object. A pass over an object
that was deleted or replaced is cancelled, its controller is told that the object is gone, and no Event follows.
To shut down, cancel `run`: no more keys are taken, and running passes are cancelled, as in a crash. This is where
exceptions of controllers are caught. It writes only Events.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any, Generic, TypeVar, assert_never

from kubechain.logs import Logger
from kubechain.resources.model import Resource
from kubechain.runtime.api import Key, key_of
from kubechain.runtime.backoff import Chance
from kubechain.runtime.controller import After, Controller, Done, Next
from kubechain.runtime.failure import Verdict
from kubechain.runtime.informer import Informer
from kubechain.runtime.queue import Pass, Retries, WorkQueue
from kubechain.runtime.recorder import EventRecorder
from kubechain.runtime.replicas.share import Ownership, Sharing
from kubechain.runtime.wakes import Wake

R = TypeVar("R", bound=Resource)
D = TypeVar("D", bound=Resource)
log = Logger(__name__)

LIMIT = 1_000
FAREWELL = 30.0
"""Seconds that a controller gets to end what it began for an object that is gone."""
BURST = 16
"""Passes started in one iteration of the event loop, so that thousands of due keys do not delay everything
else."""


class Worker(Generic[R]):
    """Made inside the running loop, before the informers run. `limit`: passes at the same time.

    `at_rest`: nothing will ever be due for such an object, and its changes start no pass. `sharing`: whether this
    replica owns an object; one that it does not own is set aside until `look_again`.
    """

    def __init__(
        self,
        controller: Controller[R],
        informer: Informer[R],
        wakes: Sequence[Wake[Any]] = (),
        *,
        events: EventRecorder,
        limit: int = LIMIT,
        chance: Chance = random.random,
        at_rest: Callable[[R], bool] = lambda obj: False,
        sharing: Sharing[R] | None = None,
    ) -> None:
        self.passes = 0
        """Reconciles begun so far."""
        self._controller = controller
        self._informer = informer
        self._wakes = wakes
        self._events = events
        self._limit = limit
        self._at_rest = at_rest
        self._sharing: Sharing[R] = sharing or Sharing()
        self._aside: dict[Key, Ownership] = {}
        """Keys that were woken while another replica owned them."""
        self._loop = asyncio.get_running_loop()
        self._queue: WorkQueue[Key] = WorkQueue(self._loop, self._hand_out)
        self._retries = Retries(self._loop.time, chance)
        self._in_hand: dict[Key, Pass[R]] = {}
        self._gone: dict[Key, list[R]] = {}
        """Objects that are gone, of which the controller has not been told."""
        self._group: asyncio.TaskGroup | None = None
        self._running = 0
        self._begun = 0
        """Passes started in this iteration of the event loop."""
        informer.on_change(self._changed)
        for wake in wakes:
            wake.informer.on_change(partial(self._woken, wake.keys))
        for obj in informer.list():
            if not at_rest(obj):
                self._queue.add(key_of(obj))

    async def run(self) -> None:
        """Until cancelled; returns when every running pass has ended."""
        for informer in (self._informer, *(wake.informer for wake in self._wakes)):
            await informer.synced.wait()
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._hand_out()
            try:
                await self._loop.create_future()
            finally:
                self._queue.close()

    @property
    def kind(self) -> str:
        """The kind of the objects."""
        return self._controller.kind.kind

    @property
    def depth(self) -> int:
        """Keys that are due and wait for a pass."""
        return len(self._queue)

    @property
    def running(self) -> int:
        """Passes in progress."""
        return self._running

    @property
    def failing(self) -> int:
        """Objects whose last pass failed."""
        return len(self._retries)

    @property
    def failures(self) -> Mapping[str, int]:
        """Passes that failed so far, by reason; lost races among them."""
        return self._retries.failures

    def wake(self, key: Key) -> None:
        """Starts a pass over the key, even if it failed before. For changes that no informer sees."""
        self._retries.woken(key, urgent=True)
        self._queue.add(key)

    def look_again(self, everything: bool) -> None:
        """Ownership may have changed: of all that was set aside, or only of what another replica holds."""
        for key in [key for key, ownership in self._aside.items() if everything or ownership == "held"]:
            del self._aside[key]
            self._queue.add(key)

    def _changed(self, old: R | None, new: R | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._lose(old)
        if new is None:
            return
        key = key_of(new)
        pass_ = self._in_hand.get(key)
        if pass_ is not None:
            pass_.changed(new)
        if self._at_rest(new):
            self._forget(key)
            return
        if old is None or _more_than_status(old, new):
            self._retries.woken(key, urgent=True)
        if pass_ is None:
            self._queue.add(key)

    def _lose(self, last: R) -> None:
        """An object is gone: the pass over it is cancelled, and the controller is told."""
        key = key_of(last)
        self._forget(key)
        if key in self._in_hand:
            self._in_hand[key].drop()
        if not self._at_rest(last):
            self._gone.setdefault(key, []).append(last)
            self._queue.add(key)

    def _woken(self, keys: Callable[[D | None, D | None], Iterable[Key]], old: D | None, new: D | None) -> None:
        urgent = old is None or new is None or _asks_otherwise(old, new)
        try:
            for key in keys(old, new):
                self._retries.woken(key, urgent=urgent)
                self._queue.add(key)
        except Exception as error:
            changed = new if new is not None else old
            about = "" if changed is None else str(key_of(changed))
            log.error(
                "bug: a change woke no controller", kind=self._controller.kind.kind, changed=about, exc_info=error
            )

    def _forget(self, key: Key) -> None:
        self._retries.forget(key)
        self._aside.pop(key, None)

    def _hand_out(self) -> None:
        if self._group is None:
            return
        while self._running < self._limit and self._begun < BURST and (key := self._queue.take()) is not None:
            obj = self._informer.get(key)
            if key in self._gone:
                self._running += 1
                self._group.create_task(self._tell_gone(key, self._gone.pop(key)))
            elif obj is None:
                self._forget(key)
                self._queue.done(key)
            elif (ownership := self._sharing.of(obj)) != "ours":
                self._forget(key)
                self._aside[key] = ownership
                self._queue.done(key)
            elif wait := self._retries.wait(key):
                self._queue.done(key)
                if wait < inf:
                    self._queue.add_after(key, wait)
            else:
                self._begin(self._group, key, obj)

    def _begin(self, group: asyncio.TaskGroup, key: Key, obj: R) -> None:
        self._retries.begun(key)
        if self._begun == 0:
            self._loop.call_soon(self._next_turn)
        self._begun += 1
        self._running += 1
        self.passes += 1
        self._sharing.begun(obj)
        pass_ = self._in_hand[key] = Pass(obj)
        group.create_task(self._reconcile(key, pass_))

    def _next_turn(self) -> None:
        self._begun = 0
        self._hand_out()

    async def _reconcile(self, key: Key, pass_: Pass[R]) -> None:
        try:
            if pass_.begin():
                self._succeeded(key, pass_, await self._controller.reconcile(pass_.obj))
        except asyncio.CancelledError as error:
            if self._queue.closed:
                raise
            self._failed(key, pass_, error)
        except Exception as error:
            self._failed(key, pass_, error)
        except BaseException:  # the program ends: nothing new is begun while it does
            self._queue.close()
            raise
        finally:
            del self._in_hand[key]
            self._running -= 1
            self._sharing.ended(pass_.obj)
            pass_.end()
            if pass_.outdated and not self._rests(key):
                self._queue.add(key)
            self._queue.done(key)
        self._hand_out()

    def _rests(self, key: Key) -> bool:
        held = self._informer.get(key)
        return held is None or self._at_rest(held)

    async def _tell_gone(self, key: Key, gone: Sequence[R]) -> None:
        try:
            for last in gone:
                await self._end(key, last)
        finally:
            self._running -= 1
            if not self._rests(key):
                self._queue.add(key)
            self._queue.done(key)
        self._hand_out()

    async def _end(self, key: Key, last: R) -> None:
        try:
            async with asyncio.timeout(FAREWELL):
                await self._controller.gone(last)
        except Exception as error:
            kind = self._controller.kind.kind
            log.error("what was begun for a deleted object may go on", kind=kind, key=str(key), exc_info=error)

    def _succeeded(self, key: Key, pass_: Pass[R], next_: Next) -> None:
        if pass_.dropped:
            return
        self._retries.succeeded(key)
        match next_:
            case Done():
                pass
            case After(seconds):
                self._queue.add_after(key, seconds)
            case _:
                assert_never(next_)

    def _failed(self, key: Key, pass_: Pass[R], error: BaseException) -> None:
        if pass_.dropped:
            return
        verdict, heard = self._retries.failed(key, error)
        if not heard:
            self._tell(verdict, key, pass_.obj, error)
        if verdict.wait < inf:
            self._queue.add_after(key, verdict.wait)

    def _tell(self, verdict: Verdict, key: Key, obj: R, error: BaseException) -> None:
        kind = self._controller.kind
        match verdict.audience:
            case "object":
                self._events.warning(kind, obj, verdict.reason, str(error))
            case "operator":
                log.warning("reconcile failed, retrying", kind=kind.kind, key=str(key), error=str(error))
            case "developer":
                log.error("bug: reconcile raised, retrying", kind=kind.kind, key=str(key), exc_info=error)
            case "nobody":
                pass
            case _:
                assert_never(verdict.audience)


def _more_than_status(old: Resource, new: Resource) -> bool:
    """Whether more than the status changed: the spec (counted by generation) or metadata that others set."""
    was, is_ = old.metadata, new.metadata
    return (
        was.generation != is_.generation
        or was.uid != is_.uid
        or was.deletion_timestamp != is_.deletion_timestamp
        or was.labels != is_.labels
        or was.annotations != is_.annotations
    )


def _asks_otherwise(old: Resource, new: Resource) -> bool:
    """Whether the spec changed, or the whole of an object that has none (a Secret)."""
    was, is_ = old.metadata, new.metadata
    same = was.generation == is_.generation and was.uid == is_.uid
    return not same or is_.generation == 0 or was.deletion_timestamp != is_.deletion_timestamp
