"""JSON-RPC with one MCP server, whatever carries it. Implements the port `Dispatcher` of the SDK.

`wire` (pipes), `streamable` and `sse` are subclasses that carry messages. A wrong message affects at most the
request that it belongs to. An exchange never waits longer than its caller.
"""

from __future__ import annotations

import asyncio
import itertools
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from mcp.shared.dispatcher import CallOptions, Dispatcher, OnNotifyIntercept
from mcp.shared.exceptions import MCPError
from mcp.shared.transport_context import TransportContext
from mcp_types import CONNECTION_CLOSED, INVALID_PARAMS, METHOD_NOT_FOUND, REQUEST_TIMEOUT
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.mcp.messages import Answer, Fault, Message, Notice, Question, RequestId
from kubechain.providers.tools.mcp.progress import Told, heard
from kubechain.providers.tools.mcp.results import greeting
from kubechain.resources.json import JsonObject, JsonValue

CHANGED = "notifications/tools/list_changed"
PROGRESS = "notifications/progress"


class Closed(MCPError):
    """The connection is closed; a server's own error is never this one, whatever its code."""

    def __init__(self) -> None:
        super().__init__(CONNECTION_CLOSED, "has closed the connection")


class Unanswered(MCPError):
    """No MCP answer came; `why`: as our own error."""

    def __init__(self, why: Transient | Terminal) -> None:
        super().__init__(CONNECTION_CLOSED, str(why))
        self.why = why


@dataclass(slots=True)
class Going:
    """A request on its way. `sent`: whether the server may have got it."""

    number: RequestId
    method: str
    body: bytes
    headers: Mapping[str, str]
    answer: asyncio.Future[JsonValue | Fault] = field(repr=False)
    sent: bool = False


class Exchange(Dispatcher[TransportContext]):
    """Our open requests to a server. `ended`: why no more answers will come."""

    over_http = False
    """Whether requests have headers, which newer servers insist on."""

    def __init__(self, changed: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = loop.create_future()
        self.offered: JsonObject = {}
        """What an older server says in its greeting that it can do."""
        self.session = ""
        """The id that the server gave this session, if it did."""
        self.outlasting = False
        """Whether something at the server goes on after this session: a task."""
        self.heard = asyncio.Event()
        """Set whenever the server has answered."""
        self._changed = changed
        self._numbers = itertools.count(1)
        self._waiting: dict[RequestId, Going] = {}
        self._progress: dict[RequestId, Told] = {}
        self._gave_up = False
        """Whether an answer may still come that nobody waits for."""

    @abstractmethod
    async def carry(self, going: Going) -> None:
        """Hands the request to the server, and marks it as sent. May return before its answer is there."""

    @abstractmethod
    def abandon(self, going: Going) -> None:
        """Nobody waits for the answer to a request that was sent: tells the server."""

    @abstractmethod
    def write(self, message: bytes) -> None:
        """Hands over a message that has no answer, without waiting."""

    @property
    def end(self) -> str:
        """Why no more answers will come; "" if more may come, or the exchange was closed."""
        return self.ended.result() if self.ended.done() and not self.ended.cancelled() else ""

    async def request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions, told: Told | None = None
    ) -> JsonValue:
        """The result, whatever it is; `told` hears of progress. Raises MCPError: the server's own, or Closed."""
        if self.ended.done():
            raise Closed
        number = opts.get("request_id") or next(self._numbers)
        given = dict(params or {})
        if told is not None:
            given["_meta"] = {**given.get("_meta", {}), "progressToken": number}
            self._progress[number] = told
        try:
            found = await self._answer(number, method, given, opts)
        finally:
            self._progress.pop(number, None)
        if isinstance(found, Fault):
            raise MCPError(found.code, found.message, found.data)
        return found

    async def _answer(
        self, number: RequestId, method: str, params: JsonObject, opts: CallOptions
    ) -> JsonValue | Fault:
        try:
            body = line({"id": number, "method": method, "params": params})
        except (TypeError, ValueError, RecursionError) as error:
            raise MCPError(INVALID_PARAMS, f"the request has no JSON form: {error}") from error
        answer: asyncio.Future[JsonValue | Fault] = asyncio.get_running_loop().create_future()
        going = self._waiting[number] = Going(number, method, body, opts.get("headers") or {}, answer)
        try:
            async with asyncio.timeout(opts.get("timeout")):
                await self.carry(going)
                return await answer
        except TimeoutError as error:
            raise MCPError(REQUEST_TIMEOUT, f"request {method} timed out") from error
        finally:
            del self._waiting[number]
            given_up = going.sent and (not answer.done() or answer.cancelled())
            self._gave_up = self._gave_up or given_up
            if given_up and opts.get("cancel_on_abandon", True):
                self.abandon(going)

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        """As the session asks, to come to terms; the answer in the form that the session knows."""
        result = await self.request(method, params, opts or {})
        if method == "initialize":
            offered = result.get("capabilities") if isinstance(result, dict) else None
            self.offered = offered if isinstance(offered, dict) else {}
            return dict(greeting(result, HANDSHAKE_PROTOCOL_VERSIONS))
        return result if isinstance(result, dict) else {}

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        """Tells the server something."""
        self.tell(method, params)

    def tell(self, method: str, params: Mapping[str, Any] | None) -> None:
        """A message without an answer."""
        self.write(line({"method": method, **({"params": dict(params)} if params else {})}))

    def take(self, message: Message, told: OnNotifyIntercept | None) -> None:
        """A message of the server."""
        match message:
            case Answer(to, result):
                self._answered(to, result)
            case Question(to, method):
                self._decline(to, method)
            case Notice(method, params) if method == CHANGED:
                self._changed()
            case Notice(method, params) if method == PROGRESS:
                heard(self._progress, params)
            case Notice(method, params):
                if told is not None:
                    told(method, params)

    async def again(self) -> None:
        """Something that the server says unasked may have been missed. Returns when the server answers again."""
        self.heard.clear()
        self._changed()
        await self.heard.wait()

    def close(self) -> None:
        """Nobody will be answered any more."""
        self.ended.cancel()
        for going in self._waiting.values():
            if not going.answer.done():
                going.answer.set_exception(Closed())

    def _answered(self, to: RequestId | None, result: JsonValue | Fault) -> None:
        """An answer without a number is for the one request that it can be for, where there is only one."""
        if to is None and not self._gave_up:
            open_ = [n for n, going in self._waiting.items() if not going.answer.done() and isinstance(n, int)]
            to = open_[0] if len(open_) == 1 else None
        if isinstance(to, str) and to not in self._waiting and to.isdecimal():
            to = int(to)
        going = self._waiting.get(to) if to is not None else None
        if going is not None and not going.answer.done():
            going.answer.set_result(result)

    def _decline(self, to: RequestId, method: str) -> None:
        """Refuses requests of the server for files, models or people."""
        if method == "ping":
            self.write(line({"id": to, "result": {}}))
        else:
            error: JsonObject = {"code": METHOD_NOT_FOUND, "message": "KubeChain does not support this request"}
            self.write(line({"id": to, "error": error}))


def line(message: JsonObject) -> bytes:
    """A message as the wire has it, without its line end."""
    return msgspec.json.encode({"jsonrpc": "2.0", **message})
