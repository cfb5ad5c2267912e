"""Limits how often a server can report that its tools have changed.

A session owns one. The first notification is passed on at once; while the list stays the same, the next one waits
twice as long each time. The last one is never dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kubechain.providers.tools.mcp.server import Discovery

SHORTEST = 1.0
LONGEST = 300.0


class Pace:
    """Between a server's notifications and `told`, which is called at most once per interval."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._interval = SHORTEST
        self._last = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._known: Discovery | None = None

    def changed(self) -> None:
        """Called when the server reports a change."""
        if self._timer is None:
            when = max(self._last + self._interval, self._loop.time())
            self._timer = self._loop.call_at(when, self._pass_on)

    def listed(self, found: Discovery) -> None:
        """What it offers, when it was asked."""
        same = found == self._known
        self._interval = min(self._interval * 2, LONGEST) if same else SHORTEST
        self._known = found

    def stop(self) -> None:
        """Stops passing on changes."""
        if self._timer is not None:
            self._timer.cancel()

    def _pass_on(self) -> None:
        self._timer = None
        self._last = self._loop.time()
        self._told()
