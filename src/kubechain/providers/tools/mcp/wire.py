"""JSON-RPC over the pipes of one MCP server. Implements the port `Dispatcher` of the SDK.

`connected` creates one for each process. A wrong message affects at most the request that it belongs to. Only a
closed pipe, an endless line or a flood of other output ends the wire. It never waits longer than its caller.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import anyio.abc
import msgspec
from anyio import TASK_STATUS_IGNORED
from mcp.shared.dispatcher import CallOptions, Dispatcher, OnNotify, OnNotifyIntercept, OnRequest
from mcp.shared.exceptions import MCPError
from mcp.shared.transport_context import TransportContext
from mcp_types import CONNECTION_CLOSED, INVALID_PARAMS, METHOD_NOT_FOUND, REQUEST_TIMEOUT
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from kubechain.providers.tools.mcp.messages import Answer, Fault, Lines, Notice, Question, RequestId, messages
from kubechain.providers.tools.mcp.results import greeting
from kubechain.providers.tools.starting import ToolProcess
from kubechain.resources.json import JsonObject, JsonValue

MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_GREETING_LINES = 1_000
MAX_NOISE_LINES = 20_000
NOISE_SECONDS = 10.0

CLOSED = "closed its output"
CHANGED = "notifications/tools/list_changed"

_READ_BYTES = 64 * 1024


class Closed(MCPError):
    """The pipe is closed; a server's own error is never this one, whatever its code."""

    def __init__(self) -> None:
        super().__init__(CONNECTION_CLOSED, "has closed the connection")


class Noise:
    """How much of what a server writes is no message: a bound on a flood, not on a lifetime."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun = clock()
        self._lines = 0
        self.talks = False
        """Whether it has ever written a message."""

    def excess(self) -> str:
        """Counts one more line; says what is too much."""
        if self.talks and self._clock() - self._begun > NOISE_SECONDS:
            self._begun, self._lines = self._clock(), 0
        self._lines += 1
        if not self.talks and self._lines > MAX_GREETING_LINES:
            return f"printed more than {MAX_GREETING_LINES:,} lines that are no MCP messages"
        if self._lines > MAX_NOISE_LINES:
            return f"printed more than {MAX_NOISE_LINES:,} lines that are no MCP messages in {NOISE_SECONDS:g} s"
        return ""


class Wire(Dispatcher[TransportContext]):
    """Our open requests to a server. `ended`: why no more answers will come."""

    def __init__(self, process: ToolProcess, stray: Callable[[bytes], None], changed: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._process = process
        self._stray = stray
        self._changed = changed
        self._numbers = itertools.count(1)
        self._waiting: dict[RequestId, asyncio.Future[JsonValue | Fault]] = {}
        self._noise = Noise(loop.time)
        self._gave_up = False
        """Whether an answer may still come that nobody waits for."""

    @property
    def end(self) -> str:
        """Why no more answers will come; "" if more may come, or the wire was closed."""
        return self.ended.result() if self.ended.done() and not self.ended.cancelled() else ""

    async def request(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions) -> JsonValue:
        """The result, whatever it is. Raises MCPError: the server's own, or Closed."""
        if self.ended.done():
            raise Closed
        number = opts.get("request_id") or next(self._numbers)
        try:
            request = _line({"id": number, "method": method, "params": dict(params or {})})
        except (TypeError, ValueError, RecursionError) as error:
            raise MCPError(INVALID_PARAMS, f"the request has no JSON form: {error}") from error
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        sent = False
        try:
            async with asyncio.timeout(opts.get("timeout")):
                await self._process.drained()
                sent = True
                self._write(request)
                found: JsonValue | Fault = await answer
        except TimeoutError as error:
            raise MCPError(REQUEST_TIMEOUT, f"request {method} timed out") from error
        finally:
            del self._waiting[number]
            given_up = sent and (not answer.done() or answer.cancelled())
            self._gave_up = self._gave_up or given_up
            if given_up and opts.get("cancel_on_abandon", True):
                self._tell("notifications/cancelled", {"requestId": number, "reason": "nobody waits any more"})
        if isinstance(found, Fault):
            raise MCPError(found.code, found.message, found.data)
        return found

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        """As the session asks, to come to terms; the answer in the form that the session knows."""
        result = await self.request(method, params, opts or {})
        if method == "initialize":
            return dict(greeting(result, HANDSHAKE_PROTOCOL_VERSIONS))
        return result if isinstance(result, dict) else {}

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        """Tells the server something."""
        self._tell(method, params)

    async def run(
        self,
        on_request: OnRequest,
        on_notify: OnNotify,
        on_notify_intercept: OnNotifyIntercept | None = None,
        *,
        task_status: anyio.abc.TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """Reads from the server until it closes its output."""
        task_status.started()
        try:
            self.ended.set_result(await self._hear(on_notify_intercept))
        finally:
            self.ended.cancel()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Closed())

    async def _hear(self, told: OnNotifyIntercept | None) -> str:
        lines = Lines(MAX_LINE_BYTES)
        while chunk := await self._process.stdout.read(_READ_BYTES):
            try:
                for line in lines.feed(chunk):
                    if excess := self._take(line, told):
                        return excess
            except OverflowError:
                return f"printed a line of over {MAX_LINE_BYTES >> 20} MiB"
        return CLOSED

    def _take(self, line: bytes, told: OnNotifyIntercept | None) -> str:
        """One line; what is too much, if it is."""
        found = messages(line)
        if not found:
            self._stray(line)
            return self._noise.excess()
        self._noise.talks = True
        for message in found:
            match message:
                case Answer(to, result):
                    self._answered(to, result)
                case Question(to, method):
                    self._decline(to, method)
                case Notice(method, params):
                    if method == CHANGED:
                        self._changed()
                    elif told is not None:
                        told(method, params)
        return ""

    def _answered(self, to: RequestId | None, result: JsonValue | Fault) -> None:
        """An answer without a number is for the one request that it can be for, where there is only one."""
        if to is None and not self._gave_up:
            open_ = [n for n, answer in self._waiting.items() if not answer.done() and isinstance(n, int)]
            to = open_[0] if len(open_) == 1 else None
        if isinstance(to, str) and to not in self._waiting and to.isdecimal():
            to = int(to)
        answer = self._waiting.get(to) if to is not None else None
        if answer is not None and not answer.done():
            answer.set_result(result)

    def _decline(self, to: RequestId, method: str) -> None:
        """Refuses requests of the server for files, models or people."""
        if method == "ping":
            self._write(_line({"id": to, "result": {}}))
        else:
            error: JsonObject = {"code": METHOD_NOT_FOUND, "message": "KubeChain does not support this request"}
            self._write(_line({"id": to, "error": error}))

    def _tell(self, method: str, params: Mapping[str, Any] | None) -> None:
        self._write(_line({"method": method, **({"params": dict(params)} if params else {})}))

    def _write(self, line: bytes) -> None:
        if not self.ended.done():
            self._process.write(line)


def _line(message: JsonObject) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", **message}) + b"\n"
