"""Limits the number of requests to a model provider at a time: `LLM.spec.rateLimit.maxConcurrent`.

`app.loops` wraps it around the provider of the controllers. Further requests wait in a line, first come, first
served. Their timeout does not run while they wait, and they leave the line when their run is cancelled. A limit
applies to this replica. Without a limit, all requests are sent at once, except to a server that interrupts one
answer when the next request arrives: it is sent one request at a time for a while. Such a server always interrupts
the older of two answers. A server that finishes older answers serves several; its interruptions have another
cause.

A server that asks one request for a pause (429 or 503 with Retry-After) gets no other request with the same model
and key meanwhile, so that a hundred runs do not each learn it with a request of their own.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from msgspec import Struct

from kubechain.agents.ports.model import PAUSED, Endpoint, ModelProvider, Progress, Reply, ToolOffer
from kubechain.errors import Terminal, Transient
from kubechain.providers.models.endpoints import host, root, subject, title
from kubechain.resources.message import Message

Name = tuple[str, str]
"""Namespace and name of an LLM."""
OVERLAP = 0.05
"""Seconds that a newer request has been there for when an older one is answered after all."""
ENOUGH = 3
"""Older requests answered after all, of a server that serves several."""
SUSPICIOUS = 2
"""Older requests broken off, with none of those between, of a server that breaks them off for the newer."""
AT_A_TIME = 600.0
"""Seconds for which a server is asked one at a time before several are tried again."""
LONGEST_PAUSE = 60.0
"""Seconds that others wait at most when a server names a longer time; the refused request keeps to all of it."""
BREAKS = frozenset({"Interrupted", "UnreadableReply"})
"""What a broken-off answer looks like: in its middle, or before its first word."""


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
        self._pauses = Pauses(monotonic)

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        """See the port; also raises Transient for a request that is not sent, with the reason `Paused`."""
        limit = _limit(endpoint)
        if limit is None:
            return await self._watched(endpoint, messages, tools, progress)
        name = _name(endpoint)
        line = self._lines.setdefault(name, Line())
        line.limit = limit
        line.move()
        try:
            async with line:
                return await self._sent(endpoint, messages, tools, progress)
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
            async with way.line:
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
            reply = await self._sent(endpoint, messages, tools, progress)
            outcome = ""
        except (Transient, Terminal) as error:
            outcome = error.reason
            raise
        finally:
            way.server.ended(number, outcome)
            self._pace(way)
        return reply

    async def _sent(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None,
    ) -> Reply:
        self._pauses.keep(endpoint)
        try:
            return await self._models.ask(endpoint, messages, tools, progress)
        except Transient as error:
            if error.retry_after:
                self._pauses.begin(endpoint, error.retry_after)
            raise

    def line(self, endpoint: Endpoint) -> str:
        """Describes a request to the LLM that is not answered yet, with its place in a line."""
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


class Line:
    """A place is held within `async with`. `limit` may change at any time; None lets everybody in."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many requests wait in the line."""
        return len(self._waiting)

    async def __aenter__(self) -> None:
        """Waits for a place."""
        if self._free() and not self._waiting:
            self.inside += 1
            return
        entry: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(entry)
        try:
            await entry
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif not entry.cancelled():  # let in, and cancelled in the same moment
                self.inside -= 1
                self.move()
            raise

    async def __aexit__(self, *_: object) -> None:
        """Lets the next one in."""
        self.inside -= 1
        self.move()

    def _free(self) -> bool:
        return self.limit is None or self.inside < self.limit

    def move(self) -> None:
        """Lets in as many as there is room for."""
        while self._waiting and self._free():
            entry = self._waiting.popleft()
            if entry.cancelled():
                continue
            self.inside += 1
            entry.set_result(None)


class Pauses:
    """Until when servers are to be left alone, by address, model and key; forgotten with a restart."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until: dict[tuple[str, str, str], float] = {}

    def begin(self, endpoint: Endpoint, seconds: float) -> None:
        """Records that the server asked for a pause."""
        now, account = self._monotonic(), _account(endpoint)
        until = max(now + min(seconds, LONGEST_PAUSE), self._until.get(account, 0.0))
        self._until = {other: at for other, at in self._until.items() if at > now} | {account: until}

    def keep(self, endpoint: Endpoint) -> None:
        """Raises Transient during a pause."""
        if not self._until:
            return
        seconds = self._until.get(_account(endpoint), 0.0) - self._monotonic()
        if seconds > 0:
            said = f"{subject(endpoint)}: {title(endpoint)} asked for a pause; KubeChain waits"
            raise Transient(said, retry_after=seconds, reason=PAUSED)


def _account(endpoint: Endpoint) -> tuple[str, str, str]:
    return root(endpoint), endpoint.llm.model_name, endpoint.api_key


class Server:
    """What was seen of one server; `monotonic` in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._numbers = count()
        self._open: dict[int, float] = {}
        self._overlapped = self._cut = 0
        self._one_until = 0.0
        self._confirmed = False

    @property
    def one_at_a_time(self) -> bool:
        return self._one_until > 0.0 and self._monotonic() < self._one_until

    def begun(self) -> int:
        """Records that a request is sent, and returns its number."""
        number = next(self._numbers)
        self._open[number] = self._monotonic()
        return number

    def ended(self, number: int, reason: str) -> None:
        """Records how it ended: "" for an answer, otherwise the reason of the error."""
        began = self._open.pop(number)
        if not reason:
            self._answered(number, began)
        elif reason in BREAKS and self._overlapped < ENOUGH:
            self._broke(
                newer=max(self._open, default=-1) > number, oldest=min(self._open, default=number) >= number
            )

    def _answered(self, number: int, began: float) -> None:
        self._confirmed = True
        if self._overlapped >= ENOUGH or self._monotonic() - began < OVERLAP:
            return
        newer = min((at for other, at in self._open.items() if other > number), default=None)
        if newer is not None and self._monotonic() - newer >= OVERLAP:
            self._overlapped, self._cut = self._overlapped + 1, 0
            self._one_until = 0.0

    def _broke(self, newer: bool, oldest: bool) -> None:
        if newer and oldest:
            self._cut += 1
            if not self.one_at_a_time:
                self._confirmed = False
            if self._cut >= SUSPICIOUS:
                self._one_until = self._monotonic() + AT_A_TIME
        elif not newer and not self._confirmed:  # the last one broke as well: the server fell, it did not choose
            self._cut, self._one_until = 0, 0.0
