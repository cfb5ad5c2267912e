"""`MCP`: tools of MCP servers, one live session per server.

The MCPServer and ToolCall controllers call it through the port MCPSessions. It never retries, never waits for one
server on behalf of another, and holds no lock: a session is a task, and whoever needs it waits for it under their
own deadline. The SDK is loaded when the first server is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from kubechain.agents.ports.tool import Discovery, MCPSessions, ServerCommand, ToolError
from kubechain.errors import Transient
from kubechain.providers.tools.mcp.session import Session
from kubechain.resources.json import JsonObject, JsonValue


def _nobody(_: str) -> None:
    """Nobody asked to be told."""


class MCP(MCPSessions):
    """Sessions by owner. `on_change(owner)` is called when a server says that its tools have changed."""

    def __init__(self, on_change: Callable[[str], None] = _nobody) -> None:
        self.on_change = on_change
        self._current: dict[str, Session] = {}
        self._living: set[Session] = set()
        self._closed = False

    async def discover(self, owner: str, command: ServerCommand, timeout: float) -> Discovery:
        """What the server offers. Raises Transient, ToolError, or Terminal (CommandNotFound, CommandFailed)."""
        session = self._session(owner, command)
        return await session.ask("tools/list", lambda conversation: conversation.discover(), timeout)

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
        session = self._session(owner, command)
        return await session.ask(tool, lambda talk: talk.call(tool, given, idempotency_key), timeout)

    async def forget(self, owner: str) -> None:
        """Ends the server and all it started; harmless when there is none."""
        session = self._current.pop(owner, None)
        if session is not None:
            session.stop()
            await asyncio.wait({session.task})

    async def close(self) -> None:
        """Ends every server, all at the same time."""
        self._closed = True
        sessions = list(self._living)
        for session in sessions:
            session.stop()
        await asyncio.gather(*(session.task for session in sessions), return_exceptions=True)

    def _session(self, owner: str, command: ServerCommand) -> Session:
        """The session for new calls, another one where the last has ended or was started otherwise."""
        if self._closed:
            raise Transient("the program is shutting down", reason="ShuttingDown")
        session = self._current.get(owner)
        if session is not None and session.usable and session.command == command:
            return session
        if session is not None:
            session.stop()
        fresh = Session(owner, command, lambda changed: self.on_change(changed))
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
