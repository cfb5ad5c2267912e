"""Tool processes on this machine: in a process group, with an exact environment, in a neutral folder.

`starting` calls it. It never runs a shell and never leaves a process behind: on Linux each one has a watcher
(tether.py), which also finds what has detached itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import cast

from kubechain.agents.ports.tool import Held
from kubechain.providers.tools import tether
from kubechain.providers.tools.cgroups import NoCgroup, cgroups
from kubechain.providers.tools.limits import NO_BOUNDS, Bounds, held_by_cgroup, held_by_rlimits, not_held

_KILL_SECONDS = 5.0
_READ_SECONDS = 1.0
_STDOUT, _STDERR = 1, 2
LOW_PRIORITY = 10
_WATCHED = sys.platform == "linux"


class LocalProcess(asyncio.SubprocessProtocol):
    """One process: its output, its input, and its end."""

    def __init__(self) -> None:
        self.stdout = asyncio.StreamReader()
        self.stderr = asyncio.StreamReader()
        self._exited = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.SubprocessTransport | None = None
        self._tie: socket.socket | None = None
        self.held: Held | None = None
        """Who holds it to its limits, if it has any."""
        self.over_memory = False
        """Whether it has ended, and the kernel killed it or one that it started for its memory."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        for number, reader in ((_STDOUT, self.stdout), (_STDERR, self.stderr)):
            if (pipe := self._transport.get_pipe_transport(number)) is not None:
                reader.set_transport(pipe)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        (self.stdout if fd == _STDOUT else self.stderr).feed_data(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd in (_STDOUT, _STDERR):
            (self.stdout if fd == _STDOUT else self.stderr).feed_eof()
        else:
            self._writable.set()

    def process_exited(self) -> None:
        if self._tie is not None:
            with contextlib.suppress(OSError):
                self.over_memory = self._tie.recv(len(tether.MEMORY)) == tether.MEMORY
        self._exited.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    @property
    def pid(self) -> int:
        """That of the watcher where there is one."""
        return self._transport.get_pid() or 0 if self._transport is not None else 0

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._transport.get_returncode() if self._transport is not None else None

    @property
    def why(self) -> str:
        """What else is known about its end: nothing."""
        return ""

    def write(self, data: bytes) -> None:
        """Writes to its stdin. Does nothing if the process has closed it."""
        pipe = self._stdin()
        if pipe is not None and not pipe.is_closing():
            pipe.write(data)

    async def drained(self) -> None:
        """Waits until more can be written, or the process reads no more."""
        await self._writable.wait()

    def close_stdin(self) -> None:
        """Closes its stdin."""
        if (pipe := self._stdin()) is not None:
            pipe.close()

    async def finish(self, readers: Collection[asyncio.Task[None]], grace: float = 0.0) -> bool:
        """Gives the process `grace` seconds to end by itself, asks it to, then kills it and all it started.

        `readers` are the tasks that read its output; they get a moment to read what it wrote last. True when the
        process had ended by itself. When cancelled it kills at once.
        """
        by_itself = False
        try:
            if grace:
                by_itself = await self._ends_within(grace)
                if not by_itself:
                    self._signal(signal.SIGTERM)
                    await self._ends_within(grace)
        finally:
            self.kill()
            try:
                await self._ends_within(_KILL_SECONDS)
                self._signal(signal.SIGKILL)
                if readers:
                    await asyncio.wait(readers, timeout=_READ_SECONDS)
            finally:
                if self._transport is not None:
                    self._transport.close()
                if self._tie is not None:
                    self._tie.close()
        return by_itself

    async def ended(self) -> None:
        """Returns when it, and on Linux everything that it started, has ended."""
        await self._exited.wait()

    def tied(self, tie: socket.socket) -> None:
        """`tie`: its watcher watches the other end."""
        self._tie = tie

    def kill(self) -> None:
        """Kills the process and everything that it started."""
        if self._tie is None:
            self._signal(signal.SIGKILL)
            return
        with contextlib.suppress(OSError):  # the watcher has ended
            self._tie.shutdown(socket.SHUT_WR)

    async def _ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._exited.wait()
        return self._exited.is_set()

    def _signal(self, number: signal.Signals) -> None:
        if self._exited.is_set() and _WATCHED:
            return  # its watcher has seen to the rest
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _stdin(self) -> asyncio.WriteTransport | None:
        if self._transport is None:
            return None
        return cast("asyncio.WriteTransport | None", self._transport.get_pipe_transport(0))


async def start(
    argv: Sequence[str],
    env: Mapping[str, str],
    stdin: bool | int = False,
    output: tuple[int, int] = (subprocess.PIPE, subprocess.PIPE),
    folder: str = "/",
    bounds: Bounds = NO_BOUNDS,
) -> LocalProcess:
    """A process with exactly this environment, started in `folder`, held to the bounds as well as can be here.

    `stdin`: a pipe if True, or a descriptor; `output`: two of them.
    """
    if isinstance(stdin, bool):
        stdin = subprocess.PIPE if stdin else subprocess.DEVNULL
    limits, held = await asyncio.to_thread(_limits, bounds) if bounds else ([], None)
    ours, theirs = socket.socketpair() if _WATCHED else (None, None)
    watcher = [sys.executable, "-I", "-S", tether.__file__, str(theirs.fileno()), *limits, "--"] if theirs else []
    try:
        _, process = await asyncio.get_running_loop().subprocess_exec(
            LocalProcess,
            *watcher,
            *argv,
            stdin=stdin,
            stdout=output[0],
            stderr=output[1],
            env=dict(env),
            cwd=Path(folder),
            pass_fds=(theirs.fileno(),) if theirs else (),
            start_new_session=True,
        )
    except BaseException:
        tether.clear_away([word.partition("=")[2] for word in limits if word.startswith("cgroup=")], -1)
        if ours:
            ours.close()
        raise
    finally:
        if theirs:
            theirs.close()
    process.held = held
    if ours:
        ours.setblocking(False)
        process.tied(ours)
    return process


def _limits(bounds: Bounds) -> tuple[list[str], Held]:
    """What the watcher is told, and who holds the bounds."""
    if not _WATCHED:
        return [], not_held(sys.platform)
    try:
        folders, version = cgroups().make(bounds)
    except NoCgroup as error:
        words = [f"data={bounds.memory}"] if bounds.memory is not None else []
        return [*words, f"nice={LOW_PRIORITY}"] if bounds.cpu else words, held_by_rlimits(bounds, str(error))
    return [f"cgroup={folder}" for folder in folders], held_by_cgroup(bounds, version)
