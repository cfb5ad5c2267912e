"""A pause that a server asked for holds further requests of the same account, and no others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kubechain.agents.ports.model import PAUSED, Endpoint, Progress, Reply, ToolOffer
from kubechain.errors import ProviderError, Terminal, Transient
from kubechain.providers.models.limits import LONGEST_PAUSE, Limited
from kubechain.resources.message import Message
from tests.unit.models.world import endpoint, user

URL = "http://127.0.0.1:9/v1"
BUSY = Transient("slow down", reason="RateLimited", retry_after=20.0)


class Busy:
    """A ModelProvider that fails as it is told to; it counts what reaches it."""

    def __init__(self, *errors: ProviderError) -> None:
        self.errors = list(errors)
        self.asked = 0

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return Reply(Message(role="assistant", content="hi"))

    async def check(self, endpoint: Endpoint) -> str:
        return "ok"

    async def close(self) -> None:
        return None


class World:
    def __init__(self, *errors: ProviderError) -> None:
        self.now = 1.0
        self.model = Busy(*errors)
        self.limited = Limited(self.model, lambda: self.now)

    async def ask(self, at: Endpoint) -> ProviderError | None:
        try:
            await self.limited.ask(at, [user("hi")], [])
        except ProviderError as error:
            return error
        return None


async def test_others_are_held_until_the_pause_is_over() -> None:
    world = World(BUSY)
    assert await world.ask(endpoint(URL)) is BUSY
    world.now += 15.0
    held = await world.ask(endpoint(URL, name="the-same-under-another-name", model="gpt-4o"))
    assert isinstance(held, Transient)
    assert (held.reason, held.retry_after, world.model.asked) == (PAUSED, 5.0, 1)
    assert await world.limited.check(endpoint(URL)) == "ok"
    world.now += 5.0
    assert await world.ask(endpoint(URL)) is None


@pytest.mark.parametrize(
    "other",
    [
        endpoint("http://127.0.0.1:10/v1"),
        endpoint(URL, name="other"),
        endpoint(URL, key="sk-another-key-0123456789"),
    ],
)
async def test_another_server_model_or_key_is_not_held(other: Endpoint) -> None:
    world = World(BUSY)
    await world.ask(endpoint(URL))
    assert await world.ask(other) is None


async def test_others_are_held_for_a_minute_at_most() -> None:
    world = World(Transient("no credit", reason="QuotaExceeded", retry_after=86_400.0))
    await world.ask(endpoint(URL))
    held = await world.ask(endpoint(URL))
    assert isinstance(held, Transient) and held.retry_after == LONGEST_PAUSE
    world.now += LONGEST_PAUSE
    assert await world.ask(endpoint(URL)) is None


@pytest.mark.parametrize(
    "error",
    [
        Transient("no route", reason="Unreachable"),
        Transient("at once", reason="RateLimited", retry_after=0.0),
        Terminal("bad key", reason="Unauthorized"),
    ],
)
async def test_an_error_without_a_time_holds_nobody(error: ProviderError) -> None:
    world = World(error)
    await world.ask(endpoint(URL))
    assert await world.ask(endpoint(URL)) is None
