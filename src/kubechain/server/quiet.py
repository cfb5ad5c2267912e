"""uvicorn without signal handlers and without polling.

Imported by `embedding` when a server starts, not before: uvicorn is heavy.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate

import uvicorn
from uvicorn.server import ServerState


class Dated(ServerState):
    """Makes the `date` header when it is asked for, at most once a second."""

    made = (0, list[tuple[bytes, bytes]]())

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        if self.made[0] != (second := int(time.time())):
            self.made = second, [(b"date", formatdate(second, usegmt=True).encode())]
        return self.made[1]

    @default_headers.setter
    def default_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Leaves out the default headers of uvicorn."""


class Embedded(uvicorn.Server):
    """A server. `ready` is set when it listens; it runs until `over` is set."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = Dated()
        self.ready, self.over = asyncio.Event(), asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.over.wait()
