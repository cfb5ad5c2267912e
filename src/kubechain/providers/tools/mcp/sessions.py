"""`MCP`: tools of MCP servers, one live session per server.

`runner` calls it through MCPSessions. It never retries, holds no lock, and
no server delays another: a session is a task, and each caller waits for it with its own deadline. The SDK is
loaded when the first server is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Transient
from kubechain.providers.tools.mcp.restarts import Restarts
from kubechain.providers.tools.mcp.server import Discovery, MCPSessions, ServerCommand
from kubechain.providers.tools.mcp.session import Session
from kubechain.providers.tools.starting import Starter, here
from kubechain.resources.json import JsonObject, JsonValue


def _nobody(_: str) -> None:
    """Ignores changes of tools."""


class MCP(MCPSessions):
    """Sessions by owner. `on_change(owner)` is called when a server says that its tools have changed."""

    def __init__(self, on_change: Callable[[str], None] = _nobody, start: Starter = here) -> None:
        self.on_change = on_change
        self._start = start
        self._current: dict[str, Session] = {}
        self._restarts: dict[str, Restarts] = {}
        self._living: set[Session] = set()
        self._closed = False

    async def discover(self, owner: str, command: ServerCommand, timeout: float) -> Discovery:
        """What the server offers. Raises Transient, or Terminal (CommandNotFound, CommandFailed)."""
        last = self._current.get(owner)
        if last is not None and last.retired and last.found is not None and last.command == command:
            found = replace(last.found, idle=True)
        else:
            found = await self._session(owner, command).discover(timeout)
        ends = self._restarts.get(owner)
        return replace(found, restarts=ends.count, last_end=ends.last_words) if ends else found

    async def call(
        self,
        owner: str,
        command: ServerCommand,
        tool: str,
        arguments: bytes,
        timeout: float,
        idempotency_key: str,
    ) -> str:
        """The tool's result as text, cut to result.MAX_RESULT_BYTES. Raises ToolError, Transient, Terminal."""
        given = _object(arguments)
        return await self._session(owner, command).call(tool, given, idempotency_key, timeout)

    async def forget(self, owner: str) -> None:
        """Ends the server and everything that it started, if there is one."""
        self._current.pop(owner, None)
        self._restarts.pop(owner, None)
        tasks = {session.task for session in self._living if session.owner == owner}
        for session in list(self._living):
            if session.owner == owner:
                session.stop()
        if tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Ends every server, all at the same time."""
        self._closed = True
        sessions = list(self._living)
        for session in sessions:
            session.stop()
        await asyncio.gather(*(session.task for session in sessions), return_exceptions=True)

    def _changed(self, owner: str) -> None:
        if not self._closed:
            self.on_change(owner)

    def _session(self, owner: str, command: ServerCommand) -> Session:
        """The session for new calls, a new one if the last has ended or had another command."""
        if self._closed:
            raise Transient("the program is shutting down", reason="ShuttingDown")
        session = self._current.get(owner)
        if session is not None and session.usable and session.command == command:
            return session
        same = session is not None and session.command == command
        if session is not None and not (same and session.draining):
            session.stop()
        before = session.task if session is not None and not session.draining else None
        restarts = self._restarts.get(owner) if same else None
        restarts = self._restarts[owner] = restarts or Restarts(asyncio.get_running_loop().time)
        fresh = Session(
            owner,
            command,
            self._changed,
            plain=session.plain if session is not None and same else False,
            start=self._start,
            before=before,
            restarts=restarts,
        )
        self._current[owner] = fresh
        self._living.add(fresh)
        fresh.task.add_done_callback(lambda _: self._living.discard(fresh))
        return fresh


def _object(document: bytes) -> JsonObject:
    try:
        value: JsonValue = msgspec.json.decode(document or b"{}")
    except msgspec.DecodeError as error:
        raise ToolError(f"the arguments are not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ToolError("the arguments are not a JSON object")
    return value
