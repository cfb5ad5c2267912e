"""All model providers behind one: `Models` picks the adapter by the LLM's provider, `Measured` counts requests.

`app.loops` puts them together and gives them to the controllers, which see only the port ModelProvider. Neither
retries, changes a reply or keeps text. HTTP clients are imported when a model is first asked, because that takes a
third of the time of a start.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from msgspec import Struct

from kubechain.agents.ports.model import Endpoint, ModelProvider, Progress, Reply, ToolOffer
from kubechain.errors import Terminal, Transient
from kubechain.resources.message import Message
from kubechain.resources.model import Clock
from kubechain.runtime.clock import now
from kubechain.runtime.metrics import Histogram, Labels

Monotonic = Callable[[], float]


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


class Measured:
    """A ModelProvider around another one: how many requests, how they ended, how long they took, their tokens.

    Numbers are by the LLM's namespace and its provider (`openai`, ...).
    """

    def __init__(self, models: ModelProvider, monotonic: Monotonic = time.monotonic) -> None:
        self.calls: Counter[Labels] = Counter()
        """By namespace, provider and outcome: `ok`, or the reason of the error."""
        self.seconds: defaultdict[Labels, Histogram] = defaultdict(Histogram)
        """By provider alone: a histogram is a dozen series."""
        self.tokens: Counter[Labels] = Counter()
        """By namespace, provider and direction: `input`, `output`, `cached`."""
        self.turns: Counter[Labels] = Counter()
        """Replies that say something or call a tool."""
        self._models = models
        self._monotonic = monotonic

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        """See the port."""
        llm, began, outcome = endpoint.llm, self._monotonic(), "cancelled"
        namespace, provider = llm.metadata.namespace, llm.spec.provider
        try:
            reply = await self._models.ask(endpoint, messages, tools, progress)
            outcome = "ok"
        except (Transient, Terminal) as error:
            outcome = error.reason
            raise
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            self.calls[namespace, provider, outcome] += 1
            self.seconds[provider,].observe(self._monotonic() - began)
        self._used(namespace, provider, reply)
        return reply

    async def check(self, endpoint: Endpoint) -> str:
        """See the port; not counted."""
        return await self._models.check(endpoint)

    async def close(self) -> None:
        """Closes the provider."""
        await self._models.close()

    def _used(self, namespace: str, provider: str, reply: Reply) -> None:
        usage = reply.usage
        for direction, count in (("input", usage.input), ("output", usage.output), ("cached", usage.cached)):
            self.tokens[namespace, provider, direction] += count or 0
        if reply.message.tool_calls or (reply.message.content or "").strip():
            self.turns[namespace, provider] += 1
