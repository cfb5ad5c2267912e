"""Limits requests that nobody waits for: one at a time, and more if more are waiting.

Used by `http`. First in, first out. It never refuses and never drops.
"""

from __future__ import annotations

import asyncio
from collections import deque

WAITING_FOR_ONE_MORE = 8


class Lane:
    """`async with lane:` around a request."""

    def __init__(self) -> None:
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def __aenter__(self) -> None:
        entry: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(entry)
        self._admit()
        try:
            await entry
        except asyncio.CancelledError:
            if not entry.cancelled():
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._inside <= (len(self._waiting) - 1) // WAITING_FOR_ONE_MORE:
            entry = self._waiting.popleft()
            if not entry.cancelled():
                self._inside += 1
                entry.set_result(None)
