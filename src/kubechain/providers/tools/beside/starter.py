"""`Beside`: a `Starter` whose processes run in a tool host's container, not in the program's own.

`kubechain operator --tool-host SOCKET` uses it. It listens on a unix socket for one tool host (host.py) at a time
and has it start processes whose pipes end here. Without a tool host nothing can be started; it never starts a
process itself.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kubechain.errors import Transient
from kubechain.logs import Logger
from kubechain.providers.tools.beside.channel import (
    Began,
    Begin,
    Channel,
    Ended,
    Finish,
    Message,
    Refused,
)
from kubechain.providers.tools.beside.remote import RemoteProcess, pipes
from kubechain.providers.tools.starting import Command, FolderNotFound, ProgramNotFound, ToolProcess

AWAIT_SECONDS = 10.0
"""How long a start waits for a tool host that is not connected."""

_log = Logger("kubechain.tools")


@asynccontextmanager
async def beside(path: Path) -> AsyncIterator[Beside]:
    """A starter that listens at `path` for its tool host while the block lasts. Raises OSError."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.setblocking(False)
        listener.bind(str(path))
        # The tool host is another user. Only its container, besides this one, has the folder.
        path.chmod(0o666)
        listener.listen(1)
        starter = Beside(listener)
        hosts = asyncio.create_task(starter.hosts(), name="tool hosts")
        try:
            yield starter
        finally:
            hosts.cancel()
            await asyncio.wait({hosts})
    finally:
        listener.close()
        path.unlink(missing_ok=True)


class Beside:
    """Starts processes by the tool host that is connected."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._numbers = itertools.count(1)
        self._channel: Channel | None = None
        self._connected = asyncio.Event()
        self._starting: dict[int, asyncio.Future[None]] = {}
        self._running: dict[int, RemoteProcess] = {}

    async def hosts(self) -> None:
        """Takes one tool host after another; until cancelled."""
        while True:
            end, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            lost = asyncio.Event()
            self._channel = Channel(end, self._heard, lost.set)
            self._connected.set()
            try:
                await lost.wait()
                _log.warning("the tool host is gone, with every tool process", processes=len(self._running))
            finally:
                self._connected.clear()
                self._channel.close()
                self._channel = None
                self._lose()

    def disconnect(self) -> None:
        """Ends the connection to the tool host, which kills every process and connects again."""
        if self._channel is not None:
            self._channel.close()

    async def __call__(self, command: Command, stdin: bool | socket.socket = False) -> ToolProcess:
        """Starts a process in the tool host. Raises ProgramNotFound, OSError, Transient (no tool host)."""
        channel = await self._host()
        number = next(self._numbers)
        process = RemoteProcess(lambda grace: channel.send(Finish(number, grace)))
        began = self._starting[number] = asyncio.get_running_loop().create_future()
        theirs = await pipes(process, stdin)
        begin = Begin(
            number, command.program, command.args, command.env, command.locale, command.folder, command.bounds
        )
        channel.send(begin, theirs)
        self._running[number] = process
        try:
            await began
        except asyncio.CancelledError:
            channel.send(Finish(number, 0.0))
            process.close()
            raise
        except BaseException:
            del self._running[number]
            process.close()
            raise
        finally:
            del self._starting[number]
        return process

    async def _host(self) -> Channel:
        """The connection to the tool host, which may have to start first. Raises Transient."""
        try:
            async with asyncio.timeout(AWAIT_SECONDS):
                await self._connected.wait()
        except TimeoutError:
            raise Transient(
                'no tool host is connected, so no tool process can be started; see the logs of container "tools" '
                "of the operator's pod",
                reason="NoToolHost",
            ) from None
        if self._channel is None:
            raise Transient("the tool host has just ended", reason="NoToolHost")
        return self._channel

    def _heard(self, message: Message, _: list[int]) -> None:
        match message:
            case Began(number, held):
                if process := self._running.get(number):
                    process.held = held
                if (began := self._starting.get(number)) and not began.done():
                    began.set_result(None)
            case Refused(number):
                if (began := self._starting.get(number)) and not began.done():
                    began.set_exception(_refusal(message))
            case Ended(number, code, by_itself, over_memory):
                if process := self._running.pop(number, None):
                    process.over_memory = over_memory
                    process.over(code, by_itself=by_itself)
            case Begin() | Finish():
                self.disconnect()

    def _lose(self) -> None:
        """Every process has ended with its host."""
        for began in self._starting.values():
            if not began.done():
                began.set_exception(
                    Transient("the tool host ended while it was to be started", reason="NoToolHost")
                )
        for process in self._running.values():
            process.over(-signal.SIGKILL, by_itself=True)
        self._running.clear()


def _refusal(refused: Refused) -> OSError:
    if refused.missing:
        return (ProgramNotFound if refused.missing == "Program" else FolderNotFound)(refused.message)
    return OSError(refused.number, refused.message or os.strerror(refused.number))
