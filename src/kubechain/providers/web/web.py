"""`Web`: requests of tools to addresses that manifests and documents name.

`http`, `openapi` and MCP over HTTP share one. Every socket is judged right before it is connected (`addresses`),
so neither a name, a literal address, a redirect nor a changed DNS answer leads to a private address unless the
manifest allows it. The two kinds of connections are kept apart: a connection that was allowed for one object is
never used for another that does not allow it. Through a proxy of the environment, the proxy looks up the name; the
target is then judged before the request is sent. It keeps no cookies and never retries.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver
from msgspec import Struct
from yarl import URL

from kubechain import __version__
from kubechain.errors import Terminal, Transient
from kubechain.providers.web.addresses import refused
from kubechain.providers.web.proxies import proxy_for
from kubechain.providers.web.requests import Limits, Request, origin, redirected
from kubechain.providers.web.trouble import AddressRefused, not_allowed, overdue, overlong, trouble

CONNECT_TIMEOUT = 10.0
USER_AGENT = f"kubechain/{__version__}"
_CONNECTING = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
AddrInfo = tuple[
    int | socket.AddressFamily,
    int | socket.SocketKind,
    int,
    str,
    tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes],
]


class Answer(Struct, frozen=True):
    """`url` is the one that answered, after redirects. The content is read once."""

    status: int
    headers: Mapping[str, str]
    content: aiohttp.StreamReader
    url: URL

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; "" where none is named."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def whole(self, limit: int) -> bytes:
        """The body. Raises Terminal (AnswerTooLarge) where it has more than `limit` bytes."""
        pieces, size = [], 0
        async for piece in self.content.iter_any():
            size += len(piece)
            if size > limit:
                raise overlong(self.url, limit)
            pieces.append(piece)
        return b"".join(pieces)


class Web:
    """Opens its sessions with the first request."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._given = resolver
        self._resolver: AbstractResolver | None = None
        self._guarded: aiohttp.ClientSession | None = None
        self._free: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def send(self, request: Request, limits: Limits) -> AsyncIterator[Answer]:
        """`async with` the answer to a request, redirects followed.

        Raises Terminal (AddressRefused, RedirectRefused, InvalidURL), and Transient: Unreachable where nothing was
        sent, else Interrupted or Timeout.
        """
        sent = False
        try:
            async with asyncio.timeout(limits.timeout):
                for _ in range(limits.redirects + 1):
                    async with await self._once(request, limits) as response:
                        sent = True
                        follow = redirected(request, response.status, response.headers.get("location"))
                        if follow is None:
                            yield Answer(response.status, response.headers, response.content, request.url)
                            return
                    request = follow
        except aiohttp.ConnectionTimeoutError as error:
            raise trouble(request.url, error, limits, sent=False) from error
        except TimeoutError as error:
            raise overdue(request.url, limits) from error
        except (aiohttp.ClientError, OSError) as error:
            raise trouble(request.url, error, limits, sent=sent) from error
        raise Terminal(
            f"{origin(request.url)} redirects more than {limits.redirects} times", reason="RedirectRefused"
        )

    async def check(self, url: URL, limits: Limits) -> None:
        """Whether requests to the address are allowed at present; connects to nothing.

        Raises Terminal (AddressRefused), or Transient where the name does not resolve.
        """
        host, proxied = url.host or "", proxy_for(str(url)) is not None
        if limits.allow_private and proxied:
            return
        try:
            found = await self._addresses(host, url.port or 443)
        except OSError as error:
            if proxied:  # the proxy looks it up
                return
            raise Transient(
                f"the name {host} does not resolve; correct it, or wait until it does", reason="Unreachable"
            ) from error
        wrong = [(address, what) for address in found if (what := refused(address))]
        if wrong and not limits.allow_private and (proxied or len(wrong) == len(found)):
            raise not_allowed(host, *wrong[0], limits)

    async def close(self) -> None:
        """Closes every connection."""
        for session in (self._guarded, self._free):
            if session is not None:
                await session.close()
        self._guarded = self._free = None
        if self._resolver is not None and self._given is None:
            await self._resolver.close()
        self._resolver = None

    async def _once(self, request: Request, limits: Limits) -> aiohttp.client._RequestContextManager:
        proxy = proxy_for(str(request.url.origin()))
        if proxy is not None and not limits.allow_private:
            await self.check(request.url, limits)
        session = self._session(guarded=proxy is None and not limits.allow_private)
        return session.request(
            request.method,
            request.url,
            headers={**request.headers, **request.private},
            data=request.body,
            allow_redirects=False,
            proxy=proxy,
            timeout=_CONNECTING,
        )

    async def _addresses(self, host: str, port: int) -> list[str]:
        """A literal address is its own answer."""
        try:
            socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host.partition("%")[0])
        except OSError:
            return [found["host"] for found in await self._resolving().resolve(host, port, socket.AF_UNSPEC)]
        return [host]

    def _resolving(self) -> AbstractResolver:
        if self._resolver is None:
            self._resolver = self._given or ThreadedResolver()
        return self._resolver

    def _session(self, *, guarded: bool) -> aiohttp.ClientSession:
        session = self._guarded if guarded else self._free
        if session is None:
            connector = aiohttp.TCPConnector(
                limit=0, resolver=self._resolving(), socket_factory=judged_socket if guarded else None
            )
            session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": USER_AGENT}
            )
            if guarded:
                self._guarded = session
            else:
                self._free = session
        return session


def judged_socket(found: AddrInfo) -> socket.socket:
    """A socket for this address, which is about to be connected. Raises AddressRefused."""
    family, kind, protocol, _, address = found
    if what := refused(str(address[0])):
        raise AddressRefused(str(address[0]), what)
    return socket.socket(family, kind, protocol)
