"""Plays deliveries: the adapters ask a server that answers as a seed says, and the reply goes back as history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec

from kubechain.agents.ports.model import Endpoint
from kubechain.errors import Terminal, Transient
from kubechain.providers.models.router import Models
from kubechain.resources.message import Message
from tests.fuzz.models.delivery import Delivery, deliver
from tests.fuzz.models.intent import Intent
from tests.fuzz.models.judge import error_wrong, reply_wrong
from tests.fuzz.models.server import Server
from tests.unit.models.world import ECHO, endpoint, result, user

PATIENCE = {"late": "500ms"}
"""How long a model may be silent, by fault, where a delivery is silent; else 60ms."""
LONGEST = 20.0
"""Seconds within which every request ends, on the busiest machine."""
LAST = Delivery("openai", False, Intent("", (), "", "stop"), status=503)


class Player:
    """One server and one set of adapters for many seeds."""

    def __init__(self, server: Server, models: Models) -> None:
        self._server, self._models = server, models

    async def play(self, seed: int) -> list[str]:
        """What is wrong with the seed."""
        delivery = deliver(seed)
        self._server.answer, name = delivery, f"seed-{seed}"
        waits = delivery.end in ("silence", "comments")
        at = endpoint(
            self._server.url(name),
            provider=delivery.wire,
            stream=delivery.streams,
            timeout=PATIENCE.get(delivery.fault, "60ms") if waits else "20s",
        )
        wrong: list[str] = []
        message: Message | None = None
        try:
            async with asyncio.timeout(LONGEST):
                reply = await self._models.ask(at, [user("x")], [ECHO])
        except (Transient, Terminal) as error:
            wrong += error_wrong(delivery, error)
        except TimeoutError:
            wrong.append(f"no end within {LONGEST:g} s")
        except Exception as error:  # a bug: what a fuzzer is for
            wrong.append(f"{type(error).__name__}: {error}")
        else:
            wrong += reply_wrong(delivery, reply, at.llm)
            message = reply.message
        if (times := self._server.asked[name]) > 1:
            wrong.append(f"asked {times} times for one reply")
        return wrong if message is None else wrong + await self._goes_back(at, message)

    async def _goes_back(self, at: Endpoint, message: Message) -> list[str]:
        """The reply as history: the next request is JSON, and each result names its call."""
        self._server.answer = LAST
        told = [user("x"), message, *(result(call.id, "y") for call in message.tool_calls), user("z")]
        try:
            await self._models.ask(at, told, [ECHO])
        except Transient:
            pass
        except Exception as error:
            return [f"as history: {type(error).__name__}: {error}"]
        try:
            msgspec.json.decode(self._server.last)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return [f"as history: no JSON is sent ({error})"]
        return []


@asynccontextmanager
async def player() -> AsyncIterator[Player]:
    """A server that listens, and adapters that are closed in the end."""
    models = Models()
    try:
        async with Server() as server:
            yield Player(server, models)
    finally:
        await models.close()


async def played(seeds: Iterable[int]) -> dict[int, list[str]]:
    """The seeds that came out wrong."""
    async with player() as one:
        return {seed: wrong for seed in seeds if (wrong := await one.play(seed))}
