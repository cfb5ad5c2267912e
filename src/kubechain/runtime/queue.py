"""Which keys a worker has to process, and when: a keyed, de-duplicating work queue, the passes and their failures.

The queue guarantees: a key is in the queue once, even if it is added several times; a key that is being processed
is not handed out before `done`, and again then if it was added meanwhile; of several times for a key, the earliest
wins; first in, first out. Nothing polls: one timer for the earliest delay, none when there is no delay.

A `Pass` knows what happened to its object since it began. Code that saves an object calls `wrote`. A change that
the pass made itself leads to no other pass, whether the watch shows it before or after the answer to the write.
Every other change does.

`Retries` only decides. A status written by a failing pass must not wake its own retry, nor may the status of
another object: a wait that the other side asked for is kept. A new spec ends it, and so does a change of what the
object uses. Everything is synchronous and runs in the thread of the event loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from kubechain.resources.model import Resource
from kubechain.runtime.api import Key
from kubechain.runtime.backoff import Chance
from kubechain.runtime.failure import Verdict, judge

K = TypeVar("K", bound=Hashable)
R = TypeVar("R", bound=Resource)
_NEVER = (inf, 0)


class TimerHandle(Protocol):
    def cancel(self) -> None: ...


class Timers(Protocol):
    """The part of an event loop that the queue needs."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None], /) -> TimerHandle: ...


class WorkQueue(Generic[K]):
    """`on_ready` is called when a key is ready, and may call `take`."""

    def __init__(self, timers: Timers, on_ready: Callable[[], None]) -> None:
        self.closed = False
        self._on_ready = on_ready
        self._timers = timers
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        """The keys in `_ready`."""
        self._active: set[K] = set()
        self._again: set[K] = set()
        self._due: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        """Holds stale entries too; `_due` says which ones count."""
        self._serial = 0
        self._timer: TimerHandle | None = None
        self._timer_at = 0.0

    def __len__(self) -> int:
        """Keys that are ready."""
        return len(self._ready)

    def add(self, key: K) -> None:
        """The key is to be processed now, or again once the running pass is done; a delay of it is dropped."""
        if self.closed or key in self._waiting:
            return
        self._due.pop(key, None)
        if key in self._active:
            self._again.add(key)
            return
        self._waiting.add(key)
        self._ready.append(key)
        self._on_ready()

    def add_after(self, key: K, seconds: float) -> None:
        """Adds the key after so many seconds. Ignored if an earlier time is set."""
        if seconds <= 0:
            self.add(key)
            return
        when = self._timers.time() + seconds
        if self.closed or key in self._waiting or key in self._again or self._set_for(key) <= when:
            return
        self._serial += 1
        self._due[key] = when, self._serial
        heappush(self._heap, (when, self._serial, key))
        self._shed_stale()
        self._arm()

    def take(self) -> K | None:
        """The next ready key, or None. The key counts as being processed until `done`."""
        if self.closed or not self._ready:
            return None
        key = self._ready.popleft()
        self._waiting.discard(key)
        if not self._ready:
            self._waiting.clear()  # a set that held thousands keeps room for them until then
        self._active.add(key)
        return key

    def done(self, key: K) -> None:
        """The pass is over; a key added during it becomes ready."""
        self._active.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Stops handing out keys, and cancels the timer."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_for(self, key: K) -> float:
        return self._due.get(key, _NEVER)[0]

    def _counts(self, entry: tuple[float, int, K]) -> bool:
        return self._due.get(entry[2], _NEVER)[1] == entry[1]

    def _shed_stale(self) -> None:
        """Delays dropped early leave entries behind; never more than there are live ones, and a few."""
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [entry for entry in self._heap if self._counts(entry)]
            heapify(self._heap)

    def _arm(self) -> None:
        while self._heap and not self._counts(self._heap[0]):
            heappop(self._heap)
        if not self._heap:
            return
        first = self._heap[0][0]
        if self._timer is not None:
            if self._timer_at <= first:
                return
            self._timer.cancel()
        self._timer_at = first
        self._timer = self._timers.call_at(first, self._fire)

    def _fire(self) -> None:
        self._timer = None
        # A loop may fire a shade early: what the timer was set for is due all the same.
        now = max(self._timers.time(), self._timer_at)
        while self._heap and self._heap[0][0] <= now:
            entry = heappop(self._heap)
            if self._counts(entry):
                self.add(entry[2])
        self._arm()


