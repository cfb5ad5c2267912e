"""Counts the requests to a model provider: how many, how they ended, how long they took, and their tokens.

`app.loops` wraps it around the provider of the controllers. It changes nothing and keeps no text.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from kubechain.agents.ports.model import Endpoint, ModelProvider, Progress, Reply, ToolOffer
from kubechain.errors import Terminal, Transient
from kubechain.resources.message import Message
from kubechain.runtime.metrics import Histogram, Labels

Monotonic = Callable[[], float]


class Measured:
    """A ModelProvider around another one. Numbers are by the LLM's namespace and its provider (`openai`, ...)."""

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
