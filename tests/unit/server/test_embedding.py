"""The HTTP server inside the program: at rest it never wakes, and its answers carry the time of their making."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest
from starlette.responses import PlainTextResponse

from kubechain.server.embedding import serving

pytestmark = pytest.mark.timeout(30)


async def test_answers_are_dated_when_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        serving(PlainTextResponse("here"), "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        dates = []
        for moment in (1_800_000_000.9, 1_800_000_001.1):
            with monkeypatch.context() as patch:
                patch.setattr(time, "time", lambda moment=moment: moment)
                async with session.get("/") as answer:
                    dates.append((await answer.text(), answer.headers.getall("date")))
    assert dates == [("here", [formatdate(second, usegmt=True)]) for second in (1_800_000_000, 1_800_000_001)]


async def test_a_server_without_requests_sets_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), list[float]()
    call_at = loop.call_at

    def counted(when: float, *args: Any, **named: Any) -> asyncio.TimerHandle:
        timers.append(when)
        return call_at(when, *args, **named)

    monkeypatch.setattr(loop, "call_at", counted)
    async with serving(PlainTextResponse("here"), "127.0.0.1", 0):
        for _ in range(50):
            await asyncio.sleep(0)
        assert not timers
