"""A strange server behind pipes in memory: a tool process without a process, for thousands of seeds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from kubechain.providers.tools.process import LocalProcess
from tests.fuzz.mcp.server import Deed, Die, Server, Write


class Stub(LocalProcess):
    """One life of a server."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._code: int | None = None
        self._over = asyncio.Event()
        self._deaf = False
        self._heard = b""
        self._do(server.starts())

    @property
    def returncode(self) -> int | None:
        return self._code

    def write(self, data: bytes) -> None:
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            if not self._deaf:
                self._do(self._server.hears(line))

    def close_stdin(self) -> None:
        self._end(0)

    async def finish(self, readers: Collection[asyncio.Task[None]], grace: float = 0.0) -> bool:
        by_itself = self._over.is_set()
        self._end(-9)
        if readers:
            await asyncio.wait(readers, timeout=5)
        return by_itself

    def _do(self, deeds: Iterable[Deed]) -> None:
        for deed in deeds:
            match deed:
                case Write(data):
                    if not self._deaf:
                        self.stdout.feed_data(data)
                case Die(None):
                    self._close()
                case Die(code):
                    self._end(code)

    def _close(self) -> None:
        if not self._deaf:
            self._deaf = True
            self.stdout.feed_eof()

    def _end(self, code: int | None) -> None:
        self._close()
        if not self._over.is_set():
            self._code = code
            self._over.set()
            self.stderr.feed_eof()
