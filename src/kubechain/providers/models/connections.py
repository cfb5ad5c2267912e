"""The HTTP connections to model servers: one session for all of them, kept alive.

The adapters of this folder call it. It never retries, never follows a redirect (the key would go along), never
keeps a cookie, and reads proxy settings of the environment only when asked to.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache

import aiohttp

from kubechain import __version__
from kubechain.agents.ports.model import Endpoint
from kubechain.errors import Terminal
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

    @asynccontextmanager
    async def request(
        self,
        endpoint: Endpoint,
        url: str,
        headers: dict[str, str],
        body: bytes | None = None,
        *,
        streams: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One GET, or POST where there is a body. Raises Transient and Terminal for all that can go wrong,
        also inside the `async with`. With `streams` the endpoint's patience measures silence, else the whole."""
        wait = patience(endpoint)
        try:
            async with await self._sent(endpoint, url, headers, body, _timeout(wait, streams)) as response:
                yield response
        except aiohttp.ConnectionTimeoutError as error:
            raise unreachable(endpoint, TimeoutError(f"no connection within {CONNECT_TIMEOUT:g} s")) from error
        except TimeoutError as error:
            raise overdue(endpoint, wait) from error
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(endpoint, error) from error

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
