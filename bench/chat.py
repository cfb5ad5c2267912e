"""The model client of the floor and of the peers: aiohttp, one POST, the reply's message as a dictionary.

The cheapest client that is in common use, so that what is measured is the engine around it.
"""

from __future__ import annotations

from typing import Any

import aiohttp

from bench.job import TOOLS


class Chat:
    """Any number of calls at a time to one model server."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/v1/chat/completions"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Chat:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=600)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def closed(self) -> bool:
        """Whether it is not open yet, or no more."""
        return self._session is None

    async def ask(
        self, messages: list[dict[str, Any]], model: str, tools: list[dict[str, Any]] = TOOLS
    ) -> dict[str, Any]:
        """The assistant's message."""
        assert self._session is not None
        body = {"model": model, "messages": messages, "tools": tools}
        async with self._session.post(self.url, json=body, headers={"authorization": "Bearer none"}) as answer:
            answer.raise_for_status()
            message: dict[str, Any] = (await answer.json())["choices"][0]["message"]
            return message