class Pass(Generic[R]):
    """A pass in progress.

    `dropped`: the object was deleted or is being deleted, so the result of the pass does not matter.
    """

    def __init__(self, obj: R) -> None:
        self.obj = obj
        self.dropped = False
        self._task: asyncio.Task[Any] | None = None
        self._seen: list[str] = []
        self._written: list[str] = []

    def begin(self) -> bool:
        """Called first in the task of the pass. Returns whether to continue."""
        self._task = asyncio.current_task()
        _CURRENT.set(self)
        return not self.dropped

    def end(self) -> None:
        """Called last. Lets go of the task, whose context holds the pass: no cycle is left to the collector."""
        self._task = None

    def changed(self, new: R) -> None:
        """The object was seen in another version."""
        if new.metadata.deletion_timestamp is not None and self.obj.metadata.deletion_timestamp is None:
            self.drop()
        self._seen.append(new.metadata.resource_version)

    def drop(self) -> None:
        """Cancels the pass, or prevents it from starting: a task that is cancelled before it starts would not
        clean up."""
        self.dropped = True
        if self._task is not None:
            self._task.cancel()

    def wrote(self, version: str) -> None:
        self._written.append(version)

    @property
    def outdated(self) -> bool:
        """Whether somebody else changed the object since the pass began."""
        return any(version not in self._written for version in self._seen)


_CURRENT: ContextVar[Pass[Any] | None] = ContextVar("pass in hand", default=None)


def wrote(obj: Resource) -> None:
    """Called after `obj` was written: if the pass in progress is over that object, this version leads to no
    other pass."""
    current = _CURRENT.get()
    if current is not None and current.obj.metadata.uid == obj.metadata.uid:
        current.wrote(obj.metadata.resource_version)


class _Failing(Struct, frozen=True):
    """Failures in a row, what was said about them, and the time before which a status change wakes nobody."""

    attempts: int
    message: str
    firm_until: float


class Retries:
    """`now` is the time of the event loop."""

    def __init__(self, now: Callable[[], float], chance: Chance) -> None:
        self.failures: Counter[str] = Counter()
        """Failures so far, by reason; lost races among them."""
        self._now = now
        self._chance = chance
        self._failing: dict[Key, _Failing] = {}
        self._urgent: set[Key] = set()
        """Keys woken, since their last pass began, because something else is asked of them or of what they use."""
        self._nudged: set[Key] = set()
        """Keys woken since then by the status of another object, which ends no wait but one without end."""

    def __len__(self) -> int:
        return len(self._failing)

    def woken(self, key: Key, *, urgent: bool) -> None:
        """Something that the key depends on changed: `urgent` when it was more than a status."""
        (self._urgent if urgent else self._nudged).add(key)

    def begun(self, key: Key) -> None:
        """A pass over the key begins: it sees all that the key was woken for."""
        self._urgent.discard(key)
        self._nudged.discard(key)

    def wait(self, key: Key) -> float:
        """Seconds before the next try is due; 0 where nothing is in its way, `inf` until something changes."""
        failing = self._failing.get(key)
        if failing is None or key in self._urgent or (key in self._nudged and failing.firm_until == inf):
            return 0.0
        return max(0.0, failing.firm_until - self._now())

    def succeeded(self, key: Key) -> None:
        """A successful pass forgets all failures."""
        self._failing.pop(key, None)

    def failed(self, key: Key, error: BaseException) -> tuple[Verdict, bool]:
        """What follows, and whether people have heard the like of it already."""
        before = self._failing.get(key)
        attempts = 1 if before is None else before.attempts + 1
        verdict = judge(error, attempts, self._chance)
        self.failures[verdict.reason] += 1
        heard = before.message if before is not None else ""
        message = heard if verdict.audience == "nobody" else f"{verdict.reason}: {error}"
        until = self._now() + verdict.wait if verdict.firm else 0.0
        self._failing[key] = _Failing(attempts, message, until)
        return verdict, message == heard

    def forget(self, key: Key) -> None:
        """The key is gone, at rest, or somebody else's."""
        self._failing.pop(key, None)
        self.begun(key)
