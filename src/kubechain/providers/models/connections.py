"""Requests to model servers over the connections that aiohttp keeps: one pool for all of them.

aiohttp's connector resolves names, connects, speaks TLS and keeps connections alive; its protocol parses and
unpacks what comes. Its ClientSession is left out: what it adds (redirects, cookies, .netrc, proxies, tracing, a
task for each body) we want nothing of, and it costs as much as all the rest: decision 0022. So a request goes out
once, follows no redirect (the key would go along), keeps no cookie and reads nothing of the environment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import NamedTuple

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from kubechain import __version__
from kubechain.agents.ports.model import Endpoint
from kubechain.errors import ProviderError, Terminal
from kubechain.providers.models.endpoints import CONNECT_TIMEOUT, host, patience, subject
from kubechain.providers.models.refusals import garbled, overdue, unreachable

LONGEST_BODY = 16 * 1024 * 1024
USER_AGENT = f"kubechain/{__version__}"


class Response(NamedTuple):
    """`headers` are found in any case; `content` is read once."""

    status: int
    headers: Mapping[str, str]
    content: aiohttp.StreamReader

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; empty where none is named."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class _Target(NamedTuple):
    """A URL taken apart once: what the connector asks of a request, and headers for those that name no others."""

    request: aiohttp.ClientRequest
    path: str
    headers: dict[str, str]


class Connections:
    """As many connections as there are requests at a time: a cap would make runs wait."""

    def __init__(self) -> None:
        self._connector: aiohttp.TCPConnector | None = None
        self._target = lru_cache(maxsize=256)(_target)

    def request(
        self,
        endpoint: Endpoint,
        url: str,
        headers: dict[str, str],
        body: bytes | None = None,
        *,
        streams: bool = False,
    ) -> Exchange:
        """`async with` the response to one GET, or POST where there is a body; `headers` by names in lower case.

        Raises Transient and Terminal for all that can go wrong, also inside it. With `streams` the endpoint's
        patience measures silence, else the whole.
        """
        try:
            target = self._target(url)
            if "authorization" in target.headers and "authorization" in headers:
                raise ValueError("credentials in the URL, and a key")
        except ValueError as error:  # its text may quote a password
            raise Terminal(
                f"{subject(endpoint)}: no request can be made to {host(url) or 'its address'}; "
                "correct spec.parameters.baseURL",
                reason="InvalidRequest",
            ) from error
        if self._connector is None:
            self._connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        return Exchange(self._connector, endpoint, target, _encoded(target, headers, body), streams)

    async def close(self) -> None:
        """Closes every connection; a later request opens new ones."""
        connector, self._connector = self._connector, None
        self._target.cache_clear()
        if connector is not None:
            await connector.close()


class Exchange:
    """One request and its response, whose errors are told as what they mean for the endpoint."""

    def __init__(
        self, connector: aiohttp.TCPConnector, endpoint: Endpoint, target: _Target, sent: bytes, streams: bool
    ) -> None:
        self._connector, self._endpoint, self._target, self._sent = connector, endpoint, target, sent
        self._wait, self._streams = patience(endpoint), streams
        self._timer: asyncio.TimerHandle | None = None
        self._response: Response | None = None
        self._late = False

    async def __aenter__(self) -> Response:
        self._connection = await self._connected()
        try:
            self._response = await self._answered()
        except BaseException as error:
            self._still()
            self._connection.close()
            if told := self._told(error):
                raise told from error
            raise
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._still()
        self._connection.release()  # which closes one whose response was not read to its end
        if error is not None and (told := self._told(error)):
            raise told from error

    async def _connected(self) -> aiohttp.connector.Connection:
        seconds = min(self._wait, CONNECT_TIMEOUT)
        try:
            return await self._connector.connect(self._target.request, [], _connecting(seconds))
        except TimeoutError as error:
            raise unreachable(self._endpoint, TimeoutError(f"no connection within {seconds:g} s")) from error
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(self._endpoint, error) from error

    async def _answered(self) -> Response:
        """Sends the request in one piece and reads the head of the answer, past those that only announce it."""
        protocol = self._connection.protocol
        if protocol is None or protocol.transport is None:
            raise aiohttp.ServerDisconnectedError
        protocol.set_response_params(read_until_eof=True, read_timeout=self._wait if self._streams else None)
        if not self._streams:
            self._timer = asyncio.get_running_loop().call_later(self._wait, self._expire)
        protocol.transport.write(self._sent)
        protocol.start_timeout()
        while True:
            head, content = await protocol.read()
            if self._late:  # just as the head came
                raise TimeoutError
            if not 100 <= head.code < 200 or head.code == 101:
                return Response(head.code, head.headers, content)

    def _expire(self) -> None:
        """Whoever waits for the head or for more of the body is told at once."""
        self._late, late = True, TimeoutError()
        if (protocol := self._connection.protocol) is not None:
            protocol.set_exception(late)
        if self._response is not None:
            self._response.content.set_exception(late)

    def _still(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _told(self, error: BaseException) -> ProviderError | None:
        if isinstance(error, TimeoutError):
            return overdue(self._endpoint, self._wait)
        if isinstance(error, aiohttp.ClientError | OSError):
            return unreachable(self._endpoint, error)
        if isinstance(error, HttpProcessingError):
            return garbled(self._endpoint, "an answer that is not HTTP")
        return None


def _target(url: str) -> _Target:
    """Raises ValueError for what is no address."""
    request = aiohttp.ClientRequest(
        "GET", URL(url), headers={"User-Agent": USER_AGENT}, loop=asyncio.get_running_loop()
    )
    headers = {name.lower(): value for name, value in request.headers.items()}
    return _Target(request, request.url.raw_path_qs, headers)


def _encoded(target: _Target, headers: dict[str, str], body: bytes | None) -> bytes:
    named = {**target.headers, **headers}
    if body is not None:
        named["content-length"] = str(len(body))
    lines = [f"{name}: {value}\r\n" for name, value in named.items()]
    head = f"{'GET' if body is None else 'POST'} {target.path} HTTP/1.1\r\n{''.join(lines)}\r\n"
    return head.encode() + (body or b"")


@lru_cache(maxsize=64)
def _connecting(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=seconds, sock_connect=seconds)


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
