"""The part of MCP that needs the official SDK: its client over pipes of a process that we started.

`mcp_session` imports it in a thread when the first server is needed, since the SDK takes over a second to load.
The process is ours and not the SDK's, because the SDK's own would add USER, SHELL and others to the environment,
let stderr through to our terminal, and read a line of any length.
"""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from typing import cast

import anyio
import mcp_types as types
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import Client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from msgspec import Raw
from pydantic import ValidationError

from kubechain.agents.ports.tool import DiscoveredTool, Discovery, ToolError
from kubechain.errors import Transient
from kubechain.providers.tools.result import limited
from kubechain.resources.json import JsonObject
from kubechain.resources.tool import Effect

IDEMPOTENCY_KEY = "kubechain.humanlayer.dev/idempotency-key"
MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_GARBAGE_LINES = 1_000
MAX_PAGES = 100

CLOSED = "closed its output"

_READ_BYTES = 64 * 1024
_QUEUED_MESSAGES = 1_000

Incoming = SessionMessage | Exception
TransportStreams = tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]


class Broken(Transient):
    """The connection to the server is gone or useless."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="ServerBroken")


class Conversation:
    """One server, connected. Any number of calls may be under way."""

    def __init__(self, client: Client, ended: asyncio.Future[str]) -> None:
        self._client = client
        self._ended = ended

    async def discover(self) -> Discovery:
        """What the server says it is and offers. Raises Broken."""
        with _errors("tools/list", self._ended):
            tools = [_discovered(tool) async for tool in self._tools()]
        server = self._client.server_info
        return Discovery(
            server_name=server.name if server else "",
            server_version=server.version if server else "",
            protocol=self._client.protocol_version,
            tools=tools,
        )

    async def call(self, tool: str, arguments: JsonObject, key: str) -> str:
        """The tool's result as text. Raises ToolError, Broken."""
        meta = cast("types.RequestParamsMeta", {IDEMPOTENCY_KEY: key})
        with _errors(tool, self._ended):
            result = await self._client.call_tool(tool, dict(arguments), meta=meta)
        text = limited(text_of(result))
        if result.is_error:
            raise ToolError(text or f"tool {tool} failed and did not say why")
        return text

    async def _tools(self) -> AsyncIterator[types.Tool]:
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._client.list_tools(cursor=cursor, cache_mode="bypass")
            for tool in page.tools:
                yield tool
            cursor = page.next_cursor
            if cursor is None:
                return


