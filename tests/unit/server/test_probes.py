"""Health and metrics over HTTP: who is answered what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest

from kubechain.errors import ApiError, Forbidden, SettingsError, Unauthorized
from kubechain.runtime.metrics import Family, Reading
from kubechain.server.probes import Probes, probing

SECONDS = 20.0
NUMBERS = [Reading(Family("up", "gauge", "Always 1."), {(): 1})]


class OneTokenOnly:
    """A gate that knows two tokens."""

    async def admit(self, token: str) -> None:
        if token == "weak":
            raise Forbidden("the holder of this token may not get /metrics")
        if token == "broken":
            raise ApiError("etcd is away")
        if token != "right":
            raise Unauthorized("Unauthorized")


@asynccontextmanager
async def asking(probes: Probes) -> AsyncIterator[aiohttp.ClientSession]:
    async with asyncio.timeout(SECONDS), probing(probes, "127.0.0.1", 0) as port:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield session


async def get(session: aiohttp.ClientSession, path: str, **headers: str) -> tuple[int, str]:
    async with session.get(path, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_it_is_alive_at_once_and_ready_when_nothing_is_waited_for() -> None:
    waiting = ["waiting for the first list of TaskRun", ""]
    async with asking(Probes(lambda: waiting[0], list)) as session:
        assert await get(session, "/healthz") == (200, "ok")
        assert await get(session, "/readyz") == (503, "not ready: waiting for the first list of TaskRun\n")
        del waiting[0]
        assert await get(session, "/readyz") == (200, "ok")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({}, 401),
        ({"Authorization": "Basic right"}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer weak"}, 403),
        ({"Authorization": "Bearer broken"}, 503),
        ({"Authorization": "Bearer right"}, 200),
    ],
)
async def test_metrics_are_shown_to_whom_the_gate_admits(sent: Mapping[str, str], code: int) -> None:
    async with asking(Probes(str, lambda: NUMBERS, OneTokenOnly())) as session:
        found, body = await get(session, "/metrics", **sent)
        assert found == code
        assert ("up 1.0" in body) == (code == 200)
        assert await get(session, "/healthz") == (200, "ok")


async def test_without_a_gate_anyone_reads_metrics_and_nobody_changes_anything() -> None:
    async with asking(Probes(str, lambda: NUMBERS)) as session:
        async with session.get("/metrics") as answer:
            assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert (await get(session, "/secrets"))[0] == 404
        async with session.post("/metrics") as answer:
            assert answer.status == 405


async def test_a_taken_port_is_told_in_a_sentence() -> None:
    async with probing(Probes(str, list), "127.0.0.1", 0) as port:
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}: .*in use"):
            async with probing(Probes(str, list), "127.0.0.1", port):
                pass
