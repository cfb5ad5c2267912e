"""How a tool process is started, wherever that is: beside the program on this machine, or in another container.

The sessions of MCP servers and the tool processes of functions call a `Starter` and talk to the `ToolProcess` that
they get. `here` starts it on this machine; `beside` has it started by a tool host. Where it is started, PATH, HOME
and the Python interpreter are those of that place.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from kubechain.agents.ports.tool import Held
from kubechain.providers.tools.environment import environment
from kubechain.providers.tools.limits import NO_BOUNDS, Bounds
from kubechain.providers.tools.pods.manifest import PodCommand
from kubechain.providers.tools.process import start

PYTHON = "{python}"
"""Stands for the interpreter that kubechain is installed in, where the process is started."""
_READ_BYTES = 64 * 1024


class Command(Struct, frozen=True):
    """What to start. `program`: an absolute path, a name on PATH, or PYTHON; `env`: what the manifest gives.

    `locale` adds LANG to the environment. `folder`: where it is started; a program with a slash in it that is no
    absolute path is one in that folder, unless it is /. `bounds`: what it may use, together with all it starts.
    `pod`: the pod to start it in, instead of here.
    """

    program: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    locale: bool = False
    folder: str = "/"
    bounds: Bounds = NO_BOUNDS
    pod: PodCommand | None = None

    def __repr__(self) -> str:
        """Without the environment, which may have secrets in it."""
        return f"Command({self.program!r}, {self.args!r})"


class ProgramNotFound(FileNotFoundError):
    """There is no such program where it was to be started."""


class FolderNotFound(FileNotFoundError):
    """There is no such folder where a program was to be started."""


class ToolProcess(Protocol):
    """One process: its output, its input, and its end."""

    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader

    @property
    def held(self) -> Held | None:
        """Who holds it to its limits, if it has any."""
        ...

    @property
    def over_memory(self) -> bool:
        """Whether it has ended, and the kernel killed it or one that it started for its memory."""
        ...

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the signal that killed it."""
        ...

    @property
    def why(self) -> str:
        """What else is known about its end, as a clause, or ""."""
        ...

    def write(self, data: bytes) -> None:
        """Writes to its stdin. Does nothing if the process has closed it."""
        ...

    async def drained(self) -> None:
        """Waits until more can be written, or the process reads no more."""
        ...

    def close_stdin(self) -> None:
        """Closes its stdin."""
        ...

    async def finish(self, readers: Collection[asyncio.Task[None]], grace: float = 0.0) -> bool:
        """Gives the process `grace` seconds to end by itself, asks it to, then kills it and all it started.

        `readers` are the tasks that read its output. True when the process had ended by itself.
        """
        ...


class Starter(Protocol):
    """Starts tool processes in one place."""

    async def __call__(self, command: Command, stdin: bool | socket.socket = False) -> ToolProcess:
        """`stdin`: a pipe if True, or a socket that the process reads from. Raises OSError, Transient."""
        ...


async def here(command: Command, stdin: bool | socket.socket = False) -> ToolProcess:
    """Starts it on this machine. Raises ProgramNotFound, FolderNotFound, OSError."""
    argv, env = resolved(command)
    descriptor = stdin if isinstance(stdin, bool) else stdin.fileno()
    return await start(argv, env, descriptor, folder=command.folder, bounds=command.bounds)


def resolved(command: Command) -> tuple[list[str], dict[str, str]]:
    """The words and the whole environment of a process on this machine. Raises ProgramNotFound, FolderNotFound."""
    if not Path(command.folder).is_dir():
        raise FolderNotFound(command.folder)
    env = environment(command.env, locale=command.locale)
    if command.program == PYTHON:
        return [sys.executable, *command.args], env
    program = command.program
    if "/" in program and not program.startswith("/"):
        program = "" if command.folder == "/" else f"{command.folder}/{program}"
    found = shutil.which(program, path=env["PATH"]) if program else None
    if found is None:
        raise ProgramNotFound(command.program)
    return [found, *command.args], env


async def drain(stream: asyncio.StreamReader) -> None:
    """Reads a stream that nobody else reads any more: a process that cannot write may not be able to exit."""
    while await stream.read(_READ_BYTES):
        pass


def ending(process: ToolProcess) -> str:
    """How the process ended, for people: `exited with code 1`, `was killed by SIGKILL`."""
    if process.why:
        return f"has ended: {process.why}"
    code = process.returncode
    if code is None:
        return "closed its connection"
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
