"""One MCP server's life: its process and the conversation with it, in one task of their own.

`MCP` owns one per server. A session never restarts itself: when it has ended, the next use makes another.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from kubechain.agents.ports.tool import ServerCommand, ToolError
from kubechain.errors import ProviderError, Terminal, Transient
from kubechain.providers.tools.environment import environment, redacted, secrets
from kubechain.providers.tools.output import Output
from kubechain.providers.tools.process import ending, finish, start, tethered

if TYPE_CHECKING:
    from kubechain.providers.tools.mcp_client import Conversation

START_SECONDS = 60.0
CHECK_SECONDS = 5.0
STOP_SECONDS = 1.0

Answer = TypeVar("Answer")


class Session:
    """A server that is starting, running or gone. `task` is its whole life.

    A caller whose deadline passes while the server starts leaves alone; the start goes on for its own minute, so
    that a slow package runner is there for the next try. A caller whose deadline passes later makes the session
    ask the server for its tools: one that does not answer within five seconds hangs, and is killed.
    """

    def __init__(self, owner: str, command: ServerCommand, changed: Callable[[str], None]) -> None:
        self.command = command
        self._owner = owner
        self._changed = changed
        self._env = dict(command.env)
        self._hidden = secrets(self._env)
        self._output = Output(owner, self._hidden)
        self._process: Process | None = None
        self._end: ProviderError = Transient(f"MCP server {owner} was stopped", reason="ServerStopped")
        self._suspected = asyncio.Event()
        self._ready: asyncio.Future[Conversation] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._live(), name=f"MCP server {owner}")
        self.task.add_done_callback(self._over)
    @property
    def usable(self) -> bool:
        """Whether it should get new calls."""
        if self.task.done():
            return False
        stdout = self._process.stdout if self._process is not None else None
        return stdout is None or not stdout.at_eof()

    async def ask(self, what: str, question: Callable[[Conversation], Awaitable[Answer]], timeout: float) -> Answer:
        """An answer from the server. Raises ToolError, Transient, Terminal; texts hold no value of its environment."""
        try:
            async with asyncio.timeout(timeout):
                conversation = await asyncio.shield(self._ready)
                return await question(conversation)
        except TimeoutError as error:
            self._suspected.set()
            raise Transient(
                f"MCP server {self._owner} did not answer {what} within {timeout:g} s{self._printed()}", reason="Timeout"
            ) from error
        except ToolError as error:
            raise ToolError(redacted(str(error), self._hidden)) from error
        except Transient as error:
            raise await self._why_broken(error) from error

    async def _why_broken(self, error: Transient) -> ProviderError:
        """A lost connection is explained by how the session ends, which is now."""
        await asyncio.wait({self.task}, timeout=CHECK_SECONDS)
        return self._end if self.task.done() else error

    async def _live(self) -> None:
        try:
            self._end = await self._run()
        except ProviderError as error:
            self._end = error
        except asyncio.CancelledError:
            raise
        except OSError as error:
            self._end = Terminal(
                f"MCP server {self._owner}: {self.command.command} cannot be started: {error.strerror}; "
                "correct spec.command",
                reason="CommandFailed",
            )

    async def _run(self) -> ProviderError:
        """Starts the server and stays until it has ended; why it did."""
        argv, env = self._launch()
        # Over a second the first time: in a thread, so that nobody else waits for it.
        await asyncio.to_thread(importlib.import_module, "kubechain.providers.tools.mcp_client")
        process = await start(argv, env, talks=True)
        self._process = process
        assert process.stdin is not None and process.stderr is not None  # noqa: S101
        reader = asyncio.create_task(self._output.pump(process.stderr))
        why = "ended"
        try:
            why = await self._converse(process)
        finally:
            process.stdin.close()
            gone = process.stdout is not None and process.stdout.at_eof()
            await finish(process, [reader], grace=STOP_SECONDS)
            reader.cancel()
        how = ending(process) if gone else why
        return Transient(f"MCP server {self._owner} {how}{self._printed()}", reason="ServerDied")
