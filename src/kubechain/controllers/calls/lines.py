"""Which calls wait for others of the same tool: `maxConcurrent` over all runs, `parallel: false` within one.

What runs is counted from the ToolCalls that are Running, in the informer, so every replica counts the same. Only
who waits is in memory: when a call ends, as many are woken as there are free places, first come, first served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from kubechain.agents.call.scene import FREE, Line
from kubechain.agents.naming import place_of
from kubechain.agents.ports.tool import Provider
from kubechain.controllers.caches import Caches, origin_of
from kubechain.resources.tool import Tool
from kubechain.resources.toolcall import PARKED, ToolCall
from kubechain.runtime.api import Key, key_of


def _nobody(key: Key) -> None:
    """Ignores calls to wake."""


class Lines:
    """`wake` starts a pass over a call at once. Nothing here is called for tools without such a limit."""

    def __init__(self, caches: Caches, wake: Callable[[Key], None] = _nobody) -> None:
        self.wake = wake
        self._caches = caches
        self.waiting: dict[str, dict[Key, int]] = {}
        """By the tool, the calls that wait, and how many places there are; 0: for the one before it in its run."""
        self._starting: dict[str, set[Key]] = {}
        """Calls that are being started, and may not be Running in the informer yet."""

    def of(self, call: ToolCall, provider: Provider | None) -> Line:
        """What the call may have to wait for; without awaiting in between, `starting` takes its place."""
        if not isinstance(provider, Tool):
            return FREE
        spec = provider.spec
        before = self._before(call) if spec.parallel is False else ""
        if spec.max_concurrent is None:
            return Line(before=before)
        return Line(self._running(origin_of(call), key_of(call)), spec.max_concurrent, before)

    @contextmanager
    def starting(self, call: ToolCall) -> Iterator[None]:
        """Counts the call as running while its mark is written."""
        origin, key = origin_of(call), key_of(call)
        taken = self._starting.setdefault(origin, set())
        taken.add(key)
        try:
            yield
        finally:
            taken.discard(key)
            if not taken:
                self._starting.pop(origin, None)

    def wait(self, call: ToolCall, line: Line) -> None:
        """The call waits for a place, or for the one before it."""
        places = 0 if line.before else line.at_most or 0
        self.waiting.setdefault(origin_of(call), {})[key_of(call)] = places

    def leave(self, call: ToolCall) -> None:
        """The call waits no longer. If its place is free still, the next one is woken."""
        origin = origin_of(call)
        waiting = self.waiting.get(origin)
        if waiting is None or waiting.pop(key_of(call), None) is None:
            return
        if not waiting:
            del self.waiting[origin]
        for key in self._next(origin):
            self.wake(key)

    def changed(self, old: ToolCall | None, new: ToolCall | None) -> Iterable[Key]:
        """Which calls a change of another one wakes: told of every change of a ToolCall."""
        if old is None or old.status.finished:
            return ()
        if new is None or new.status.finished:
            return [*self._next(origin_of(old)), *self._siblings(old)]
        return self._next(origin_of(old)) if _runs(old) and not _runs(new) else ()

    def _siblings(self, call: ToolCall) -> Iterable[Key]:
        """The calls of its run that wait for one before them."""
        waiting = self.waiting.get(origin_of(call), {})
        siblings = self._caches.calls.keys_by("run", f"{call.metadata.namespace}/{call.spec.task_run}")
        return [key for key in siblings if key in waiting]

    def _before(self, call: ToolCall) -> str:
        """The first open call of the same tool that the run's model asked for earlier."""
        run, place = f"{call.metadata.namespace}/{call.spec.task_run}", place_of(call.metadata.name)
        earlier = [
            (place_of(other.metadata.name), other.metadata.name)
            for other in self._caches.calls.by("run", run)
            if other.metadata.uid != call.metadata.uid
            and origin_of(other) == origin_of(call)
            and place_of(other.metadata.name) < place
        ]
        return min(earlier)[1] if earlier else ""

    def _running(self, origin: str, beside: Key | None = None) -> int:
        keys = set(self._caches.calls.keys_by("running", origin)) | self._starting.get(origin, set())
        return len(keys - {beside})

    def _next(self, origin: str) -> list[Key]:
        """As many of those that wait for a place as there are free ones."""
        waiting = [(key, places) for key, places in self.waiting.get(origin, {}).items() if places]
        if not waiting:
            return []
        free = waiting[0][1] - self._running(origin)
        return [key for key, _ in waiting[: max(free, 0)]]


def _runs(call: ToolCall) -> bool:
    return call.status.phase in PARKED
