"""`RemoteProcess`: a process that a tool host runs, and whose pipes end in this program.

`starter` makes one for each start. Only its end goes through the host; its output and its input come and go by
pipes, as those of a process of our own. It never outlives the connection to its host.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Collection
from functools import partial
from typing import cast

from kubechain.agents.ports.tool import Held

_END_SECONDS = 10.0
"""How long a killed process may take to be gone, beyond its grace."""
_READ_SECONDS = 1.0


class RemoteProcess:
    """A `ToolProcess`. `finish` tells its host to end it with so many seconds of grace."""

    def __init__(self, finish: Callable[[float], None]) -> None:
        self.stdout = asyncio.StreamReader()
        self.stderr = asyncio.StreamReader()
        self.input = _Input()
        self.held: Held | None = None
        self.over_memory = False
        self.outputs: list[asyncio.BaseTransport] = []
        self._finish = finish
        self._over = asyncio.Event()
        self._code: int | None = None
        self._by_itself = False

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the signal that killed it."""
        return self._code

    @property
    def why(self) -> str:
        """What else is known about its end: nothing."""
        return ""

    def write(self, data: bytes) -> None:
        """Writes to its stdin. Does nothing if the process has closed it."""
        if self.input.transport is not None and not self.input.transport.is_closing():
            self.input.transport.write(data)

    async def drained(self) -> None:
        """Waits until more can be written, or the process reads no more."""
        await self.input.writable.wait()

    def close_stdin(self) -> None:
        """Closes its stdin."""
        if self.input.transport is not None:
            self.input.transport.close()

    async def finish(self, readers: Collection[asyncio.Task[None]], grace: float = 0.0) -> bool:
        """As ToolProcess says."""
        try:
            if not self._over.is_set():
                self._finish(grace)
                try:
                    await self._ended(2 * grace + _END_SECONDS)
                except asyncio.CancelledError:
                    self._finish(0.0)
                    await self._ended(_END_SECONDS)
                    raise
            if readers:
                await asyncio.wait(readers, timeout=_READ_SECONDS)
        finally:
            self.close()
        return self._by_itself

    def over(self, code: int, *, by_itself: bool) -> None:
        """It has ended."""
        self._code, self._by_itself = code, by_itself
        self._over.set()

    def close(self) -> None:
        """Closes its pipes."""
        self.close_stdin()
        for transport in self.outputs:
            transport.close()

    async def _ended(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()


class _Input(asyncio.BaseProtocol):
    """The pipe to a process's stdin."""

    def __init__(self) -> None:
        self.transport: asyncio.WriteTransport | None = None
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()


async def pipes(process: RemoteProcess, stdin: bool | socket.socket) -> list[int]:
    """Connects the process to pipes. Their other ends: the descriptors of its stdin, stdout and stderr."""
    loop = asyncio.get_running_loop()
    theirs: list[int] = []
    if isinstance(stdin, socket.socket):
        theirs.append(os.dup(stdin.fileno()))
    elif stdin:
        read, write = os.pipe()
        theirs.append(read)
        await loop.connect_write_pipe(lambda: process.input, os.fdopen(write, "wb", 0))
    else:
        theirs.append(os.open(os.devnull, os.O_RDONLY))
    for reader in (process.stdout, process.stderr):
        read, write = os.pipe()
        theirs.append(write)
        protocol = partial(asyncio.StreamReaderProtocol, reader)
        transport, _ = await loop.connect_read_pipe(protocol, os.fdopen(read, "rb", 0))
        process.outputs.append(transport)
    return theirs
