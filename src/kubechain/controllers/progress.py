"""Shows work in progress after a second. Shorter work is not worth a write.

Used by the run and the tool call controllers around their slow call. Each of the two has one timer for all calls
in progress, and none if there are no calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from types import TracebackType
from typing import Any, Generic, TypeVar

from kubechain.errors import ApiError
from kubechain.resources.model import Resource

R = TypeVar("R", bound=Resource)
VISIBLE_AFTER = 1.0
"""Seconds."""


class Lasting:
    """Calls in progress, the oldest first, and the callbacks for those that have lasted `after` seconds."""

    def __init__(self, after: float = VISIBLE_AFTER) -> None:
        self._after = after
        self._begun: dict[Progress[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, progress: Progress[Any]) -> None:
        loop = self._loop = self._loop or asyncio.get_running_loop()
        now = self._begun[progress] = loop.time()
        if self._timer is None:
            self._look_at(loop, now + self._after)

    def end(self, progress: Progress[Any]) -> None:
        self._begun.pop(progress, None)

    def _look_at(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._timer = loop.call_at(when, self._look, loop, when)

    def _look(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._timer = None
        now = max(loop.time(), when)  # a loop may be a shade early
        while self._begun:
            progress, begun = next(iter(self._begun.items()))
            if begun + self._after > now:
                self._look_at(loop, begun + self._after)
                return
            del self._begun[progress]
            progress.show(loop)


class Progress(Generic[R]):
    """`async with Progress(lasting, write) as p: await slow()`: then `p.shown` is what `write` wrote, or None.

    `write` runs during the slow call, at most once. If it fails (for example with a conflict), the call continues.
    """

    def __init__(self, lasting: Lasting, write: Callable[[], Awaitable[R]]) -> None:
        self.shown: R | None = None
        self._lasting, self._write = lasting, write
        self._task: asyncio.Task[None] | None = None
        self._context = copy_context()
        """That of the pass, to which the write belongs: the timer is shared, and has another one."""

    async def __aenter__(self) -> Progress[R]:
        self._lasting.begin(self)
        return self

    def show(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called when the call has lasted."""
        self._task = loop.create_task(self._run(), context=self._context)

    async def _run(self) -> None:
        try:
            self.shown = await self._write()
        except ApiError:
            return

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lasting.end(self)
        if self._task is None:
            return
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
