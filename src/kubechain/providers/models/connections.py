"""The HTTP connections to model servers: one session for all of them, kept alive.

The adapters of this folder call it. It never retries, never follows a redirect (the key would go along), never
keeps a cookie, and reads proxy settings of the environment only when asked to.
"""

from __future__ import annotations

import io
from collections.abc import Coroutine
from functools import lru_cache
from types import TracebackType
from typing import Any

import aiohttp

from kubechain import __version__
from kubechain.agents.ports.model import Endpoint
from kubechain.errors import Terminal, Transient
from kubechain.providers.models.endpoints import CONNECT_TIMEOUT, host, patience, subject
from kubechain.providers.models.refusals import garbled, overdue, unreachable

LONGEST_BODY = 16 * 1024 * 1024
_LARGE = 1024 * 1024
USER_AGENT = f"kubechain/{__version__}"


class Connections:
    """`limit` caps open connections over all servers; 0, the default, is no cap: a cap would make runs wait."""

    def __init__(self, *, limit: int = 0, trust_env: bool = False) -> None:
        self.limit = limit
        self.trust_env = trust_env
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self.limit, limit_per_host=0, keepalive_timeout=30),
                trust_env=self.trust_env,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": USER_AGENT},
            )
        return self._session

    def request(
        self,
        endpoint: Endpoint,
        url: str,
        headers: dict[str, str],
        body: bytes | None = None,
        *,
        streams: bool = False,
    ) -> Exchange:
        """`async with` the response to one GET, or POST where there is a body.

        Raises Transient and Terminal for all that can go wrong, also inside it. With `streams` the endpoint's
        patience measures silence, else the whole.
        """
        wait = patience(endpoint)
        return Exchange(endpoint, wait, self._sent(endpoint, url, headers, body, _timeout(wait, streams)))

    async def _sent(
        self,
        endpoint: Endpoint,
        url: str,
        headers: dict[str, str],
        body: bytes | None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        try:
            return await self._open().request(
                "GET" if body is None else "POST",
                url,
                data=io.BytesIO(body) if body is not None and len(body) > _LARGE else body,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            )
        except (
            ValueError
        ) as error:  # an address or a header that aiohttp cannot use; its text may quote a password
            raise Terminal(
                f"{subject(endpoint)}: no request can be made to {host(url) or 'its address'}; "
                "correct spec.parameters.baseURL",
                reason="InvalidRequest",
            ) from error

    async def close(self) -> None:
        """Closes every connection; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class Exchange:
    """One request and its response, whose errors are told as what they mean for the endpoint."""

    def __init__(self, endpoint: Endpoint, wait: float, sent: Coroutine[Any, Any, aiohttp.ClientResponse]) -> None:
        self._endpoint, self._wait, self._sent = endpoint, wait, sent

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            self._response = await self._sent
        except (aiohttp.ClientError, OSError) as error:
            raise self._told(error) from error
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._response.__aexit__(kind, error, trace)
        except (aiohttp.ClientError, OSError) as late:
            error = late
        if isinstance(error, aiohttp.ClientError | OSError):
            raise self._told(error) from error

    def _told(self, error: Exception) -> Transient:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return unreachable(self._endpoint, TimeoutError(f"no connection within {CONNECT_TIMEOUT:g} s"))
        if isinstance(error, TimeoutError):
            return overdue(self._endpoint, self._wait)
        return unreachable(self._endpoint, error)


@lru_cache(maxsize=64)
def _timeout(wait: float, streams: bool) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None if streams else wait,
        sock_read=wait if streams else None,
        connect=CONNECT_TIMEOUT,
        sock_connect=CONNECT_TIMEOUT,
    )


async def whole(endpoint: Endpoint, response: aiohttp.ClientResponse) -> bytes:
    """The body, of at most LONGEST_BODY bytes."""
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > LONGEST_BODY:
            raise garbled(endpoint, f"more than {LONGEST_BODY} bytes")
    return b"".join(pieces)
