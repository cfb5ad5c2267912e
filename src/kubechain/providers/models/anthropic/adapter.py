"""Anthropic's wire: requests as pydantic-ai writes them, sent over Connections, answers as reply.py reads them.

router.py calls it; it implements the port ModelProvider. The library comes with the extra `kubechain[anthropic]`
and is imported at the first call, off the event loop (it takes seconds). It never retries; address and key are the
endpoint's alone, never the environment's.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from importlib import invalidate_caches
from importlib.metadata import requires
from importlib.util import find_spec
from typing import Protocol

import msgspec
from msgspec import Raw

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.errors import ProviderError, Terminal
from kubechain.providers.models.anthropic.reply import UNREADABLE, Assembly, read
from kubechain.providers.models.breakage import cut, garbled
from kubechain.providers.models.connections import Connections, Response, whole
from kubechain.providers.models.endpoints import below, headers, key_source, root, subject
from kubechain.providers.models.listing import check_listing
from kubechain.providers.models.refusals import complaint, judged, refused, retry_after
from kubechain.providers.models.sse import EventStream
from kubechain.resources.message import Message
from kubechain.resources.model import Clock
from kubechain.runtime.clock import now

WHOLE, EVENT = 4, 3
"""How deep a tool's input stands in a message, and in an event of a stream."""
NOT_INSTALLED = "ProviderNotInstalled"
API_VERSION = "2023-06-01"


class Request(Protocol):
    """A request as the library writes it."""

    headers: dict[str, str]
    body: bytes


class Writer(Protocol):
    """What library.py offers, once it is imported."""

    async def write(
        self, endpoint: Endpoint, messages: Sequence[Message], tools: Sequence[ToolOffer]
    ) -> Request: ...

    async def close(self) -> None: ...


class AnthropicLibrary:
    """Asks over `connections`; `clock` only turns a Retry-After date into seconds."""

    def __init__(self, connections: Connections | None = None, clock: Clock = now) -> None:
        self.connections = connections or Connections()
        self.clock = clock
        self._writer: Writer | None = None
        self._importing = asyncio.Lock()

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        """One reply; see the port for what it raises."""
        _sent(endpoint)
        writer = await self._library(endpoint)
        written = await writer.write(endpoint, messages, tools)
        streams = bool(endpoint.llm.spec.parameters.stream)
        body = _asking_for_a_stream(written.body) if streams else written.body
        assembly = Assembly(sum(len(message.tool_calls) for message in messages))
        async with self.connections.request(
            endpoint, _url(endpoint, "messages"), written.headers, body
        ) as response:
            if response.status != 200:
                refusal = await whole(endpoint, response)
                raise refused(endpoint, response.status, response.headers, refusal, self.clock(), tools)
            if response.content_type == "text/event-stream" or (
                streams and response.content_type != "application/json"
            ):
                return await self._streamed(endpoint, response, assembly, tools, progress)
            return self._whole(endpoint, response, await whole(endpoint, response), assembly, tools)

    def _whole(
        self,
        endpoint: Endpoint,
        response: Response,
        body: bytes,
        assembly: Assembly,
        tools: Sequence[ToolOffer],
    ) -> Reply:
        try:
            message = read(body, WHOLE)
            if message.complains:
                raise self._error_inside(endpoint, response, body, tools)
            assembly.whole(message)
            found = assembly.reply()
        except UNREADABLE as error:
            raise garbled(endpoint, "a body that is no message", body) from error
        if message.content is None:
            raise garbled(endpoint, "a body that is no message", body)
        return found

    async def _streamed(
        self,
        endpoint: Endpoint,
        response: Response,
        assembly: Assembly,
        tools: Sequence[ToolOffer],
        progress: Progress | None,
    ) -> Reply:
        """Only an event with content restarts the timeout, because pings may never end."""
        events = EventStream()
        async for piece in response.pieces(lambda: bool(assembly.finish)):
            try:
                for data in events.feed(piece):
                    event = read(data, EVENT)
                    if event.complains:
                        raise self._error_inside(endpoint, response, data, tools)
                    text = assembly.add(event)
                    if assembly.said:
                        response.alive()
                    if text and progress is not None:
                        progress(text)
                    if assembly.ended:
                        found = _finished(endpoint, assembly)
                        await response.end()
                        return found
            except UNREADABLE as error:
                raise garbled(endpoint, "a stream that cannot be read", piece) from error
        return _finished(endpoint, assembly)

    def _error_inside(
        self, endpoint: Endpoint, response: Response, body: bytes, tools: Sequence[ToolOffer]
    ) -> ProviderError:
        said = complaint(body)
        return judged(endpoint, said.status, said, retry_after(response.headers, self.clock()), tools)

    async def _library(self, endpoint: Endpoint) -> Writer:
        async with self._importing:
            if self._writer is None:
                try:
                    self._writer = await asyncio.to_thread(_writer)
                except ImportError as error:
                    raise _not_installed(endpoint) from error
        return self._writer

    async def check(self, endpoint: Endpoint) -> str:
        """Lists the models, which is free and needs the key. Fails without the library."""
        if self._writer is None and not await asyncio.to_thread(_installed):
            raise _not_installed(endpoint)
        return await check_listing(
            self.connections, endpoint, _url(endpoint, "models"), _sent(endpoint), self.clock()
        )

    async def close(self) -> None:
        """Closes the connections."""
        if self._writer is not None:
            await self._writer.close()
        await self.connections.close()


def _url(endpoint: Endpoint, path: str) -> str:
    return below(root(endpoint).removesuffix("/").removesuffix("/v1"), f"v1/{path}")


def _asking_for_a_stream(body: bytes) -> bytes:
    asked = msgspec.json.decode(body, type=dict[str, Raw])
    return msgspec.json.encode({**asked, "stream": True})


def _finished(endpoint: Endpoint, assembly: Assembly) -> Reply:
    """`message_stop` or a stop reason marks a complete reply; without both, the stream was cut off."""
    if assembly.finish:
        return assembly.reply()
    if assembly.empty and not assembly.ended:
        raise garbled(endpoint, "a stream without a word")
    if not assembly.ended or assembly.breaks_off:
        raise cut(endpoint)
    return assembly.reply()


def _writer() -> Writer:
    from kubechain.providers.models.anthropic.library import Library

    return Library()


def _installed() -> bool:
    invalidate_caches()
    return all(find_spec(name) is not None for name in ("pydantic_ai", "anthropic"))


def _not_installed(endpoint: Endpoint) -> Terminal:
    """The requirement is named as well: it can be installed wherever kubechain itself came from."""
    needed = next((named for named in requires("kubechain") or () if "'anthropic'" in named.replace('"', "'")), "")
    wanted = needed.partition(";")[0].strip() or "pydantic-ai-slim[anthropic]"
    return Terminal(
        f"{subject(endpoint)}: provider anthropic needs a library that is not installed; install it: "
        f"{sys.executable} -m pip install '{wanted}' (what pip install 'kubechain[anthropic]' brings along)",
        reason=NOT_INSTALLED,
    )


def _sent(endpoint: Endpoint) -> dict[str, str]:
    """The headers of the check. Raises Terminal where there is no key that can be sent."""
    key = endpoint.api_key.strip()
    if not key:
        raise Terminal(
            f"{subject(endpoint)}: no API key; put one into {key_source(endpoint)}", reason="Unauthorized"
        )
    return headers(endpoint, {"x-api-key": key, "anthropic-version": API_VERSION})
