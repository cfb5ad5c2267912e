"""What is asked of a connected MCP server: its tools, calls, and how tasks stand.

`client.connected` makes a Connection; sessions call it. It knows nothing of processes or addresses.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import mcp_types as types
from mcp.shared.exceptions import MCPError
from msgspec.structs import replace

from kubechain import __version__
from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Transient
from kubechain.providers.tools.mcp.exchange import Closed, Exchange, Unanswered
from kubechain.providers.tools.mcp.headers import Mirrored, headers_of, mirrored_of
from kubechain.providers.tools.mcp.progress import Told
from kubechain.providers.tools.mcp.refusals import SessionLost
from kubechain.providers.tools.mcp.results import answer_of, asked, tool_of
from kubechain.providers.tools.mcp.server import (
    CallAnswer,
    DiscoveredTool,
    Discovery,
    LeftOut,
    RemoteTask,
)
from kubechain.providers.tools.mcp.tasks import EXTENSION, supports_tasks, view_of
from kubechain.providers.tools.result import limited
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.toolcall import ExternalWork

IDEMPOTENCY_KEY = "kubechain.humanlayer.dev/idempotency-key"
MAX_PAGES = 1_000
MAX_TOOLS = 10_000
SESSION = "mcp-session-id"

_OURSELVES: JsonObject = {"name": "kubechain", "version": __version__}
_CAPABILITIES: JsonObject = {"extensions": {EXTENSION: {}}, "elicitation": {"form": {}, "url": {}}}
"""Said in each request to newer servers, so that they make tasks and say what they want to know from a person."""


class Broken(Transient):
    """The connection to the server is closed or unusable."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="ServerBroken")


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both sides know of each other. `modern`: each request says everything that the server has to know.

    `tasks`: whether an older server takes calls as tasks.
    """

    server_name: str
    server_version: str
    version: str
    modern: bool
    tasks: bool


class Connection:
    """A connected server. It may have any number of calls in progress."""

    def __init__(self, agreed: Agreed, exchange: Exchange) -> None:
        self._agreed = agreed
        self._exchange = exchange
        self._listed = False
        self._mirrored: dict[str, Mirrored] = {}
        """Arguments that are repeated in headers, by tool."""
        self._as_tasks: set[str] = set()
        """Tools of an older server that are called as tasks."""

    async def discover(self) -> Discovery:
        """What the server says it is and offers. Raises Broken, ToolError."""
        tools: dict[str, DiscoveredTool] = {}
        left_out: list[LeftOut] = []
        with _errors():
            async for item in self._pages():
                found = self._noted(item, tool_of(item, tools.keys()))
                if isinstance(found, LeftOut):
                    left_out.append(found)
                else:
                    tools[found.name] = found
        self._listed = True
        return Discovery(
            server_name=self._agreed.server_name,
            server_version=self._agreed.server_version,
            protocol=self._agreed.version,
            tools=list(tools.values()),
            left_out=left_out,
        )

    async def call(self, tool: str, arguments: JsonObject, key: str, told: Told) -> CallAnswer:
        """The tool's answer, or the task that it became. Raises ToolError, Broken, Transient, Terminal."""
        if not self._listed and (self._agreed.tasks or (self._agreed.modern and self._exchange.over_http)):
            await self.discover()  # how a tool wants to be called stands in the list
        params: JsonObject = {"name": tool, "arguments": arguments}
        if tool in self._as_tasks:
            params["task"] = {}
        with _errors():
            answer = answer_of(await self._ask("tools/call", params, {IDEMPOTENCY_KEY: key}, told))
        return self._kept(answer)

    async def look(self, work: ExternalWork) -> CallAnswer:
        """How a task stands: what its call came to, or the task. Raises as `call`."""
        view = view_of(await self._state(work), work.id)
        with _errors():
            match view.state:
                case "working":
                    self._exchange.outlasting = True
                    return replace(view.task, session=work.state)
                case "input_required":
                    return asked(view.asks, work.id, work.state)
                case "cancelled":
                    raise ToolError("the task was cancelled at the server")
                case "completed" | "failed" if not self._agreed.modern:
                    return answer_of(await self._task("tasks/result", work))
                case "completed":
                    return answer_of(view.result)
                case "failed":
                    raise ToolError(limited(view.failure))

    async def _state(self, work: ExternalWork) -> JsonValue:
        """What the server says of a task. Raises Transient (TaskLost) where it does not know it any more."""
        try:
            with _errors():
                return await self._task("tasks/get", work)
        except ToolError as error:
            text = f"the server does not know task {work.id} any more: {error}"
            raise Transient(text, reason="TaskLost") from error
        except SessionLost as error:
            if work.state == self._exchange.session:
                raise
            raise Transient(f"the session of task {work.id} has ended at the server", reason="TaskLost") from error

    async def cancel(self, work: ExternalWork) -> None:
        """Cancels a task. Raises Transient; a server that knows it no more has nothing to cancel."""
        with contextlib.suppress(ToolError), _errors():
            await self._task("tasks/cancel", work)

    async def answers(self) -> None:
        """Returns when the server has answered something. Raises Broken."""
        with contextlib.suppress(ToolError), _errors():
            await self._ask("tools/list" if self._agreed.modern else "ping", {}, {})

    def _kept(self, answer: CallAnswer) -> CallAnswer:
        """A task with the session that it belongs to."""
        if isinstance(answer, RemoteTask):
            self._exchange.outlasting = True
            return replace(answer, session=self._exchange.session)
        return answer

    def _noted(self, item: JsonValue, found: DiscoveredTool | LeftOut) -> DiscoveredTool | LeftOut:
        """Keeps how the tool wants to be called."""
        if isinstance(found, LeftOut):
            return found
        if self._agreed.tasks and supports_tasks(item):
            self._as_tasks.add(found.name)
        if self._agreed.modern and self._exchange.over_http and b"x-mcp-header" in bytes(found.input_schema):
            mirrored = mirrored_of(item)
            if isinstance(mirrored, str):
                return LeftOut(found.name, mirrored)
            self._mirrored[found.name] = mirrored
        return found

    async def _pages(self) -> AsyncIterator[JsonValue]:
        """Page after page; a cursor seen before ends the list, and so does a page that brings nothing new."""
        cursor: str | None = None
        seen: set[str | None] = set()
        known: set[str] = set()
        while cursor not in seen and len(seen) < MAX_PAGES and len(known) < MAX_TOOLS:
            seen.add(cursor)
            page = await self._page(cursor)
            items = page.get("tools")
            fresh = [i for i in items if _key(i) not in known or cursor is None] if isinstance(items, list) else []
            for item in fresh:
                known.add(_key(item))
                yield item
            following = page.get("nextCursor")
            if not fresh or not isinstance(following, str):
                return
            cursor = following

    async def _page(self, cursor: str | None) -> JsonObject:
        params: JsonObject = {} if cursor is None else {"cursor": cursor}
        try:
            page = await self._ask("tools/list", params, {})
        except MCPError as error:
            if error.code == types.METHOD_NOT_FOUND and cursor is None and not isinstance(error, Unanswered):
                return {}  # it has no tools
            raise
        return page if isinstance(page, dict) else {"tools": page}

    async def _task(self, method: str, work: ExternalWork) -> JsonValue:
        """A request about a task, in the session that it belongs to."""
        return await self._ask(method, {"taskId": work.id}, {}, session=work.state)

    async def _ask(
        self, method: str, params: JsonObject, meta: JsonObject, told: Told | None = None, *, session: str = ""
    ) -> JsonValue:
        headers: dict[str, str] = {}
        if self._exchange.over_http:
            mirrored = self._mirrored.get(str(params.get("name")), {})
            headers = headers_of(self._agreed.version, method, params, mirrored)
        if session:
            headers[SESSION] = session
        given = {**params, **self._meta(meta)}
        return await self._exchange.request(method, given, {"headers": headers}, told)

    def _meta(self, meta: JsonObject) -> JsonObject:
        """The metadata that newer servers require in each request."""
        if self._agreed.modern:
            meta = {
                **meta,
                types.PROTOCOL_VERSION_META_KEY: self._agreed.version,
                types.CLIENT_INFO_META_KEY: _OURSELVES,
                types.CLIENT_CAPABILITIES_META_KEY: _CAPABILITIES,
            }
        return {"_meta": meta} if meta else {}


def _key(item: JsonValue) -> str:
    return str(item.get("name")) if isinstance(item, dict) else str(item)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """The SDK's errors as ours: what the server answered is for the model, a lost connection is not."""
    try:
        yield
    except Closed as error:
        raise Broken(error.message) from error
    except Unanswered as error:
        raise error.why from error
    except MCPError as error:
        raise ToolError(limited(error.message)) from error
