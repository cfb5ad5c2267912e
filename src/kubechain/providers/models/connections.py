"""Requests to model servers over one aiohttp session, which keeps the connections of all of them.

A request goes out once, follows no redirect (the key would go along) and keeps no cookie. Through which proxy it
goes, and whose certificates are believed, says first the LLM (spec.proxyURL, spec.caBundle, spec.caBundleFrom),
then the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY; OpenSSL itself reads SSL_CERT_FILE and
SSL_CERT_DIR. The endpoint's patience is the time for all of a reply; whoever reads a stream moves its end on with
each piece that says something (`Response.alive`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from io import BytesIO

import aiohttp
from msgspec import Struct
from yarl import URL

from kubechain import __version__
from kubechain.agents.ports.model import Endpoint
from kubechain.errors import Terminal
from kubechain.providers.models.breakage import cut, garbled, overdue, unreachable
from kubechain.providers.models.endpoints import CONNECT_TIMEOUT, host, patience, subject
from kubechain.providers.web.proxies import proxy_for

LONGEST_BODY = 16 * 1024 * 1024
TAIL = 0.1
"""Seconds in which a server that has said everything may end its answer, so that its connection is kept."""
LAST_WORDS = 2.0
"""Seconds for what may follow the end of a reply in a stream: the counts of tokens, mostly."""
_IN_ONE_PIECE = 1024 * 1024
USER_AGENT = f"kubechain/{__version__}"


class Response(Struct, frozen=True):
    """`headers` are found in any case; `content` is read once."""

    status: int
    headers: Mapping[str, str]
    content: aiohttp.StreamReader
    deadline: asyncio.Timeout
    patience: float

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; empty where none is named."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def alive(self) -> None:
        """Called when the model sent something: restarts its timeout."""
        self.deadline.reschedule(asyncio.get_running_loop().time() + self.patience)

    async def pieces(self, finished: Callable[[], bool]) -> AsyncIterator[bytes]:
        """The body as it comes. What follows once the reply is `finished` has a moment to come, and may break."""
        until: float | None = None
        while True:
            if until is None and finished():
                until = asyncio.get_running_loop().time() + min(LAST_WORDS, self.patience / 2)
            try:
                async with asyncio.timeout_at(until):
                    piece = await self.content.readany()
            except (TimeoutError, aiohttp.ClientError, OSError):
                if until is None:
                    raise
                return
            if not piece:
                return
            yield piece

    async def end(self) -> None:
        """Reads what is left of an answer that needs no more reading, if it ends in a moment."""
        if self.content.at_eof():
            return
        try:
            async with asyncio.timeout(TAIL):
                await self.content.readany()
        except (TimeoutError, aiohttp.ClientError, OSError):
            return  # everything was said; only the connection is lost


class Connections:
    """As many connections as there are requests at a time: a cap would make runs wait."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._trust = Trust()

    @asynccontextmanager
    async def request(
        self, endpoint: Endpoint, url: str, headers: dict[str, str], body: bytes | None = None
    ) -> AsyncIterator[Response]:
        """`async with` the response to one GET, or POST where there is a body; `headers` by names in lower case.

        Raises Transient and Terminal for all that can go wrong, also inside it.
        """
        target, wait, trust = _address(endpoint, url, headers), patience(endpoint), await self._trust.of(endpoint)
        answers = False
        try:
            async with asyncio.timeout(wait) as deadline:
                async with self._opened().request(
                    "GET" if body is None else "POST",
                    target,
                    headers=headers,
                    data=body if body is None or len(body) < _IN_ONE_PIECE else BytesIO(body),
                    allow_redirects=False,
                    proxy=proxy(endpoint, url),
                    ssl=trust,
                    timeout=_connecting(min(wait, CONNECT_TIMEOUT)),
                ) as response:
                    answers = True
                    yield Response(response.status, response.headers, response.content, deadline, wait)
        except aiohttp.ConnectionTimeoutError as error:
            raise unreachable(endpoint, error) from error
        except TimeoutError as error:
            raise overdue(endpoint, wait) from error
        except aiohttp.InvalidURL as error:
            raise _no_address(endpoint, url) from error
        except (aiohttp.ClientError, OSError) as error:
            raise (cut(endpoint) if answers else unreachable(endpoint, error)) from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": USER_AGENT},
            )
        return self._session

    async def close(self) -> None:
        """Closes every connection; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _address(endpoint: Endpoint, url: str, headers: Mapping[str, str]) -> URL:
    """Raises Terminal for what is no address, and for one with credentials where there is a key as well."""
    try:
        target = _parsed(url)
    except ValueError as error:  # its text may quote a password
        raise _no_address(endpoint, url) from error
    if target.user is not None and "authorization" in headers:
        raise _no_address(endpoint, url)
    return target


def _no_address(endpoint: Endpoint, url: str) -> Terminal:
    return Terminal(
        f"{subject(endpoint)}: no request can be made to {host(url) or 'its address'}; "
        "correct spec.parameters.baseURL",
        reason="InvalidRequest",
    )


@lru_cache(maxsize=256)
def _parsed(url: str) -> URL:
    return URL(url)


@lru_cache(maxsize=64)
def _connecting(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=seconds, sock_connect=seconds)


async def whole(endpoint: Endpoint, response: Response) -> bytes:
    """The body, of at most LONGEST_BODY bytes."""
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > LONGEST_BODY:
            raise garbled(endpoint, f"more than {LONGEST_BODY} bytes")
    return b"".join(pieces)


def proxy(endpoint: Endpoint, url: str) -> str | None:
    """The proxy for `url`; none for this machine itself, unless the LLM names one."""
    return endpoint.llm.spec.proxy_url or proxy_for(url)


class Trust:
    """TLS contexts by certificate bundle, each made once, off the event loop."""

    def __init__(self) -> None:
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def of(self, endpoint: Endpoint) -> ssl.SSLContext | bool:
        """True for the system's authorities alone. Raises Terminal where the bundle holds no certificate."""
        bundle = endpoint.ca_bundle
        if not bundle:
            return True
        if bundle not in self._contexts:
            try:
                self._contexts[bundle] = await asyncio.to_thread(_believing, bundle)
            except (ssl.SSLError, ValueError) as error:
                raise Terminal(
                    f"{subject(endpoint)}: the CA bundle contains no readable PEM certificate; correct "
                    "spec.caBundle or the Secret that spec.caBundleFrom names",
                    reason="InvalidCABundle",
                ) from error
        return self._contexts[bundle]


def _believing(bundle: str) -> ssl.SSLContext:
    """The system's authorities and those of the bundle."""
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=bundle)
    return context
