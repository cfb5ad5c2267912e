"""Health and metrics of the operator over HTTP: /healthz, /readyz, /metrics.

Started by the composition root beside the control loops. The first two answer everyone, as a kubelet needs;
for /metrics the `Gate`, if there is one, decides who may read. Changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from kubechain.errors import ApiError, Forbidden, Unauthorized
from kubechain.runtime.metrics import Reading
from kubechain.server.embedding import serving

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Gate(Protocol):
    """Decides who may read the metrics."""

    async def admit(self, token: str) -> None:
        """Returns where the holder of the token may. Raises Unauthorized, Forbidden, other ApiErrors."""
        ...


class Probes(Struct, frozen=True):
    """The ASGI application. `waiting`: why not ready, "" for ready; without a `gate` anyone reads metrics."""

    waiting: Callable[[], str]
    metrics: Callable[[], Iterable[Reading]]
    gate: Gate | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._answer(Request(scope, receive)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("only GET\n", 405, {"allow": "GET, HEAD"})
        match request.url.path:
            case "/healthz" | "/livez":
                return PlainTextResponse("ok")
            case "/readyz":
                return self._ready()
            case "/metrics":
                return await self._metrics(request)
            case _:
                return PlainTextResponse("404 page not found\n", 404)

    def _ready(self) -> Response:
        if why := self.waiting():
            return PlainTextResponse(f"not ready: {why}\n", 503)
        return PlainTextResponse("ok")

    async def _metrics(self, request: Request) -> Response:
        if self.gate is not None:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            try:
                if scheme.lower() != "bearer" or not token.strip():
                    raise Unauthorized("send the bearer token of a service account that may get /metrics")
                await self.gate.admit(token.strip())
            except Unauthorized as error:
                return PlainTextResponse(f"{error}\n", 401, {"www-authenticate": "Bearer"})
            except Forbidden as error:
                return PlainTextResponse(f"{error}\n", 403)
            except ApiError as error:
                return PlainTextResponse(f"the Kubernetes API cannot check the token: {error}\n", 503)
        from kubechain.server.exposition import exposition

        return exposition(self.metrics(), request.headers.get("accept", ""))


@asynccontextmanager
async def probing(probes: Probes, host: str, port: int) -> AsyncIterator[int]:
    """Answers until the block is left; yields the port. Raises SettingsError when the address cannot be had."""
    async with serving(probes, host, port) as listening:
        yield listening
