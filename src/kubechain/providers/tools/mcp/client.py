"""The part of MCP that needs the official SDK: agreeing on a protocol version, and the requests to a server.

`session` imports it in a thread when the first server is needed, since the SDK takes over a second to load. The
SDK's session agrees on the protocol and handles the differences between versions. Requests and answers go over our
own wire (wire.py), because the SDK validates whole lists and results: one tool or block that it does not know
would invalidate all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import mcp_types as types
from mcp import ClientSession
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost, listen
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from kubechain import __version__
from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Transient
from kubechain.providers.tools.mcp.results import result_of, tool_of
from kubechain.providers.tools.mcp.server import DiscoveredTool, Discovery, LeftOut
from kubechain.providers.tools.mcp.wire import Closed, Wire
from kubechain.providers.tools.result import limited
from kubechain.resources.json import JsonObject, JsonValue

IDEMPOTENCY_KEY = "kubechain.humanlayer.dev/idempotency-key"
MAX_PAGES = 1_000
MAX_TOOLS = 10_000
PROBE_SECONDS = 3.0
"""How long a server may think about the newest protocol's first question before it is asked as in older ones."""

_OURSELVES = types.Implementation(name="kubechain", version=__version__)


class Broken(Transient):
    """The connection to the server is closed or unusable."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="ServerBroken")


class Connection:
    """A connected server. It may have any number of calls in progress."""

    def __init__(self, session: ClientSession, wire: Wire) -> None:
        self._session = session
        self._wire = wire

    async def discover(self) -> Discovery:
        """What the server says it is and offers. Raises Broken, ToolError."""
        tools: dict[str, DiscoveredTool] = {}
        left_out: list[LeftOut] = []
        with _errors():
            async for item in self._listed():
                found = tool_of(item, tools.keys())
                if isinstance(found, LeftOut):
                    left_out.append(found)
                else:
                    tools[found.name] = found
        server = self._session.server_info
        return Discovery(
            server_name=server.name if server else "",
            server_version=server.version if server else "",
            protocol=self._session.protocol_version or "",
            tools=list(tools.values()),
            left_out=left_out,
        )

    async def call(self, tool: str, arguments: JsonObject, key: str) -> tuple[str, bool]:
        """The tool's result as text, and whether it says that it failed. Raises ToolError, Broken."""
        params: JsonObject = {"name": tool, "arguments": arguments}
        with _errors():
            return result_of(await self._ask("tools/call", params, {IDEMPOTENCY_KEY: key}))

    async def answers(self) -> None:
        """Returns when the server has answered something. Raises Broken."""
        modern = self._session.protocol_version in MODERN_PROTOCOL_VERSIONS
        with contextlib.suppress(ToolError), _errors():
            await self._ask("tools/list" if modern else "ping", {}, {})

    async def _listed(self) -> AsyncIterator[JsonValue]:
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
            if error.code == types.METHOD_NOT_FOUND and cursor is None:
                return {}  # it has no tools
            raise
        return page if isinstance(page, dict) else {"tools": page}

    async def _ask(self, method: str, params: JsonObject, meta: JsonObject) -> JsonValue:
        return await self._wire.request(method, {**params, **_meta(self._session, meta)}, {})


def _key(item: JsonValue) -> str:
    return str(item.get("name")) if isinstance(item, dict) else str(item)


def _meta(session: ClientSession, meta: JsonObject) -> JsonObject:
    """The metadata that newer servers require in each request."""
    version = session.protocol_version
    if version in MODERN_PROTOCOL_VERSIONS:
        meta = {
            **meta,
            types.PROTOCOL_VERSION_META_KEY: version,
            types.CLIENT_INFO_META_KEY: {"name": _OURSELVES.name, "version": _OURSELVES.version},
            types.CLIENT_CAPABILITIES_META_KEY: {},
        }
    return {"_meta": meta} if meta else {}


@contextlib.asynccontextmanager
async def connected(wire: Wire, *, plain: bool = False) -> AsyncIterator[Connection]:
    """A connection to a started server; `plain`: use an older protocol version at once.

    Raises MCPError if they do not agree on a version.
    """
    async with ClientSession(dispatcher=wire, client_info=_OURSELVES) as session:
        await (session.initialize() if plain else _agree(session))
        listening = asyncio.create_task(_listen(session))
        try:
            yield Connection(session, wire)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _agree(session: ClientSession) -> None:
    """Asks as the newest protocol does, then as older ones do where that is not understood or answered late."""
    probe = asyncio.create_task(_discovered(session))
    try:
        await asyncio.wait({probe}, timeout=PROBE_SECONDS)
        if probe.done() and probe.result():
            return
        try:
            await session.initialize()
        except MCPError:
            if not await probe:  # a slow start: it is a newer server, and has heard both questions by now
                raise
    finally:
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)


async def _discovered(session: ClientSession) -> bool:
    """Whether the server is a newer one; if so, the session knows it."""
    try:
        await session.discover()
    except (MCPError, ValidationError, RuntimeError):
        return False
    return True


async def _listen(session: ClientSession) -> None:
    """Subscribes to changes of tools, which newer servers report only to subscribers."""
    offered = session.server_capabilities.tools if session.server_capabilities else None
    if offered is None or not offered.list_changed:
        return
    with contextlib.suppress(ListenNotSupportedError, SubscriptionLost, MCPError, TimeoutError):
        async with listen(session, tools_list_changed=True) as events:
            async for _ in events:
                pass


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """The SDK's errors as ours: what the server answered is for the model, a lost connection is not."""
    try:
        yield
    except Closed as error:
        raise Broken(error.message) from error
    except MCPError as error:
        raise ToolError(limited(error.message)) from error


def failure(error: BaseException) -> str:
    """Why a server cannot be reached: the first error in a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"cannot be reached: {error}"
