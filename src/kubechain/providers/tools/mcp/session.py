"""A session with one MCP server: its process and the connection to it, in one task.

`MCP` has one for each server. A session never restarts its server: when it has ended, the next use creates
another. The only exception is a server that exits before it has agreed on a protocol: it is started once more,
with an older protocol version.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, TypeVar

from msgspec.structs import replace

from kubechain.agents.call.redaction import redacted
from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Terminal, Transient
from kubechain.logs import Logger
from kubechain.providers.tools.environment import secrets
from kubechain.providers.tools.limits import about_memory
from kubechain.providers.tools.mcp.idle import Idle
from kubechain.providers.tools.mcp.pace import Pace
from kubechain.providers.tools.mcp.progress import Told
from kubechain.providers.tools.mcp.restarts import Restarts
from kubechain.providers.tools.mcp.server import CallAnswer, Discovery, ServerCommand, ToolRequest
from kubechain.providers.tools.mcp.showing import shown
from kubechain.providers.tools.output import Output
from kubechain.providers.tools.starting import (
    Command,
    FolderNotFound,
    ProgramNotFound,
    Starter,
    ToolProcess,
    drain,
    ending,
    here,
)
from kubechain.resources.json import JsonObject
from kubechain.resources.toolcall import ExternalWork

LIST_SECONDS = 30.0
CHECK_SECONDS = 5.0
STOP_SECONDS = 1.0

Answer = TypeVar("Answer")

_log = Logger("kubechain.tools")


class Connection(Protocol):
    """A connected server; conversation.Connection without the SDK that comes with it."""

    async def discover(self) -> Discovery: ...

    async def call(self, tool: str, arguments: JsonObject, key: str, told: Told) -> CallAnswer: ...

    async def look(self, work: ExternalWork) -> CallAnswer: ...

    async def cancel(self, work: ExternalWork) -> None: ...

    async def answers(self) -> None: ...


async def _nothing(_: Connection) -> None:
    """Asks nothing: for those who wait for the start alone."""


async def launched(command: ServerCommand, start: Starter) -> ToolProcess:
    """The server's process. Raises Terminal, Transient, OSError."""
    try:
        what = Command(
            command.command,
            command.args,
            dict(command.env),
            folder=command.folder,
            bounds=command.bounds,
            pod=command.pod,
        )
        return await start(what, stdin=True)
    except ProgramNotFound:
        raise Terminal(not_found(command.command, command.folder), reason="CommandNotFound") from None
    except FolderNotFound:
        text = f"cannot be started: no folder {command.folder}; create it or correct spec.workingDir"
        raise Terminal(text, reason="FolderNotFound") from None


def not_found(program: str, folder: str = "/") -> str:
    """What to do about a program that does not exist."""
    if "/" in program and not program.startswith("/") and folder != "/":
        return f"cannot be started: no program {program} in {folder}; install it or correct spec.command"
    if program.startswith("/") or "/" not in program:
        where = "" if program.startswith("/") else " on PATH"
        return f"cannot be started: no program {program}{where}; install it or correct spec.command"
    return (
        f"cannot be started: no program {program}; programs are started in the folder /, so that spec.command has "
        "to be an absolute path or a name on PATH, unless spec.workingDir is set"
    )


