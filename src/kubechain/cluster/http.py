"""HTTP to one API server: keeps connections, renews credentials, and returns answers as bytes or lines.

`remote` and others use the connection that `opened` returns. The embedded engine never imports this module,
because that takes a third of the time of a start. A write is sent once. It is sent again only if the server
answered 401, so that it did nothing, and the credentials have changed since.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from io import BytesIO
from urllib.parse import urlencode

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from kubechain import __version__
from kubechain.cluster.answers import refusal
from kubechain.cluster.connection import Request, Unreachable
from kubechain.cluster.credentials import Identity
from kubechain.cluster.lane import Lane
from kubechain.cluster.lines import lines
from kubechain.cluster.target import Target
from kubechain.cluster.trust import context
from kubechain.errors import Unauthorized

CONNECTIONS = 100
"""Requests at a time, below what an API server works on at once (200 writes, 400 reads); watches come on top."""
KEPT_SECONDS = 60.0
EVENTS = "/apis/events.k8s.io/"
"""Nobody waits for an Event: those that are told together do not stand in the way of what somebody waits for."""
_PARTS_FROM = 1 << 20
_MESSAGE_BYTES = 64 << 20
_REQUEST = aiohttp.ClientTimeout(total=60, sock_connect=10)
_WATCH = aiohttp.ClientTimeout(total=None, sock_connect=10)
_HEADERS = {"User-Agent": f"kubechain/{__version__} (operator)", "Accept-Encoding": "identity"}


@asynccontextmanager
async def opened(target: Target) -> AsyncIterator[HttpConnection]:
    """A connection while the block lasts. Raises Unauthorized (useless certificates or plugin)."""
    connection = HttpConnection(target)
    try:
        await connection.prepare()
        yield connection
    finally:
        await connection.close()


class HttpConnection:
    """One API server, spoken to as one user."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._tls: tuple[Identity, ssl.SSLContext | bool] | None = None
        self._reads = _session()
        self._writes = _session(middlewares=(_sent_once,))
        self._watches = _session(limit=0)
        self._aside = Lane()
        self.answered: Counter[tuple[str, ...]] = Counter()
        """Answers so far by method, HTTP code and the reason of a refusal; code 0: there was none."""

    async def close(self) -> None:
        await asyncio.gather(self._reads.close(), self._writes.close(), self._watches.close())

    async def prepare(self) -> None:
        """Checks that the credentials and certificates can be used. Raises Unauthorized."""
        await self._context(await self._target.credentials.identity())

    async def send(self, request: Request) -> bytes:
        """The body of a successful answer. Raises errors.ApiError."""
        session = self._reads if request.method == "GET" else self._writes
        lane = self._aside if request.path.startswith(EVENTS) else nullcontext()
        async with lane, self._answered(session, request, _REQUEST) as answer:
            return await answer.read()

    async def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The lines of a successful answer, until the server or the network ends it. Raises errors.ApiError."""
        async with self._answered(self._watches, request, _WATCH) as answer:
            try:
                async for line in lines(answer.content.iter_any()):
                    yield line
            except (aiohttp.ClientError, OSError):
                return
            finally:
                _hang_up(answer)

    async def socket(self, request: Request, protocol: str) -> aiohttp.ClientWebSocketResponse:
        """A websocket in this subprotocol, to be closed by the caller. Raises errors.ApiError."""
        identity = await self._target.credentials.identity()
        try:
            return await self._watches.ws_connect(
                self._url(request),
                method=request.method,
                protocols=(protocol,),
                headers=self._headers(identity),
                ssl=await self._context(identity),
                server_hostname=self._target.server_name or None,
                max_msg_size=_MESSAGE_BYTES,
            )
        except aiohttp.WSServerHandshakeError as error:
            raise refusal(error.status, b"", "") from None
        except (aiohttp.ClientError, OSError) as error:
            cause = str(error) or type(error).__name__
            raise Unreachable(f"no answer from {self._target.server} to {request.path}: {cause}") from None

    @asynccontextmanager
    async def _answered(
        self, session: aiohttp.ClientSession, request: Request, timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            identity = await self._target.credentials.identity()
            answer = await self._ask(session, request, timeout, identity)
            if answer.status == 401 and (fresh := await self._renewed(identity)) is not None:
                answer.release()
                answer = await self._ask(session, request, timeout, fresh)
            async with answer:
                if answer.status >= 400:
                    refused = refusal(answer.status, await answer.read(), answer.headers.get("Retry-After", ""))
                    self.answered[request.method, str(answer.status), refused.reason] += 1
                    raise refused
                self.answered[request.method, str(answer.status), ""] += 1
                yield answer
        except (aiohttp.ClientError, OSError) as error:
            self.answered[request.method, "0", Unreachable.reason] += 1
            cause = str(error) or type(error).__name__
            raise Unreachable(f"no answer from {self._target.server} to {request.method}: {cause}") from None

    async def _ask(
        self, session: aiohttp.ClientSession, request: Request, timeout: aiohttp.ClientTimeout, identity: Identity
    ) -> aiohttp.ClientResponse:
        headers = self._headers(identity)
        headers["Accept"] = request.accept
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        return await session.request(
            request.method,
            self._url(request),
            data=_payload(request.body),
            headers=headers,
            timeout=timeout,
            ssl=await self._context(identity),
            server_hostname=self._target.server_name or None,
            allow_redirects=False,
        )

    def _url(self, request: Request) -> URL:
        query = f"?{urlencode(request.query)}" if request.query else ""
        return URL(f"{self._target.server}{request.path}{query}", encoded=True)

    def _headers(self, identity: Identity) -> CIMultiDict[str]:
        """Who asks."""
        headers = CIMultiDict(self._target.impersonate)
        if identity.token:
            headers["Authorization"] = f"Bearer {identity.token}"
        return headers

    async def _renewed(self, refused: Identity) -> Identity | None:
        """The newest identity, if it is not the one that was refused."""
        self._target.credentials.refused()
        fresh = await self._target.credentials.identity()
        return fresh if fresh != refused else None

    async def _context(self, identity: Identity) -> ssl.SSLContext | bool:
        """The TLS context. It is created again only if the client certificate has changed."""
        held = self._tls
        if held is not None and (held[0].certificate, held[0].key) == (identity.certificate, identity.key):
            return held[1]
        try:
            authority, verify = self._target.authority, self._target.verify
            tls = await asyncio.to_thread(context, authority, identity.certificate, identity.key, verify=verify)
        except ssl.SSLError as error:
            server, why = self._target.server, error.reason or error
            raise Unauthorized(
                f"the certificates for {server} cannot be used ({why}): see the kubeconfig"
            ) from None
        self._tls = identity, tls
        return tls


def _hang_up(answer: aiohttp.ClientResponse) -> None:
    """Closes a stream without a TLS shutdown, which nobody would wait for."""
    connection = answer.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


def _payload(body: bytes | None) -> bytes | BytesIO | None:
    """Sends a large body in parts, because aiohttp warns about large bodies that are given as bytes."""
    return body if body is None or len(body) < _PARTS_FROM else BytesIO(body)


async def _sent_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keeps aiohttp from repeating a PUT when a kept connection breaks; the caller decides that."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError(str(error)) from error


def _session(
    limit: int = CONNECTIONS, middlewares: Sequence[aiohttp.ClientMiddlewareType] = ()
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=limit, keepalive_timeout=KEPT_SECONDS, socket_factory=_socket)
    return aiohttp.ClientSession(
        connector=connector,
        headers=_HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        middlewares=middlewares,
    )


def _socket(address: tuple[int, int, int, str, object]) -> socket.socket:
    """A socket that detects a lost peer within half a minute, even if nothing is sent."""
    family, type_, protocol, *_ = address
    made = socket.socket(family, type_, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 15),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 30_000),
    ):
        if hasattr(socket, option):  # not every system has each
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made