@contextlib.asynccontextmanager
async def connected(
    process: Process, stray: Callable[[bytes], None], changed: Callable[[], None], ended: asyncio.Future[str]
) -> AsyncIterator[Conversation]:
    """A conversation with a started server.

    `stray` gets lines that are no message; `changed` is called when the server has other tools; `ended` says
    what the server did when nothing more can come from it.
    A server that does not know the newest protocol's first question and does not refuse it either costs 10 s here.
    """

    async def heard(message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            changed()

    async with Client(_streams(process, stray, ended), message_handler=heard, cache=None) as client:
        listening = asyncio.create_task(_listen(client, changed))
        try:
            yield Conversation(client, ended)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _listen(client: Client, changed: Callable[[], None]) -> None:
    """Newer servers tell of changed tools only to those who ask."""
    offered = client.server_capabilities.tools
    if offered is None or not offered.list_changed:
        return
    with contextlib.suppress(ListenNotSupportedError, SubscriptionLost, MCPError, TimeoutError):
        async with client.listen(tools_list_changed=True) as events:
            async for _ in events:
                changed()


@contextlib.asynccontextmanager
async def _streams(
    process: Process, stray: Callable[[bytes], None], ended: asyncio.Future[str]
) -> AsyncIterator[TransportStreams]:
    """The SDK's idea of a transport: a stream of messages each way."""
    arrived, incoming = anyio.create_memory_object_stream[Incoming](0)
    # Not of size 0: a server that reads nothing must not hold up those who only want to cancel.
    outgoing, leaving = anyio.create_memory_object_stream[SessionMessage](_QUEUED_MESSAGES)
    tasks = [
        asyncio.create_task(_receive(process, arrived, stray, ended)),
        asyncio.create_task(_send(process, leaving)),
    ]
    try:
        yield incoming, outgoing
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in (arrived, incoming, outgoing, leaving):
            stream.close()


async def _receive(
    process: Process,
    arrived: MemoryObjectSendStream[Incoming],
    stray: Callable[[bytes], None],
    ended: asyncio.Future[str],
) -> None:
    try:
        with arrived, contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            ended.set_result(await _deliver(process, arrived, stray))
    finally:
        ended.cancel()


async def _deliver(
    process: Process, arrived: MemoryObjectSendStream[Incoming], stray: Callable[[bytes], None]
) -> str:
    """Hands on what the server prints until there is no more or no sense in it; which of the two."""
    garbage = 0
    async with contextlib.aclosing(_lines(process)) as lines:
        async for line in lines:
            if line is None:
                return f"printed a line of over {MAX_LINE_BYTES >> 20} MiB"
            try:
                message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValueError:
                stray(line)
                garbage += 1
                if garbage > MAX_GARBAGE_LINES:
                    return f"printed more than {MAX_GARBAGE_LINES:,} lines that are no MCP messages"
                continue
            await arrived.send(SessionMessage(message))
    return CLOSED


async def _lines(process: Process) -> AsyncGenerator[bytes | None]:
    """Lines the server prints, split on LF and nothing else; None for one that is too long."""
    stream = process.stdout
    pieces: list[bytes] = []
    size = 0
    while stream is not None and (chunk := await stream.read(_READ_BYTES)):
        first, *others = chunk.split(b"\n")
        pieces.append(first)
        size += len(first)
        for following in others:
            if line := b"".join(pieces).strip():
                yield line
            pieces, size = [following], len(following)
        if size > MAX_LINE_BYTES:
            yield None


async def _send(process: Process, leaving: MemoryObjectReceiveStream[SessionMessage]) -> None:
    stream = process.stdin
    if stream is None:
        return
    with contextlib.suppress(ConnectionError, anyio.ClosedResourceError):
        async for item in leaving:
            stream.write(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await stream.drain()


@contextlib.contextmanager
def _errors(what: str, ended: asyncio.Future[str]) -> Iterator[None]:
    """The SDK's errors as ours: what the server answered is for the model, a lost connection is not."""
    try:
        yield
    except MCPError as error:
        if error.code in (types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT):
            raise Broken(error.message) from error
        raise ToolError(limited(error.message)) from error
    except (ValidationError, RuntimeError) as error:
        if ended.done():
            raise Broken("the connection is closed") from error
        raise ToolError(limited(f"the server's answer to {what} is not valid: {error}")) from error


def _discovered(tool: types.Tool) -> DiscoveredTool:
    return DiscoveredTool(
        name=tool.name,
        description=tool.description or tool.title or "",
        input_schema=Raw(msgspec.json.encode(tool.input_schema)),
        effect=effect_of(tool.annotations),
    )


def effect_of(hints: types.ToolAnnotations | None) -> Effect:
    """What a repeated call does, as far as the server says."""
    if hints is not None and hints.read_only_hint:
        return "ReadOnly"
    if hints is not None and hints.idempotent_hint:
        return "Idempotent"
    return "NonIdempotent"


def text_of(result: types.CallToolResult) -> str:
    """A result's texts joined by newlines, a short line for what is not text, else its structure as JSON."""
    parts = [_block_text(block) for block in result.content]
    if not parts and result.structured_content is not None:
        return msgspec.json.encode(result.structured_content).decode()
    return "\n".join(parts)


def _block_text(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.ImageContent() | types.AudioContent():
            return f"[{block.type} {block.mime_type}, {len(block.data) * 3 // 4:,} bytes]"
        case types.ResourceLink():
            return f"[resource {block.uri}: {block.name}]"
        case types.EmbeddedResource():
            return _resource_text(block.resource)


def _resource_text(resource: types.TextResourceContents | types.BlobResourceContents) -> str:
    if isinstance(resource, types.TextResourceContents):
        return resource.text
    return f"[resource {resource.uri} {resource.mime_type or ''}, {len(resource.blob) * 3 // 4:,} bytes]"


def first_cause(error: BaseException) -> BaseException:
    """The first error in a group, however deep."""
    errors: Sequence[BaseException] = (error,)
    while isinstance(errors[0], BaseExceptionGroup):
        errors = errors[0].exceptions
    return errors[0]