class Session:
    """A server that is starting, running or stopped. `task` ends with it.

    If the deadline of a caller passes while the server starts, the start continues, so that a slow package runner
    is ready for the next try. If a deadline passes later, the session pings the server: one that does not answer
    within five seconds gets no new calls, and is killed when the last of its calls has ended. A server that nobody
    uses for a while is stopped.
    Errors of calls never say what the server printed: that may be about other runs.
    """

    def __init__(
        self,
        owner: str,
        command: ServerCommand,
        changed: Callable[[str], None],
        *,
        plain: bool = False,
        start: Starter = here,
        before: asyncio.Task[None] | None = None,
        restarts: Restarts | None = None,
    ) -> None:
        """`before`: the session that has to end first. `restarts` says when it may start."""
        self.target = command
        self.plain = plain
        """Whether it is asked plainly, since it has ended at the newest protocol's first question before."""
        self.owner = owner
        self._start = start
        self._env = dict(command.env)
        self._hidden = secrets(self._env)
        self._secret = secrets({name: self._env.get(name, "") for name in command.hidden})
        self._output = Output(owner, self._hidden)
        self._process: ToolProcess | None = None
        self._end: Transient | Terminal = Transient(f"MCP server {owner} was stopped", reason="ServerStopped")
        self._stopping = False
        self._hangs = False
        self._asking = 0
        self._listing = 0
        self._late = asyncio.Event()
        self._changed = changed
        self._pace = Pace(lambda: changed(owner))
        self._idle = Idle(command.idle_seconds, lambda: self._asking > 0, self._retire)
        self._before = before
        self._restarts = restarts or Restarts(asyncio.get_running_loop().time)
        self._ready_since = 0.0
        self.found: Discovery | None = None
        """What it offered when it was last asked."""
        self.retired = False
        """Whether it was stopped because nobody used it."""
        self._ready: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._live(), name=f"MCP server {owner}")
        self.task.add_done_callback(self._over)

    def stop(self) -> None:
        """Stops the server; `task` is done when it has ended."""
        if not self._stopping:  # a second cancellation would cut the first one's clean-up short
            self._stopping = True
            self.task.cancel()

    @property
    def usable(self) -> bool:
        """Whether it should get new calls."""
        if self._stopping or self._hangs or self.task.done():
            return False
        return self._process is None or not self._process.stdout.at_eof()

    @property
    def starts_in(self) -> float:
        """Seconds until it is started, when it has to wait because the last ones ended too soon."""
        return 0.0 if self._process is not None or self.task.done() else self._restarts.wait

    @property
    def draining(self) -> bool:
        """Whether it hangs and will be stopped after the last of its calls."""
        return self._hangs and not self._stopping

    async def discover(self, timeout: float) -> Discovery:
        """What the server offers. Raises Transient, Terminal, with what it printed last.

        Does not wait for a server that keeps ending: says so.
        """
        if self.starts_in > 0:
            raise self._error(Transient, self._keeps_ending(self._restarts.last_words), "ServerDied")
        self._listing += 1
        try:
            await self._ask("its start", _nothing, timeout)
            found = await self._ask("tools/list", lambda talk: talk.discover(), min(timeout, LIST_SECONDS))
        except ToolError as error:
            raise self._error(Transient, f"does not list its tools: {error}", "ListFailed") from error
        except (Transient, Terminal) as error:
            printed = f"; it printed last: {self._output.tail}" if self._output.tail else ""
            raise type(error)(f"{error}{printed}", reason=error.reason) from error
        finally:
            self._listing -= 1
        self._pace.listed(found)
        self.found = replace(found, held=self._process.held if self._process is not None else None)
        return self.found

    async def call(self, request: ToolRequest, arguments: JsonObject, timeout: float) -> CallAnswer:
        """What the call came to. Raises ToolError, Transient, Terminal."""

        def question(talk: Connection) -> Awaitable[CallAnswer]:
            return talk.call(request.tool, arguments, request.key, request.told)

        answer = await self._ask(request.tool, question, timeout)
        return shown(answer, request.tool, self._hidden, self._secret)

    async def look(self, work: ExternalWork, timeout: float) -> CallAnswer:
        """How a task stands. Raises ToolError, Transient, Terminal."""
        answer = await self._ask("tasks/get", lambda talk: talk.look(work), timeout)
        return shown(answer, f"task {work.id}", self._hidden, self._secret)

    async def cancel(self, work: ExternalWork, timeout: float) -> None:
        """Cancels a task. Raises Transient, Terminal."""
        await self._ask("tasks/cancel", lambda talk: talk.cancel(work), timeout)

    async def _ask(self, what: str, question: Callable[[Connection], Awaitable[Answer]], timeout: float) -> Answer:
        """An answer from the server. Raises ToolError, Transient, Terminal, with no value of its environment."""
        self._asking += 1
        try:
            async with asyncio.timeout(timeout):
                connection = await asyncio.shield(self._ready)
                return await question(connection)
        except TimeoutError as error:
            self._late.set()
            raise self._error(Transient, self._too_late(what, timeout), "Timeout") from error
        except ToolError as error:
            raise ToolError(redacted(str(error), self._hidden)) from error
        except Transient as error:
            if error is self._end:
                raise
            # A lost connection is explained by how the server ended, which it does now.
            await asyncio.wait({self.task}, timeout=CHECK_SECONDS)
            raise (self._end if self.task.done() else self._error(Transient, str(error), error.reason)) from error
        finally:
            self._asking -= 1
            self._idle.used()
            if self._hangs and not self._asking:
                self.stop()

    async def _live(self) -> None:
        try:
            why = await self._run()
            self._end = self._error(Transient, why, "ServerDied")
            self._died(why)
        except (Transient, Terminal) as error:
            self._end = self._error(type(error), str(error), error.reason)
        except OSError as error:
            text = f"cannot be started: {error.strerror}; correct spec.command"
            self._end = self._error(Terminal, text, "CommandFailed")
        finally:
            self._pace.stop()
            self._idle.stop()

    async def _run(self) -> str:
        """Runs the server until it ends. Returns how it ended."""
        # Over a second the first time: in a thread, so that nobody else waits for it.
        await asyncio.to_thread(importlib.import_module, "kubechain.providers.tools.mcp.client")
        if self._before is not None:
            await asyncio.wait({self._before})
        await asyncio.sleep(self._restarts.wait)
        why, by_itself = await self._one_life()
        if by_itself and not self.plain and not self._ready.done():
            self.plain = True
            self._output = Output(self.owner, self._hidden)
            why, _ = await self._one_life()
        return why

    async def _one_life(self) -> tuple[str, bool]:
        """Runs one process. Returns how it ended, and whether by itself."""
        from kubechain.providers.tools.mcp.wire import CLOSED

        process = self._process = await launched(self.target, self._start)
        readers = [asyncio.create_task(self._output.pump(process.stderr))]
        try:
            why = await self._converse(process)
        finally:
            self._stopping = self._ready.done()
            process.close_stdin()
            readers.append(asyncio.create_task(drain(process.stdout)))
            by_itself = await process.finish(readers, grace=STOP_SECONDS)
        by_itself = by_itself and why == CLOSED
        return ((ending(process) if by_itself else why) + self._about_memory(process)), by_itself

    def _about_memory(self, process: ToolProcess) -> str:
        """What the end of the process has to do with its memory limit, if anything."""
        bounds = self.target.bounds
        return about_memory(
            bounds, process.held, process.over_memory, self._output.tail, "spec.resources.limits.memory"
        )

    async def _converse(self, process: ToolProcess) -> str:
        """Runs the connection until the server ends or becomes unusable. Returns which of the two."""
        from kubechain.providers.tools.mcp.client import connected, failure
        from kubechain.providers.tools.mcp.wire import Wire

        wire = Wire(process, self._output.take, self._pace.changed)
        try:
            async with asyncio.timeout(self.target.start_seconds) as deadline:
                async with connected(wire, plain=self.plain) as connection:
                    deadline.reschedule(None)
                    self._begun(connection)
                    return await self._watch(connection, wire.ended)
        except TimeoutError:
            seconds = f"{self.target.start_seconds:g} s"
            return f"did not finish its handshake within {seconds} and was killed; see spec.startTimeout"
        except Exception as error:  # the SDK's errors come in groups of groups; any of them ends this server only
            return wire.end or str(failure(error))

    async def _watch(self, connection: Connection, ended: asyncio.Future[str]) -> str:
        """Waits for the server's end, and looks whether it hangs each time it was late; what became of it."""
        while True:
            late = asyncio.ensure_future(self._late.wait())
            anything: set[asyncio.Future[str] | asyncio.Future[Literal[True]]] = {ended, late}
            try:
                await asyncio.wait(anything, return_when=asyncio.FIRST_COMPLETED)
            finally:
                late.cancel()
            if ended.done():
                return "cannot be reached any more" if ended.cancelled() else ended.result()
            self._late.clear()
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await connection.answers()
            except TimeoutError:
                self._hangs = True
                if not self._asking:
                    return f"hangs: it did not respond within {CHECK_SECONDS:g} s and was killed"
            except Transient:
                continue

    def _begun(self, connection: Connection) -> None:
        """It is ready. Whoever did not ask for its tools is told that it has started."""
        self._ready_since = asyncio.get_running_loop().time()
        self._ready.set_result(connection)
        self._idle.begin()
        if not self._listing:
            self._changed(self.owner)

    def _died(self, why: str) -> None:
        """It has ended unasked: those who keep an eye on it are told, unless it never was ready."""
        now = asyncio.get_running_loop().time()
        lived = now - self._ready_since if self._ready_since else 0.0
        printed = f"; it printed last: {self._output.tail}" if self._output.tail else ""
        self._restarts.ended(redacted(why, self._hidden), redacted(f"{why}{printed}", self._hidden), lived)
        if self._ready_since:
            self._changed(self.owner)

    def _retire(self) -> None:
        """Nobody has used it for a while."""
        self.retired = True
        self._end = Transient(f"MCP server {self.owner} was stopped while idle", reason="ServerStopped")
        self.stop()
        self._changed(self.owner)

    def _too_late(self, what: str, timeout: float) -> str:
        if self._ready.done():
            return f"did not answer {what} within {timeout:g} s"
        if self.starts_in > 0:
            return f"did not start within {timeout:g} s: it {self._keeps_ending(self._restarts.last_end)}"
        return f"did not start within {timeout:g} s"

    def _keeps_ending(self, how: str) -> str:
        return (
            f"keeps ending ({self._restarts.count} times) and is started again in {self.starts_in:.0f} s: it {how}"
        )

    def _error(self, kind: type[Transient] | type[Terminal], text: str, reason: str) -> Transient | Terminal:
        return kind(redacted(f"MCP server {self.owner} {text}", self._hidden), reason=reason)

    def _over(self, task: asyncio.Task[None]) -> None:
        """Tells those who wait for the start; also runs when the task was cancelled before it began."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("an MCP session failed", server=self.owner, exc_info=error)
            self._end = self._error(Transient, f"failed inside: {type(error).__name__}", "SessionFailed")
        if not self._ready.done():
            self._ready.set_exception(self._end)
            self._ready.exception()
