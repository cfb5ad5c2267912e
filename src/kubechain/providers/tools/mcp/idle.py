"""When a server that nobody uses is stopped.

A session has one. It keeps a single timer, at the time at which the server will have been unused for long enough,
and moves it only when it goes off: a request costs a look at the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Idle:
    """Calls `then` once nobody has used the server for `seconds`; never if that is 0."""

    def __init__(self, seconds: float, busy: Callable[[], bool], then: Callable[[], None]) -> None:
        self._seconds = seconds
        self._busy = busy
        self._then = then
        self._loop = asyncio.get_running_loop()
        self._used = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The server is ready."""
        self.used()
        if self._seconds:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def used(self) -> None:
        """A request has ended."""
        self._used = self._loop.time()

    def stop(self) -> None:
        """The server has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        left = self._seconds if self._busy() else self._used + self._seconds - self._loop.time()
        if left <= 0:
            self._then()
        else:
            self._timer = self._loop.call_later(left, self._look)
