"""The model of a world: says what the scenario wrote, fails as the weather says, keeps a journal.

Every reply is one of a kind (its number is in its text, its call ids and its token counts), so that each message
of a transcript can be traced to the one reply it was paid for with. One journal per world.
`FaultyModel` is the port `ModelProvider` of one life; `wire` has another that goes through real HTTP.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from kubechain.agents.builtin.read_result import READ_RESULT
from kubechain.agents.ports.model import Endpoint, Progress, Reply, TokenCount, ToolOffer
from kubechain.errors import Terminal, Transient
from kubechain.resources.message import FunctionCall, Message, RequestedCall
from tests.chaos.fate import Life
from tests.chaos.scenario import CallPlan, Scenario, TurnPlan
from tests.chaos.weather import Weather

TIMEOUT = 90.0
_DOOMS = {"model down": "500", "model busy": "429 later", "model refuses": "400", "mute model": "empty"}
_CUT = re.compile(f'{READ_RESULT}: handle "(.+?)", offset ([0-9]+)')
Ending = Literal["cut off", "reply", "empty", "transient", "terminal"]


@dataclass
class Asked:
    """One call of the model: `number` counts over the world; `later` seconds is what a 429 asked for."""

    number: int
    run: str
    life: int
    at: float
    given: list[Message]
    ending: Ending = "cut off"
    later: float = 0.0
    reply: Reply | None = None
    usage: TokenCount = field(default_factory=TokenCount)


@dataclass
class Journal:
    """What the model was asked, in order, and how often LLMs were checked."""

    asked: list[Asked] = field(default_factory=list)
    checks: list[float] = field(default_factory=list)

    def of(self, run: str) -> list[Asked]:
        return [a for a in self.asked if a.run == run]


@dataclass
class Author:
    """Knows what the model says next, and what goes wrong instead."""

    world: Scenario
    weather: Weather
    journal: Journal

    def asked(self, life: int, given: Sequence[Message]) -> Asked:
        """A call of the model has arrived: into the journal."""
        run = next(m.content or "" for m in reversed(given) if m.role == "user")
        now = asyncio.get_running_loop().time()
        asked = Asked(len(self.journal.asked) + 1, run, life, now, list(given))
        self.journal.asked.append(asked)
        return asked

    async def think(self) -> None:
        await asyncio.sleep(self.weather.dice("thinking").choice((0.0, 0.0, 0.05, 0.6, 3.0)))

    def trouble(self) -> str:
        """What goes wrong with this call; "" when nothing does."""
        if doom := _DOOMS.get(self.world.doomed):
            return doom
        if not self.weather.strikes("model"):
            return ""
        dice = self.weather.dice("trouble")
        what = dice.choice(("429", "429 later", "500", "timeout", "cut", "garbage", "empty", "400"))
        if what == "400" and dice.random() < 0.8:
            what = "500"
        self.weather.injected(f"model: {what}")
        return what

    def later(self) -> float:
        """Seconds of a Retry-After."""
        return 0.0 if self.world.doomed else self.weather.dice("trouble").choice((0.0, 2.0, 30.0))

    def reply(self, asked: Asked, *, empty: bool) -> Reply:
        """The reply, from now on handed out."""
        number = asked.number
        usage = TokenCount(input=number, output=1_000_000 + number)
        asked.usage = usage
        if empty:
            asked.ending = "empty"
            return Reply(Message(role="assistant", content=None), usage, "stop")
        turn = self._reading_on(asked) or self._planned(asked)
        text = f"reply {number} {'x' * turn.size}" if turn.size or not turn.calls else None
        calls = [
            RequestedCall(
                id=_id(number, position, turn), function=FunctionCall(name=c.tool, arguments=c.arguments)
            )
            for position, c in enumerate(turn.calls)
        ]
        message = Message(role="assistant", content=text, tool_calls=calls)
        asked.ending, asked.reply = "reply", Reply(message, usage, "tool_calls" if calls else "stop")
        return asked.reply

    def _planned(self, asked: Asked) -> TurnPlan:
        done = sum(m.role == "assistant" and not _reads(m) for m in asked.given)
        return self.world.run(asked.run).turns[done]

    def _reading_on(self, asked: Asked) -> TurnPlan | None:
        """Now and then the model wants to see more of a result that was cut."""
        last = asked.given[-1]
        found = _CUT.search(last.content or "") if last.role == "tool" else None
        if found is None or self.weather.dice("curiosity").random() < 0.6:
            return None
        arguments = f'{{"handle": "{found[1]}", "offset": {found[2]}}}'
        return TurnPlan(0, (CallPlan(READ_RESULT, arguments),))


class FaultyModel:
    """The port itself, with no wire."""

    def __init__(self, author: Author, life: Life) -> None:
        self._author, self._life = author, life

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        await self._life.cross("ask")
        asked = self._author.asked(self._life.number, messages)
        await self._author.think()
        what = self._author.trouble()
        try:
            await self._fail(asked, what)
        except Transient:
            asked.ending = "transient"
            raise
        except Terminal:
            asked.ending = "terminal"
            raise
        reply = self._author.reply(asked, empty=what == "empty")
        await self._life.cross("replied")
        return reply

    async def _fail(self, asked: Asked, what: str) -> None:
        match what:
            case "429":
                raise Transient("429: slow down")
            case "429 later":
                asked.later = self._author.later()
                raise Transient(f"429: slow down, come back in {asked.later:g} s", retry_after=asked.later)
            case "500":
                raise Transient("503: overloaded")
            case "timeout":
                await asyncio.sleep(TIMEOUT)
                raise Transient("no reply within 90 s", reason="Timeout")
            case "cut":
                raise Transient("the connection was cut in the middle of the reply")
            case "garbage":
                raise Transient("the reply cannot be decoded")
            case "400":
                raise Terminal("400: unsupported parameter; change the LLM", reason="InvalidRequest")

    async def check(self, endpoint: Endpoint) -> str:
        await self._life.cross("check")
        self._author.journal.checks.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)
        if self._author.weather.strikes("model"):
            self._author.weather.injected("model: check failed")
            raise Transient("503: the model is away")
        return "key accepted"

    async def close(self) -> None:
        return


def _reads(message: Message) -> bool:
    return any(c.function.name == READ_RESULT for c in message.tool_calls)


def _id(number: int, position: int, turn: TurnPlan) -> str:
    return f"call-{number}" if turn.same_ids else f"call-{number}-{position}"
