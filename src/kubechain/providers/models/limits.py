"""Any model provider, asked no more than so many times at once: `LLM.spec.rateLimit.maxConcurrent`.

`app.loops` puts it round the provider that the controllers get. Requests beyond the limit wait in order, without
their timeout running, and leave the line when their run is cancelled. A limit holds for this replica. Where an LLM
names none, all go out at once, but to a server that breaks off one answer for the next: that one is asked one at a
time for a while (interruptions.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from kubechain.agents.ports.model import Endpoint, ModelProvider, Progress, Reply, ToolOffer
from kubechain.errors import Terminal, Transient
from kubechain.providers.models.endpoints import host, root
from kubechain.providers.models.interruptions import Server
from kubechain.providers.models.line import Line
from kubechain.resources.message import Message

Name = tuple[str, str]
"""Namespace and name of an LLM."""


class _Way(Struct, frozen=True):
    """A server that LLMs without a limit of their own share."""

    line: Line
    server: Server


class Limited:
    """A ModelProvider around another one."""

    def __init__(self, models: ModelProvider, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._models = models
        self._monotonic = monotonic
        self._lines: dict[Name, Line] = {}
        self._ways: dict[str, _Way] = {}

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        """See the port."""
        limit = _limit(endpoint)
        if limit is None:
            return await self._watched(endpoint, messages, tools, progress)
        name = _name(endpoint)
        line = self._lines.setdefault(name, Line())
        line.limit = limit
        line.move()
        try:
            async with line.place():
                return await self._models.ask(endpoint, messages, tools, progress)
        finally:
            if not line.inside and not line.waiting:
                self._lines.pop(name, None)

    async def _watched(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None,
    ) -> Reply:
        address = host(root(endpoint))
        way = self._ways.get(address)
        if way is None:
            way = self._ways[address] = _Way(Line(), Server(self._monotonic))
        self._pace(way)
        try:
            async with way.line.place():
                return await self._seen(way, endpoint, messages, tools, progress)
        finally:
            self._pace(way)

    def _pace(self, way: _Way) -> None:
        way.line.limit = 1 if way.server.one_at_a_time else None
        way.line.move()

    async def _seen(
        self,
        way: _Way,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None,
    ) -> Reply:
        number, outcome = way.server.begun(), "cancelled"
        try:
            reply = await self._models.ask(endpoint, messages, tools, progress)
            outcome = ""
        except (Transient, Terminal) as error:
            outcome = error.reason
            raise
        finally:
            way.server.ended(number, outcome)
            self._pace(way)
        return reply

    def line(self, endpoint: Endpoint) -> str:
        """What people are told of a request to the LLM that is not answered yet: where in a line it may stand."""
        limit = _limit(endpoint)
        if limit is not None:
            line = self._lines.get(_name(endpoint))
            why = "spec.rateLimit.maxConcurrent"
        else:
            way = self._ways.get(host(root(endpoint)))
            line, limit = (way.line if way else None), 1
            why = "the server breaks off one answer for the next"
        if line is None or not line.waiting:
            return ""
        return f" (one of {line.inside + line.waiting} requests, {limit} at a time: {why})"

    def waiting(self) -> Iterator[tuple[str, int]]:
        """For metrics: how many wait, by `namespace/name` of the LLM, or by the host of a server."""
        for (namespace, name), line in self._lines.items():
            yield f"{namespace}/{name}", line.waiting
        for address, way in self._ways.items():
            if way.line.waiting:
                yield address, way.line.waiting

    async def check(self, endpoint: Endpoint) -> str:
        """See the port; a check is no request to a model, and does not wait."""
        return await self._models.check(endpoint)

    async def close(self) -> None:
        """Closes the provider."""
        await self._models.close()


def _limit(endpoint: Endpoint) -> int | None:
    rate = endpoint.llm.spec.rate_limit
    return rate.max_concurrent if rate is not None else None


def _name(endpoint: Endpoint) -> Name:
    metadata = endpoint.llm.metadata
    return metadata.namespace, metadata.name
