"""Anthropic's wire, through the `direct` API of pydantic-ai.

router.py calls it; it implements the port ModelProvider. The library comes with the extra `kubechain[anthropic]`
and is imported at the first call, off the event loop (it takes seconds). It never retries; address and key are the
endpoint's alone, never the environment's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.errors import Terminal
from kubechain.providers.models.connections import Connections
from kubechain.providers.models.endpoints import below, headers, key_source, root, subject
from kubechain.providers.models.listing import check_listing
from kubechain.resources.message import Message
from kubechain.resources.model import Clock

API_VERSION = "2023-06-01"


class Speaker(Protocol):
    """What library_calls.py offers, once it is imported."""

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply: ...

    async def close(self) -> None: ...


def utc_now() -> datetime:
    return datetime.now(UTC)


class AnthropicLibrary:
    """`connections` only serve the check of the key; the library has connections of its own."""

    def __init__(self, connections: Connections | None = None, clock: Clock = utc_now) -> None:
        self.connections = connections or Connections()
        self.clock = clock
        self._speaker: Speaker | None = None
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
        speaker = await self._library(endpoint)
        return await speaker.ask(endpoint, messages, tools, progress)

    async def _library(self, endpoint: Endpoint) -> Speaker:
        async with self._importing:
            if self._speaker is None:
                try:
                    self._speaker = await asyncio.to_thread(_speaker, self.clock)
                except ImportError as error:
                    raise Terminal(
                        f"{subject(endpoint)}: provider anthropic needs a library that is not installed; "
                        "install kubechain with it: pip install 'kubechain[anthropic]'",
                        reason="ProviderNotInstalled",
                    ) from error
        return self._speaker

    async def check(self, endpoint: Endpoint) -> str:
        """Lists the models, which costs nothing and needs the key."""
        target = below(root(endpoint).removesuffix("/").removesuffix("/v1"), "v1/models")
        return await check_listing(self.connections, endpoint, target, _sent(endpoint), self.clock())

    async def close(self) -> None:
        """Closes the connections."""
        if self._speaker is not None:
            await self._speaker.close()
        await self.connections.close()


def _speaker(clock: Clock) -> Speaker:
    from kubechain.providers.models.anthropic.calls import LibraryCalls

    return LibraryCalls(clock)


def _sent(endpoint: Endpoint) -> dict[str, str]:
    """The headers of the check. Raises Terminal where there is no key that can be sent."""
    key = endpoint.api_key.strip()
    if not key:
        raise Terminal(
            f"{subject(endpoint)}: no API key; put one into {key_source(endpoint)}", reason="Unauthorized"
        )
    return headers(endpoint, {"x-api-key": key, "anthropic-version": API_VERSION})
