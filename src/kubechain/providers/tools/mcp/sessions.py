"""`MCP`: tools of MCP servers, one live session per server, whatever its transport.

`runner` calls it through MCPSessions. It holds no lock, and no server delays another: a session is a task, and
each caller waits for it with its own deadline. It never retries what a server may have heard. The SDK is loaded
when the first server is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Transient
from kubechain.providers.tools.mcp.restarts import Restarts
from kubechain.providers.tools.mcp.server import (
    CallAnswer,
    Discovery,
    MCPSessions,
    ServerAddress,
    ServerCommand,
    Target,
    ToolRequest,
)
from kubechain.providers.tools.mcp.session import Session
from kubechain.providers.tools.starting import Starter, here
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.toolcall import ExternalWork

Found = TypeVar("Found")


class AnySession(Protocol):
    """What a session offers, whatever its transport."""

    owner: str
    plain: bool
    task: asyncio.Task[None]
    retired: bool
    found: Discovery | None

    @property
    def target(self) -> Target: ...

    @property
    def usable(self) -> bool: ...

    @property
    def draining(self) -> bool: ...

    def stop(self) -> None: ...

    async def discover(self, timeout: float) -> Discovery: ...

    async def call(self, request: ToolRequest, arguments: JsonObject, timeout: float) -> CallAnswer: ...

    async def look(self, work: ExternalWork, timeout: float) -> CallAnswer: ...

    async def cancel(self, work: ExternalWork, timeout: float) -> None: ...


class FarServers(Protocol):
    """far.Far without the HTTP library that comes with it."""

    def begun(self, owner: str, target: ServerAddress) -> AnySession: ...

    def forget(self, owner: str) -> None: ...

    async def close(self) -> None: ...


def _nobody(_: str) -> None:
    """Ignores changes of tools."""


class MCP(MCPSessions):
    """Sessions by owner. `on_change(owner)` is called when a server says that its tools have changed."""

    def __init__(self, on_change: Callable[[str], None] = _nobody, start: Starter = here) -> None:
        self.on_change = on_change
        self._start = start
        self._far: FarServers | None = None
        self._current: dict[str, AnySession] = {}
        self._restarts: dict[str, Restarts] = {}
        self._living: set[AnySession] = set()
        self._closed = False

    async def discover(self, owner: str, target: Target, timeout: float) -> Discovery:
        """What the server offers. Raises Transient, or Terminal (CommandNotFound, CommandFailed, Unauthorized)."""
        last = self._current.get(owner)
        if last is not None and last.retired and last.found is not None and last.target == target:
            found = replace(last.found, idle=True)
        else:
            found = await self._with(owner, target, lambda session: session.discover(timeout))
        ends = self._restarts.get(owner)
        return replace(found, restarts=ends.count, last_end=ends.last_words) if ends else found

    async def call(self, owner: str, target: Target, request: ToolRequest, timeout: float) -> CallAnswer:
        """What the call came to, text cut to result.MAX_RESULT_BYTES. Raises ToolError, Transient, Terminal."""
        given = _object(request.arguments)
        return await self._with(owner, target, lambda session: session.call(request, given, timeout))

    async def look(self, owner: str, target: Target, work: ExternalWork, timeout: float) -> CallAnswer:
        """How a task stands. Raises ToolError, Transient, Terminal."""
        return await self._with(owner, target, lambda session: session.look(work, timeout))

    async def cancel(self, owner: str, target: Target, work: ExternalWork, timeout: float) -> None:
        """Cancels a task. Raises Transient, Terminal."""
        await self._with(owner, target, lambda session: session.cancel(work, timeout))

    async def forget(self, owner: str) -> None:
        """Ends the session, and a server's process with everything that it started."""
        self._current.pop(owner, None)
        self._restarts.pop(owner, None)
        tasks = {session.task for session in self._living if session.owner == owner}
        for session in list(self._living):
            if session.owner == owner:
                session.stop()
        if tasks:
            await asyncio.wait(tasks)
        if self._far is not None:
            self._far.forget(owner)

    async def close(self) -> None:
        """Ends every session, all at the same time."""
        self._closed = True
        sessions = list(self._living)
        for session in sessions:
            session.stop()
        await asyncio.gather(*(session.task for session in sessions), return_exceptions=True)
        if self._far is not None:
            await self._far.close()

    async def _with(self, owner: str, target: Target, use: Callable[[AnySession], Awaitable[Found]]) -> Found:
        """Uses the session, or a new one if the server has forgotten it and has not looked at the request."""
        try:
            return await use(self._session(owner, target))
        except Transient as error:
            if error.reason != "SessionLost":
                raise
        return await use(self._session(owner, target))

    def _changed(self, owner: str) -> None:
        if not self._closed:
            self.on_change(owner)

    def _session(self, owner: str, target: Target) -> AnySession:
        """The session for new calls, a new one if the last has ended or had another target."""
        if self._closed:
            raise Transient("the program is shutting down", reason="ShuttingDown")
        session = self._current.get(owner)
        if session is not None and session.usable and session.target == target:
            return session
        same = session is not None and session.target == target
        if session is not None and not (same and session.draining):
            session.stop()
        fresh = self._begun(owner, target, session)
        self._current[owner] = fresh
        self._living.add(fresh)
        fresh.task.add_done_callback(lambda _: self._living.discard(fresh))
        return fresh

    def _begun(self, owner: str, target: Target, last: AnySession | None) -> AnySession:
        match target:
            case ServerCommand():
                return self._started(owner, target, last)
            case ServerAddress():
                return self._elsewhere().begun(owner, target)

    def _started(self, owner: str, command: ServerCommand, last: AnySession | None) -> Session:
        same = last is not None and last.target == command
        restarts = self._restarts.get(owner) if same else None
        restarts = self._restarts[owner] = restarts or Restarts(asyncio.get_running_loop().time)
        return Session(
            owner,
            command,
            self._changed,
            plain=last.plain if last is not None and same else False,
            start=self._start,
            before=last.task if last is not None and not last.draining else None,
            restarts=restarts,
        )

    def _elsewhere(self) -> FarServers:
        """What sessions over HTTP share, from the first one on."""
        if self._far is None:
            from kubechain.providers.tools.mcp.far import Far

            self._far = Far(self._changed)
        return self._far


def _object(document: bytes) -> JsonObject:
    try:
        value: JsonValue = msgspec.json.decode(document or b"{}")
    except msgspec.DecodeError as error:
        raise ToolError(f"the arguments are not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ToolError("the arguments are not a JSON object")
    return value
