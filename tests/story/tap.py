"""A connection to an API server that notes what is asked over it, and whose streams can be cut.

Stories that count requests put it between `RemoteApi` and the real connection. It changes nothing but, when told
so, the version from which a watch begins.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass, field

from msgspec.structs import replace

from kubechain.cluster import answers
from kubechain.cluster.connection import Connection, Request

MORE = re.compile(rb'"continue":"[^"]')
STALE = "1"
"""A version that no server remembers the changes since."""


@dataclass
class Asked:
    """A request, and what came back: bytes, and of a list its version and whether more pages follow."""

    verb: str
    path: str
    query: dict[str, str]
    bytes: int = 0
    version: str = ""
    more: bool = False

    @property
    def what(self) -> str:
        """The plural in the path of a list or watch, and of which name alone."""
        selected = self.query.get("fieldSelector", "")
        return self.path.rpartition("/")[2] + (f" {selected}" if selected else "")


@dataclass
class Tap:
    """See the port `Connection`."""

    inner: Connection
    asked: list[Asked] = field(default_factory=list)
    _stale: Callable[[Request], bool] = lambda request: False
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _cut: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def answered(self) -> Counter[tuple[str, ...]]:
        return self.inner.answered

    async def send(self, request: Request) -> bytes:
        lists = request.method == "GET" and "limit" in request.query
        noted = Asked("LIST" if lists else request.method, request.path, dict(request.query))
        self.asked.append(noted)
        answer = await self.inner.send(request)
        noted.bytes = len(answer)
        if lists:
            noted.version = answers.head(answer).metadata.resource_version
            noted.more = MORE.search(answer) is not None
        return answer

    async def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        if stale := self._stale(request):
            request = replace(request, query={**request.query, "resourceVersion": STALE})
        noted = Asked("STALE WATCH" if stale else "WATCH", request.path, dict(request.query))
        self.asked.append(noted)
        self._tell()
        lines, cut = self.inner.stream(request), asyncio.ensure_future(self._cut.wait())
        line = asyncio.ensure_future(anext(lines, b""))
        try:
            while True:
                await asyncio.wait((cut, line), return_when=asyncio.FIRST_COMPLETED)
                if cut.done() or not line.result():
                    return
                noted.bytes += len(line.result())
                yield line.result()
                line = asyncio.ensure_future(anext(lines, b""))
        finally:
            for waiting in (cut, line):
                waiting.cancel()
            await asyncio.wait((cut, line))
            await lines.aclose()

    def cut(self, *, stale: Callable[[Request], bool] = lambda request: False) -> list[Asked]:
        """Ends every stream; what was asked until now. The next watch of what is `stale` comes too late."""
        waiting = {a.path for a in self.asked if a.verb == "WATCH"}

        def once(request: Request) -> bool:
            if not stale(request) or request.path not in waiting:
                return False
            waiting.discard(request.path)
            return True

        before, self.asked, self._stale = self.asked, [], once
        self._cut.set()
        self._cut = asyncio.Event()
        return before

    async def watching(self, what: Collection[str]) -> None:
        """Returns when all of that is watched since the last cut; a watch that came too late does not count."""
        while not counted(self.asked, "WATCH").keys() >= {*what}:
            await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def counted(asked: list[Asked], verb: str) -> Counter[str]:
    """How often that was asked, by what."""
    return Counter(a.what for a in asked if a.verb == verb)
