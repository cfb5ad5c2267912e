"""The part of MCP that needs the official SDK: agreeing on a protocol version with a server.

`session` and `far` import it in a thread when the first server is needed, since the SDK takes over a second to
load. The SDK's session agrees on the protocol and handles the differences between versions. Requests and answers
go over our own exchanges (exchange.py), because the SDK validates whole lists and results: one tool or block that
it does not know would invalidate all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import mcp_types as types
from mcp import ClientSession
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost, listen
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from kubechain import __version__
from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.mcp.conversation import Agreed, Connection
from kubechain.providers.tools.mcp.exchange import Exchange, Unanswered
from kubechain.providers.tools.mcp.tasks import EXTENSION, takes_tasks

PROBE_SECONDS = 3.0
"""How long a server may think about the newest protocol's first question before it is asked as in older ones."""

_OURSELVES = types.Implementation(name="kubechain", version=__version__)


@contextlib.asynccontextmanager
async def connected(exchange: Exchange, *, plain: bool = False) -> AsyncIterator[Connection]:
    """A connection to a server; `plain`: use an older protocol version at once.

    Raises MCPError if they do not agree on a version.
    """
    extensions: dict[str, dict[str, object]] = {EXTENSION: {}}
    async with ClientSession(dispatcher=exchange, client_info=_OURSELVES, extensions=extensions) as session:
        await (session.initialize() if plain else _agree(session))
        listening = asyncio.create_task(_listen(session, exchange))
        try:
            yield Connection(_agreed(session, exchange), exchange)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


def _agreed(session: ClientSession, exchange: Exchange) -> Agreed:
    """What a connection has to know of what both have agreed on."""
    server, version = session.server_info, session.protocol_version or ""
    modern = version in MODERN_PROTOCOL_VERSIONS
    return Agreed(
        server_name=server.name if server else "",
        server_version=server.version if server else "",
        version=version,
        modern=modern,
        tasks=not modern and takes_tasks(exchange.offered),
    )


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


async def _listen(session: ClientSession, exchange: Exchange) -> None:
    """Subscribes to changes of tools, which newer servers report to subscribers. Over HTTP again when lost."""
    offered = session.server_capabilities.tools if session.server_capabilities else None
    if offered is None or not offered.list_changed:
        return
    while True:
        try:
            async with listen(session, tools_list_changed=True) as events:
                async for _ in events:
                    pass
        except ListenNotSupportedError:
            return
        except (SubscriptionLost, MCPError, TimeoutError):
            pass
        if not exchange.over_http:
            return
        await exchange.again()


def failure(error: BaseException) -> Transient | Terminal:
    """Why a server cannot be reached: the first error in a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Unanswered):
        return error.why
    return Transient(f"cannot be reached: {error}")
