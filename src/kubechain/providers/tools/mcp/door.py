"""HTTP requests to one MCP server, with the headers and credentials of its manifest.

The exchanges over HTTP send through it. A token that the server refuses is asked for once more. It never retries
otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from yarl import URL

from kubechain.errors import Terminal
from kubechain.providers.tools.mcp.server import ServerAddress
from kubechain.providers.web.requests import Limits, Request
from kubechain.providers.web.tokens import Tokens
from kubechain.providers.web.web import Answer, Web

FIELD = "spec"


class Door:
    """`url` is the server's address."""

    def __init__(self, web: Web, tokens: Tokens, address: ServerAddress) -> None:
        self.url = _url(address.url)
        self._web = web
        self._tokens = tokens
        self._address = address
        self._limits = Limits(FIELD, address.allow_private)

    @asynccontextmanager
    async def send(
        self, method: str, headers: Mapping[str, str], body: bytes | None = None, url: URL | None = None
    ) -> AsyncIterator[Answer]:
        """`async with` the answer. Raises Terminal, and Transient: Unreachable where nothing was sent."""
        client = self._address.client
        if client is None:
            async with self._web.send(self._request(method, headers, body, url, ""), self._limits) as answer:
                yield answer
            return
        token = await self._tokens.of(client, self._limits)
        async with self._web.send(self._request(method, headers, body, url, token), self._limits) as answer:
            if answer.status != 401:
                yield answer
                return
        self._tokens.drop(client, self._limits, token)
        token = await self._tokens.of(client, self._limits)
        async with self._web.send(self._request(method, headers, body, url, token), self._limits) as answer:
            yield answer

    def _request(
        self, method: str, headers: Mapping[str, str], body: bytes | None, url: URL | None, token: str
    ) -> Request:
        private = dict(self._address.headers)
        if token:
            private["authorization"] = f"Bearer {token}"
        return Request(method, url or self.url, headers, private, body)


def _url(text: str) -> URL:
    try:
        return URL(text)
    except ValueError as error:
        raise Terminal("has an address that cannot be called; correct spec.url", reason="InvalidURL") from error
