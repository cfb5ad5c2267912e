"""All model providers behind one: `Models` picks the adapter by the LLM's provider.

app.py makes one and gives it to the controllers, which see only the port ModelProvider. It never retries.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubechain.agents.ports.model import Endpoint, ModelProvider, Progress, Reply, ToolOffer
from kubechain.providers.models.chat import ChatCompletions, utc_now
from kubechain.providers.models.connections import Connections
from kubechain.providers.models.library import AnthropicLibrary
from kubechain.resources.message import Message
from kubechain.resources.model import Clock


class Models:
    """`limit` caps open connections (0: no cap); `trust_env` reads proxies from the environment.

    `one_wire`: whoever answers for LLMs that name no baseURL speaks chat completions, as the scripted model does.
    """

    def __init__(
        self, *, limit: int = 0, trust_env: bool = False, one_wire: bool = False, clock: Clock = utc_now
    ) -> None:
        self._one_wire = one_wire
        connections = Connections(limit=limit, trust_env=trust_env)
        self._chat = ChatCompletions(connections, clock)
        self._anthropic = AnthropicLibrary(connections, clock)

    def _adapter(self, endpoint: Endpoint) -> ModelProvider:
        if self._one_wire and endpoint.llm.spec.parameters.base_url is None:
            return self._chat
        return self._anthropic if endpoint.llm.spec.provider == "anthropic" else self._chat

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        """One reply; see the port for what it raises."""
        return await self._adapter(endpoint).ask(endpoint, messages, tools, progress)

    async def check(self, endpoint: Endpoint) -> str:
        """A cheap check that the key is accepted; the sentence for DETAIL."""
        return await self._adapter(endpoint).check(endpoint)

    async def close(self) -> None:
        """Closes the connections of every adapter."""
        await self._chat.close()
        await self._anthropic.close()
