"""Shows work in progress once it has lasted a second: shorter progress is not worth a write.

Used by the run and the tool call controllers around the one slow thing they do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, TypeVar

from kubechain.errors import ApiError
from kubechain.resources.model import Resource

R = TypeVar("R", bound=Resource)
VISIBLE_AFTER = 1.0
"""Seconds."""


class Progress(Generic[R]):
    """`async with Progress(show) as p: await slow()`; then `p.shown` is the object as `show` wrote it, or None.

    `show` runs beside the slow call, at most once. That it fails (a conflict, say) never harms the call.
    """

    def __init__(self, show: Callable[[], Awaitable[R]], after: float = VISIBLE_AFTER) -> None:
        self.shown: R | None = None
        self._show, self._after = show, after
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Progress[R]:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._after, self._start, loop)
        return self

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            self.shown = await self._show()
        except ApiError:
            return

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._task is None:
            return
        if kind is not None and issubclass(kind, asyncio.CancelledError):
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
