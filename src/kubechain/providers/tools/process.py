"""Starting and ending tool processes: own process group, exact environment, neutral folder, gone with the program.

`worker_process` and `mcp_session` call it. It never runs a shell and never leaves a process behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from kubechain.providers.tools import tether

_KILL_SECONDS = 5.0
_READ_SECONDS = 1.0
_READ_BYTES = 64 * 1024


def tethered(program: str, args: Sequence[str]) -> list[str]:
    """The command line that runs a foreign program tied to this one."""
    if sys.platform != "linux":
        return [program, *args]
    return [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), program, *args]


async def start(
    argv: Sequence[str], env: Mapping[str, str], *, talks: bool = False, keep: Collection[int] = ()
) -> Process:
    """A process with exactly this environment; `talks`: its stdin is a pipe; `keep`: descriptors it inherits."""
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=PIPE if talks else DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env=dict(env),
        cwd=Path("/"),
        pass_fds=tuple(keep),
        start_new_session=True,
    )


async def finish(process: Process, readers: Collection[asyncio.Task[None]], grace: float = 0.0) -> bool:
    """Gives the process `grace` seconds to end by itself, asks it to, then kills it and all it started.

    `readers` are the tasks that read its output; they get a moment to read what it wrote last. True when the
    process had ended by itself. When cancelled it kills at once.
    """
    by_itself = False
    try:
        if grace:
            by_itself = await _ended(process, grace)
            if not by_itself:
                _signal_group(process, signal.SIGTERM)
                await _ended(process, grace)
    finally:
        _signal_group(process, signal.SIGKILL)
        try:
            await _ended(process, _KILL_SECONDS)
            if readers:
                await asyncio.wait(readers, timeout=_READ_SECONDS)
        finally:
            # A descendant that left the group may hold the pipes open; nothing public closes our ends of them.
            transport = getattr(process, "_transport", None)
            if transport is not None:
                transport.close()
    return by_itself


async def drain(stream: asyncio.StreamReader) -> None:
    """Reads a stream that nobody else reads any more: a process that cannot write cannot end."""
    while await stream.read(_READ_BYTES):
        pass


async def _ended(process: Process, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await process.wait()
    return process.returncode is not None


def _signal_group(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def ending(process: Process) -> str:
    """How the process ended, for people: `exited with code 1`, `was killed by SIGKILL`."""
    code = process.returncode
    if code is None:
        return "closed its connection"
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
