"""Starts the engine's command that runs a container, so that it is never killed with us or by us.

`local` starts one for each container. A command that is killed while it starts a container leaves the engine with
the belief that nothing was started. asyncio kills the processes that it drops, so this is none of them.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from kubechain.providers.tools.container.engine import NoAnswer


class Command:
    """A running command in a session of its own. Its end is the end of what it prints."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.pipes: list[asyncio.BaseTransport] = []
        self._reaped = False

    async def ended(self) -> int:
        """The exit code, or the negative signal, of a command whose output has ended."""
        _, status = await asyncio.to_thread(os.waitpid, self.pid, 0)
        self._reaped = True
        return os.waitstatus_to_exitcode(status)

    def leave(self) -> None:
        """Stops listening to it. The command goes on; somebody waits for its end, so that it is no zombie then."""
        for pipe in self.pipes:
            pipe.close()
        if not self._reaped:
            threading.Thread(target=_reap, args=(self.pid,), name=f"reap {self.pid}", daemon=True).start()


_THERE = 'cd "$0" && exec "$@"'
"""Where podman notes that a container ran out of memory: not in the folder that we were started in."""


async def spawn(argv: Sequence[str], variables: Mapping[str, str], stdin: Path) -> Command:
    """Starts a command in the folder of `stdin`, with our environment and `variables`. Raises NoAnswer."""
    ours, theirs = zip(os.pipe(), os.pipe(), strict=True)
    try:
        with stdin.open("rb") as source:
            streams = enumerate((source.fileno(), *theirs))
            pid = os.posix_spawn(  # noqa: ASYNC221 - it returns at once
                "/bin/sh",
                ["sh", "-c", _THERE, str(stdin.parent), *argv],
                {**os.environ, **variables},
                file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in streams],
                setsid=True,
            )
    except OSError as error:
        for descriptor in ours:
            os.close(descriptor)
        raise NoAnswer(f"{argv[0]} could not be started: {error.strerror}") from error
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    command = Command(pid, asyncio.StreamReader(), asyncio.StreamReader())
    for descriptor, reader in zip(ours, (command.stdout, command.stderr), strict=True):
        command.pipes.append(await _listen(descriptor, reader))
    return command


async def _listen(descriptor: int, reader: asyncio.StreamReader) -> asyncio.BaseTransport:
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    return pipe


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
