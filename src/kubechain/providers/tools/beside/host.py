"""The tool host: starts tool processes for a program in another container, and has nothing of that program's.

`kubechain tool-host` runs it, as another user, with a filesystem and limits of its own and without a token. It
connects to the program's socket and does what it is told over it. When that connection ends, every process that
it has started is killed, and it connects again. It never opens a socket that somebody could connect to.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Literal

import uvloop

from kubechain.logs import Logger
from kubechain.providers.tools.beside.channel import Began, Begin, Channel, Ended, Finish, Message, Refused
from kubechain.providers.tools.process import LocalProcess, start
from kubechain.providers.tools.starting import Command, FolderNotFound, ProgramNotFound, resolved

FIRST_WAIT, LONGEST_WAIT = 0.05, 2.0
"""Seconds between tries to connect while the program is not there, growing."""

_log = Logger("kubechain.tools")


def run(path: Path) -> None:
    """Serves the program that listens at `path` until Ctrl-C or SIGTERM; then every tool process is killed."""
    _log.info("waiting for the operator", socket=str(path))
    with (
        suppress(KeyboardInterrupt, asyncio.CancelledError),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as r,
    ):
        r.run(_until_told(serve(path, lambda: _log.info("connected to the operator"))))


async def _until_told(serving: Coroutine[None, None, None]) -> None:
    task = asyncio.ensure_future(serving)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await task


async def serve(path: Path, connected: Callable[[], None]) -> None:
    """Serves the program that listens at `path`, and each one that comes after it; until cancelled."""
    wait = FIRST_WAIT
    while True:
        end = socket.socket(socket.AF_UNIX)
        try:
            end.connect(str(path))
        except OSError:
            end.close()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)
            continue
        wait = FIRST_WAIT
        connected()
        await Host(end).serve()
        _log.info("the operator has closed the connection; every tool process was killed")


class Host:
    """The processes of one connection."""

    def __init__(self, end: socket.socket) -> None:
        self._gone = asyncio.Event()
        self._channel = Channel(end, self._heard, self._gone.set)
        self._lives: dict[int, asyncio.Task[None]] = {}
        self._running: dict[int, LocalProcess] = {}
        self._finishing: dict[int, asyncio.Task[bool]] = {}

    async def serve(self) -> None:
        """Until the connection ends. Then everything that was started is killed."""
        try:
            await self._gone.wait()
        finally:
            self._channel.close()
            lives = list(self._lives.values())
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)

    def _heard(self, message: Message, descriptors: list[int]) -> None:
        match message:
            case Begin(number):
                life = self._lives[number] = asyncio.create_task(self._live(message, descriptors))
                life.add_done_callback(lambda _: self._lives.pop(number))
            case Finish(number, grace):
                self._finish(number, grace)
            case Began() | Refused() | Ended():
                self._channel.close()

    def _finish(self, number: int, grace: float) -> None:
        """Begins to end a process; one that is about to end is killed at once."""
        if number in self._finishing:
            self._running[number].kill()
        elif number in self._running:
            self._finishing[number] = asyncio.create_task(self._running[number].finish((), grace))
        elif number in self._lives:
            self._lives[number].cancel()

    async def _live(self, begin: Begin, descriptors: list[int]) -> None:
        """One process, from its start to its end."""
        process = await self._started(begin, descriptors)
        if process is None:
            return
        self._channel.send(Began(begin.id, process.held))
        self._running[begin.id] = process
        try:
            await process.ended()
            finishing = self._finishing.get(begin.id)
            by_itself = finishing is None or (await asyncio.gather(finishing, return_exceptions=True))[0] is True
            self._channel.send(Ended(begin.id, process.returncode or 0, by_itself, process.over_memory))
        finally:
            del self._running[begin.id]
            self._finishing.pop(begin.id, None)
            await process.finish(())

    async def _started(self, begin: Begin, descriptors: list[int]) -> LocalProcess | None:
        """The process; None if it cannot be started, which the program was told."""
        stdin, stdout, stderr = descriptors
        try:
            argv, env = resolved(Command(begin.program, begin.args, begin.env, begin.locale, begin.folder))
            return await start(argv, env, stdin, (stdout, stderr), begin.folder, begin.bounds)
        except OSError as error:
            self._channel.send(Refused(begin.id, _missing(error), error.errno or 0, error.strerror or str(error)))
            return None
        finally:
            for number in descriptors:
                os.close(number)


def _missing(error: OSError) -> Literal["", "Program", "Folder"]:
    if isinstance(error, FolderNotFound):
        return "Folder"
    return "Program" if isinstance(error, ProgramNotFound) else ""
