"""A line for something that only so many may use at a time: first come, first served.

limits.py has one for each LLM or server that needs one. Whoever is cancelled leaves the line.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Line:
    """`limit` may change at any time; None lets everybody in."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many stand in the line."""
        return len(self._waiting)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Waits for its turn, and lets the next one in when it leaves."""
        await self._enter()
        try:
            yield
        finally:
            self.inside -= 1
            self.move()

    async def _enter(self) -> None:
        if self._free() and not self._waiting:
            self.inside += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not turn.cancelled():  # let in, and cancelled in the same moment
                self.inside -= 1
                self.move()
            raise

    def _free(self) -> bool:
        return self.limit is None or self.inside < self.limit

    def move(self) -> None:
        """Lets in whom there is room for."""
        while self._waiting and self._free():
            turn = self._waiting.popleft()
            if turn.cancelled():
                continue
            self.inside += 1
            turn.set_result(None)
