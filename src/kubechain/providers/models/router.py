"""All model providers behind one: `Models` picks the adapter by the LLM's provider.

`app.loops` creates one and gives it to the controllers, which see only the port ModelProvider. It never retries.
HTTP clients are imported when a model is first asked, because that takes a third of the time of a start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from kubechain.agents.ports.model import Endpoint, ModelProvider, Progress, Reply, ToolOffer
from kubechain.resources.message import Message
from kubechain.resources.model import Clock
from kubechain.runtime.clock import now


class _Adapters(Struct, frozen=True):
    chat: ModelProvider
    anthropic: ModelProvider


class Models:
    """`clock` only turns a Retry-After date into seconds.

    `one_wire`: LLMs without a baseURL are answered in the format of chat completions, as by the scripted model.
    """

    def __init__(self, *, one_wire: bool = False, clock: Clock = now) -> None:
        self._one_wire, self._clock = one_wire, clock
        self._adapters: _Adapters | None = None
        self._importing = asyncio.Lock()

    async def _adapter(self, endpoint: Endpoint) -> ModelProvider:
        adapters = self._adapters or await self._imported()
        if self._one_wire and endpoint.llm.spec.parameters.base_url is None:
            return adapters.chat
        return adapters.anthropic if endpoint.llm.spec.provider == "anthropic" else adapters.chat

    async def _imported(self) -> _Adapters:
        async with self._importing:
            if self._adapters is None:
                self._adapters = await asyncio.to_thread(_adapters, self._clock)
            return self._adapters

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        """One reply; see the port for what it raises."""
        return await (await self._adapter(endpoint)).ask(endpoint, messages, tools, progress)

    async def check(self, endpoint: Endpoint) -> str:
        """A cheap check that the key is accepted; the sentence for DETAIL."""
        return await (await self._adapter(endpoint)).check(endpoint)

    async def close(self) -> None:
        """Closes the connections of every adapter."""
        if self._adapters is not None:
            await asyncio.gather(self._adapters.chat.close(), self._adapters.anthropic.close())


def _adapters(clock: Clock) -> _Adapters:
    from kubechain.providers.models.anthropic.adapter import AnthropicLibrary
    from kubechain.providers.models.chat.completions import ChatCompletions
    from kubechain.providers.models.connections import Connections

    connections = Connections()
    return _Adapters(ChatCompletions(connections, clock), AnthropicLibrary(connections, clock))
