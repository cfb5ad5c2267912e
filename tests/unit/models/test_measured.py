"""Calls to models are counted as they ended, and nothing else about them changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from kubechain.agents.ports.model import Endpoint, Progress, Reply, TokenCount, ToolOffer
from kubechain.errors import Transient
from kubechain.providers.models.router import Measured
from kubechain.resources.llm import LLM, LLMSpec
from kubechain.resources.message import Message
from kubechain.resources.model import ObjectMeta

ENDPOINT = Endpoint(LLM(metadata=ObjectMeta(name="gpt", namespace="team-a"), spec=LLMSpec(provider="openai")))


class Told:
    """A provider that says what it is told, and takes a second for it."""

    def __init__(self, *outcomes: Reply | BaseException) -> None:
        self._outcomes = list(outcomes)
        self.time = 0.0

    def monotonic(self) -> float:
        return self.time

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        self.time += 1.0
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def check(self, endpoint: Endpoint) -> str:
        return "accepted"

    async def close(self) -> None:
        pass


async def test_replies_failures_and_cut_off_calls_are_told_apart() -> None:
    hello = Reply(Message(role="assistant", content="hello"), TokenCount(input=7, output=2, cached=5))
    blank = Reply(Message(role="assistant", content=" "))
    busy = Transient("too many requests", reason="RateLimited")
    told = Told(hello, blank, busy, asyncio.CancelledError(), ValueError("a bug"))
    models = Measured(told, told.monotonic)
    assert await models.ask(ENDPOINT, [], []) is hello
    assert await models.ask(ENDPOINT, [], []) is blank
    for error in (Transient, asyncio.CancelledError, ValueError):
        with pytest.raises(error):
            await models.ask(ENDPOINT, [], [])
    outcomes = {"ok": 2, "RateLimited": 1, "cancelled": 1, "ValueError": 1}
    assert models.calls == {("team-a", "openai", outcome): count for outcome, count in outcomes.items()}
    assert models.turns == {("team-a", "openai"): 1}
    assert models.tokens == {
        ("team-a", "openai", name): n for name, n in (("input", 7), ("output", 2), ("cached", 5))
    }
    assert sum(models.seconds["openai",].counts) == models.seconds["openai",].sum == 5
    assert await models.check(ENDPOINT) == "accepted"
