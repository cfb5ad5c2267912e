"""One API server as a recorded request reaches it: any method, path, headers and body, and the whole answer.

Called by the player alone. It interprets nothing but the framing: lines of a watch, JSON where it is JSON.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from yarl import URL

SECONDS = 90.0
CLOSING = 5
"""Turns of the event loop in which the sockets of a closed session are closed too."""


@dataclass(frozen=True)
class Answer:
    """`body` is parsed JSON, a text, or the list of a watch's events."""

    code: int
    media: str
    warnings: list[str]
    body: Any


@dataclass(frozen=True)
class Server:
    """A server that trusts whoever speaks through this."""

    url: str
    session: aiohttp.ClientSession

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, until: str = ""
    ) -> Answer:
        """The answer, whatever its code; a watch ends with the first event of type `until`, or by itself."""
        url = URL(self.url + path, encoded=True)
        async with (
            asyncio.timeout(SECONDS),
            self.session.request(
                method, url, headers=headers, data=None if body is None else io.BytesIO(body)
            ) as got,
        ):
            watching = got.status == 200 and re.search(r"/watch/|[?&]watch=(?!false|0)", path)
            media = got.headers.get("Content-Type", "")
            content = await _events(got, until) if watching else _content(await got.read(), media)
            return Answer(got.status, media, got.headers.getall("Warning", []), content)


@asynccontextmanager
async def server(url: str, token: str, trust: ssl.SSLContext) -> AsyncIterator[Server]:
    """The server behind a URL, for the holder of a token."""
    connector = aiohttp.TCPConnector(ssl=trust)
    unsaid = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
    async with aiohttp.ClientSession(
        connector=connector, headers={"Authorization": f"Bearer {token}"}, skip_auto_headers=unsaid
    ) as session:
        yield Server(url, session)
    for _ in range(CLOSING):
        await asyncio.sleep(0)


@asynccontextmanager
async def server_of(kubeconfig: Path) -> AsyncIterator[Server]:
    """The server that a kubeconfig of one user and one cluster names."""
    config = json.loads(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
    async with server(cluster["server"], user["token"], ssl.create_default_context(cadata=ca)) as found:
        yield found


async def _events(got: aiohttp.ClientResponse, until: str) -> Any:
    events: list[Any] = []
    rest = b""
    async for chunk in got.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            events.append(json.loads(line))
            if until and events[-1]["type"] == until:
                if got.connection is not None and got.connection.transport is not None:
                    got.connection.transport.abort()  # a polite end would outlive the test
                return events
    if rest or any("object" not in event for event in events):  # one object after all
        return _content(rest) if rest else events[0]
    return events


def _content(body: bytes, media: str = "") -> Any:
    try:
        return yaml.safe_load(body) if media == "application/yaml" else json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
