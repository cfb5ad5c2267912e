"""A session with one MCP server over HTTP: the exchange with it, in one task.

`MCP` has one for each server. A session ends when the server has forgotten it, or cannot be reached while it
begins; the next use begins another. It never sends a call twice, and has no timer of its own to look whether the
server is back: it tells the Pace that something was lost, and the MCPServer controller looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from kubechain.agents.call.redaction import redacted
from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Terminal, Transient
from kubechain.logs import Logger
from kubechain.providers.tools.mcp.pace import Pace
from kubechain.providers.tools.mcp.server import CallAnswer, Discovery, ServerAddress, ToolRequest
from kubechain.providers.tools.mcp.session import Connection
from kubechain.providers.tools.mcp.showing import shown
from kubechain.providers.web.tokens import Tokens
from kubechain.providers.web.web import Web
from kubechain.resources.json import JsonObject
from kubechain.resources.toolcall import ExternalWork

BYE_SECONDS = 2.0
UNREACHABLE = "Unreachable"

Found = TypeVar("Found")
_log = Logger("kubechain.tools")


class Far:
    """What the sessions share: connections, tokens, and how often a server is looked at because it asks for it."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._web = Web()
        self._tokens = Tokens(self._web, asyncio.get_running_loop().time)
        self._paces: dict[str, Pace] = {}

    def begun(self, owner: str, target: ServerAddress) -> FarSession:
        """A session that begins."""
        pace = self._paces.get(owner)
        if pace is None:
            pace = self._paces[owner] = Pace(partial(self._changed, owner))
        return FarSession(owner, target, pace, self._web, self._tokens)

    def forget(self, owner: str) -> None:
        """The server is not needed any more."""
        if (pace := self._paces.pop(owner, None)) is not None:
            pace.stop()

    async def close(self) -> None:
        """Closes every connection."""
        for owner in list(self._paces):
            self.forget(owner)
        await self._tokens.close()
        await self._web.close()


class FarSession:
    """A server that is being connected to, is connected, or was. `task` ends with the session.

    If the deadline of a caller passes while the session begins, the beginning continues for up to a minute. Calls
    that were never sent fail with reason Unreachable.
    """

    draining = False

    def __init__(self, owner: str, target: ServerAddress, pace: Pace, web: Web, tokens: Tokens) -> None:
        self.owner = owner
        self.plain = False
        self.retired = False
        self.found: Discovery | None = None
        self.target = target
        self._web, self._tokens = web, tokens
        self._end: Transient | Terminal = Transient(
            f"the session with MCP server {owner} was ended", reason="Ended"
        )
        self._stopping = False
        self._lost = False
        self._pace = pace
        self._ready: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._live(), name=f"MCP server {owner}")
        self.task.add_done_callback(self._over)

    @property
    def usable(self) -> bool:
        """Whether it should get new calls."""
        return not (self._stopping or self._lost or self.task.done())

    def stop(self) -> None:
        """Ends the session; `task` is done when it has ended."""
        if not self._stopping:
            self._stopping = True
            self.task.cancel()

    async def discover(self, timeout: float) -> Discovery:
        """What the server offers. Raises Transient, Terminal."""
        try:
            found = await self._ask("tools/list", lambda talk: talk.discover(), timeout)
        except ToolError as error:
            raise self._error(Transient(f"it does not list its tools: {error}", reason="ListFailed")) from error
        self._pace.listed(found)
        return found

    async def call(self, request: ToolRequest, arguments: JsonObject, timeout: float) -> CallAnswer:
        """What the call came to. Raises ToolError, Transient, Terminal."""

        def question(talk: Connection) -> Awaitable[CallAnswer]:
            return talk.call(request.tool, arguments, request.key, request.told)

        secret = self.target.secret
        return shown(await self._ask(request.tool, question, timeout), request.tool, secret, secret)

    async def look(self, work: ExternalWork, timeout: float) -> CallAnswer:
        """How a task stands. Raises ToolError, Transient, Terminal."""
        answer = await self._ask("tasks/get", lambda talk: talk.look(work), timeout)
        return shown(answer, f"task {work.id}", self.target.secret, self.target.secret)

    async def cancel(self, work: ExternalWork, timeout: float) -> None:
        """Cancels a task. Raises Transient, Terminal."""
        await self._ask("tasks/cancel", lambda talk: talk.cancel(work), timeout)

    async def _ask(self, what: str, question: Callable[[Connection], Awaitable[Found]], timeout: float) -> Found:
        """An answer from the server. Raises ToolError, Transient, Terminal, with no value of a Secret."""
        try:
            async with asyncio.timeout(timeout):
                connection = await asyncio.shield(self._ready)
                return await question(connection)
        except TimeoutError as error:
            text = f"MCP server {self.owner} did not answer {what} within {timeout:g} s"
            raise Transient(text, reason="Timeout" if self._ready.done() else UNREACHABLE) from error
        except ToolError as error:
            raise ToolError(redacted(str(error), self.target.secret)) from error
        except (Transient, Terminal) as error:
            if error is self._end:
                raise
            self._lost = self._lost or error.reason in ("SessionLost", "ServerBroken")
            if error.reason == UNREACHABLE:
                self._pace.changed()
            raise self._error(error) from error

    async def _live(self) -> None:
        # Over a second the first time: in a thread, so that nobody else waits for it.
        await asyncio.to_thread(importlib.import_module, "kubechain.providers.tools.mcp.client")
        self._end = self._error(await self._converse())
        if self._ready.done():
            self._pace.changed()

    async def _converse(self) -> Transient | Terminal:
        """Runs the session until it ends. Returns how it ended."""
        from kubechain.providers.tools.mcp.client import connected, failure
        from kubechain.providers.tools.mcp.door import Door
        from kubechain.providers.tools.mcp.sse import EventStream
        from kubechain.providers.tools.mcp.streamable import Streamable

        far, older = self.target, self.target.transport == "sse"
        try:
            door = Door(self._web, self._tokens, far)
            exchange = (EventStream if older else Streamable)(door, self._pace.changed)
            async with asyncio.timeout(far.start_seconds) as deadline:
                async with connected(exchange, plain=older) as connection:
                    deadline.reschedule(None)
                    self._ready.set_result(connection)
                    try:
                        why = await exchange.ended
                    finally:
                        self._lost = True
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(exchange.bye(), BYE_SECONDS)
                    return Transient(why, reason="Ended")
        except TimeoutError:
            return Transient(
                f"it did not finish its handshake within {far.start_seconds:g} s; see spec.startTimeout",
                reason=UNREACHABLE,
            )
        except Exception as error:  # the SDK's errors come in groups of groups; any of them ends this session only
            return failure(error)

    def _error(self, error: Transient | Terminal) -> Transient | Terminal:
        """The error with the name of the server. What was not begun was not sent."""
        text = redacted(f"MCP server {self.owner}: {error}", self.target.secret)
        if isinstance(error, Terminal):
            return Terminal(text, reason=error.reason)
        reason = error.reason if self._ready.done() else UNREACHABLE
        return Transient(text, reason=reason, retry_after=error.retry_after)

    def _over(self, task: asyncio.Task[None]) -> None:
        """Tells those who wait for the beginning; also runs when the task was cancelled before it began."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("an MCP session failed", server=self.owner, exc_info=error)
            self._end = Transient(
                f"MCP server {self.owner} failed inside: {type(error).__name__}", reason="SessionFailed"
            )
        if not self._ready.done():
            self._ready.set_exception(self._end)
            self._ready.exception()
