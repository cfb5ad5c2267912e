"""One MCP server's life: its process and the conversation with it, in one task of their own.

`MCP` owns one per server. A session never restarts itself: when it has ended, the next use makes another.
"""

from __future__ import annotations

import asyncio
import importlib
import shutil
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, TypeVar

from kubechain.agents.ports.tool import Discovery, ServerCommand, ToolError
from kubechain.errors import ProviderError, Terminal, Transient
from kubechain.logs import Logger
from kubechain.providers.tools.environment import environment, redacted, secrets
from kubechain.providers.tools.output import Output
from kubechain.providers.tools.process import drain, ending, finish, start, tethered
from kubechain.resources.json import JsonObject

START_SECONDS = 60.0
CHECK_SECONDS = 5.0
STOP_SECONDS = 1.0

Answer = TypeVar("Answer")

_log = Logger("kubechain.tools")


class Conversation(Protocol):
    """A connected server; mcp_client.Conversation without the SDK that comes with it."""

    async def discover(self) -> Discovery: ...

    async def call(self, tool: str, arguments: JsonObject, key: str) -> str: ...


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
        self._stopping = False
        self._late = asyncio.Event()
        self._ready: asyncio.Future[Conversation] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._live(), name=f"MCP server {owner}")
        self.task.add_done_callback(self._over)

    def stop(self) -> None:
        """Ends the server; `task` is done when it is gone."""
        if not self._stopping:  # a second cancellation would cut the first one's clean-up short
            self._stopping = True
            self.task.cancel()

    @property
    def usable(self) -> bool:
        """Whether it should get new calls."""
        if self._stopping or self.task.done():
            return False
        stdout = self._process.stdout if self._process is not None else None
        return stdout is None or not stdout.at_eof()

    async def ask(
        self, what: str, question: Callable[[Conversation], Awaitable[Answer]], timeout: float
    ) -> Answer:
        """An answer from the server. Raises ToolError, Transient, Terminal, with no value of its environment."""
        try:
            async with asyncio.timeout(timeout):
                conversation = await asyncio.shield(self._ready)
                return await question(conversation)
        except TimeoutError as error:
            self._late.set()
            raise Transient(
                f"MCP server {self._owner} did not answer {what} within {timeout:g} s{self._printed()}",
                reason="Timeout",
            ) from error
        except ToolError as error:
            raise ToolError(redacted(str(error), self._hidden)) from error
        except Transient as error:
            if error is self._end:
                raise
            # A lost connection is explained by how the server ended, which it does now.
            await asyncio.wait({self.task}, timeout=CHECK_SECONDS)
            raise (self._end if self.task.done() else error) from error

    async def _live(self) -> None:
        try:
            why = await self._run()
            self._end = self._error(Transient, f"{why}{self._printed()}", "ServerDied")
        except ProviderError as error:
            self._end = error
        except OSError as error:
            text = f"cannot be started: {error.strerror}; correct spec.command"
            self._end = self._error(Terminal, text, "CommandFailed")

    async def _run(self) -> str:
        """Starts the server and stays until it has ended; how it did."""
        env = environment(self._env)
        program = shutil.which(self.command.command, path=env["PATH"])
        if program is None:
            text = (
                f"cannot be started: no program {self.command.command} on PATH; install it or correct spec.command"
            )
            raise self._error(Terminal, text, "CommandNotFound")
        # Over a second the first time: in a thread, so that nobody else waits for it.
        client = await asyncio.to_thread(importlib.import_module, "kubechain.providers.tools.mcp.client")
        process = self._process = await start(tethered(program, self.command.args), env, talks=True)
        readers = [asyncio.create_task(self._output.pump(process.stderr))] if process.stderr else []
        why = ""
        try:
            why = await self._converse(process)
        finally:
            self._stopping = True
            if process.stdin is not None:
                process.stdin.close()
            if process.stdout is not None:
                readers.append(asyncio.create_task(drain(process.stdout)))
            by_itself = await finish(process, readers, grace=STOP_SECONDS)
        return ending(process) if by_itself and why == client.CLOSED else why

    async def _converse(self, process: Process) -> str:
        """Talks with the server until it has ended or is of no use; which of the two."""
        from kubechain.providers.tools.mcp.client import connected, first_cause

        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(START_SECONDS) as deadline:
                async with connected(process, self._output.take, self._tell, ended) as conversation:
                    deadline.reschedule(None)
                    self._ready.set_result(conversation)
                    return await self._watch(conversation, ended)
        except TimeoutError:
            return f"did not finish its handshake within {START_SECONDS:g} s"
        except Exception as error:  # the SDK's errors come in groups of groups; any of them ends this server only
            known = ended.done() and not ended.cancelled()
            return ended.result() if known else f"cannot be talked to: {first_cause(error)}"

    async def _watch(self, conversation: Conversation, ended: asyncio.Future[str]) -> str:
        """Waits for the server's end, and looks whether it hangs each time it was late; what became of it."""
        while True:
            late = asyncio.ensure_future(self._late.wait())
            anything: set[asyncio.Future[str] | asyncio.Future[Literal[True]]] = {ended, late}
            try:
                await asyncio.wait(anything, return_when=asyncio.FIRST_COMPLETED)
            finally:
                late.cancel()
            if ended.done():
                return ended.result()
            self._late.clear()
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await conversation.discover()
            except TimeoutError:
                return f"hangs: it did not list its tools within {CHECK_SECONDS:g} s and was killed"
            except (ToolError, Transient):
                continue

    def _tell(self) -> None:
        self._changed(self._owner)

    def _printed(self) -> str:
        return f"; it printed last: {self._output.tail}" if self._output.tail else ""

    def _error(self, kind: type[Transient] | type[Terminal], text: str, reason: str) -> ProviderError:
        return kind(redacted(f"MCP server {self._owner} {text}", self._hidden), reason=reason)

    def _over(self, task: asyncio.Task[None]) -> None:
        """Tells those who wait for the start; also runs when the task was cancelled before it began."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("an MCP session failed", server=self._owner, exc_info=error)
            self._end = self._error(Transient, f"failed inside: {type(error).__name__}", "SessionFailed")
        if not self._ready.done():
            self._ready.set_exception(self._end)
            self._ready.exception()
