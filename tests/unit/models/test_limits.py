"""How many requests go out at once: the limit of an LLM, and servers that break off one answer for the next."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.errors import Transient
from kubechain.providers.models.limits import AT_A_TIME, Limited, Server
from kubechain.resources.llm import RateLimit
from kubechain.resources.message import Message
from tests.unit.models.world import endpoint, user

pytestmark = pytest.mark.timeout(30)
URL = "http://127.0.0.1:9/v1"


class Slow:
    """A ModelProvider that answers when it is told to, by the text of the last message."""

    def __init__(self) -> None:
        self.open: dict[str, asyncio.Future[Reply]] = {}
        self.changed = asyncio.Event()

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        name = messages[-1].content or ""
        self.open[name] = asyncio.get_running_loop().create_future()
        try:
            return await self.open[name]
        finally:
            del self.open[name]

    async def check(self, endpoint: Endpoint) -> str:
        return "ok"

    async def close(self) -> None:
        return None

    def answer(self, name: str) -> None:
        self.open[name].set_result(Reply(Message(role="assistant", content=name)))

    def fail(self, name: str, reason: str) -> None:
        self.open[name].set_exception(Transient("broke off", reason=reason))


class Clock:
    def __init__(self) -> None:
        self.now = 1.0

    def __call__(self) -> float:
        return self.now


def limited(most: int | None) -> Endpoint:
    found = endpoint(URL)
    spec = msgspec.structs.replace(found.llm.spec, rate_limit=RateLimit(max_concurrent=most))
    return replace(found, llm=msgspec.structs.replace(found.llm, spec=spec))


async def settle() -> None:
    """Lets every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


class Asked:
    """Requests by name, begun in order."""

    def __init__(self, models: Limited, at: Endpoint) -> None:
        self.models, self.at = models, at
        self.tasks: dict[str, asyncio.Task[Reply]] = {}

    async def begin(self, *names: str) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self.models.ask(self.at, [user(name)], []))
        await settle()

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def test_requests_beyond_the_limit_wait_in_order() -> None:
    slow = Slow()
    models = Limited(slow)
    asked = Asked(models, limited(2))
    await asked.begin("a", "b", "c", "d")
    assert list(slow.open) == ["a", "b"]
    assert models.line(limited(2)) == " (one of 4 requests, 2 at a time: spec.rateLimit.maxConcurrent)"
    assert list(models.waiting()) == [("default/gpt-4o", 2)]
    slow.answer("b")
    await settle()
    assert list(slow.open) == ["a", "c"]
    slow.fail("a", "Unavailable")
    await settle()
    assert list(slow.open) == ["c", "d"]
    assert (await asked.tasks["b"]).message.content == "b"
    assert models.line(limited(2)) == ""
    await asked.end()
    assert list(models.waiting()) == []


async def test_whoever_is_cancelled_leaves_the_line_or_its_place() -> None:
    slow = Slow()
    asked = Asked(Limited(slow), limited(1))
    await asked.begin("a", "b", "c")
    slow.answer("a")
    asked.tasks["b"].cancel()  # the line moves before b has left it
    await settle()
    assert list(slow.open) == ["c"]
    asked.tasks["c"].cancel()
    await settle()
    assert slow.open == {}
    await asked.end()
    assert [name for name, task in asked.tasks.items() if task.cancelled()] == ["b", "c"]


@pytest.mark.parametrize("moment", range(5))
async def test_whoever_is_cancelled_as_it_is_let_in_keeps_nobody_out(moment: int) -> None:
    slow = Slow()
    asked = Asked(Limited(slow), limited(1))
    await asked.begin("a", "b", "c")
    slow.answer("a")
    for _ in range(moment):
        await asyncio.sleep(0)
    asked.tasks["b"].cancel()
    await settle()
    assert list(slow.open) == ["c"]
    await asked.end()


async def test_a_limit_that_is_raised_or_taken_away_lets_others_in() -> None:
    slow = Slow()
    models = Limited(slow)
    asked = Asked(models, limited(1))
    await asked.begin("a", "b", "c")
    asked.at = limited(3)
    await asked.begin("d")
    assert list(slow.open) == ["a", "b", "c"]
    asked.at = endpoint(URL)
    await asked.begin("e")
    assert list(slow.open) == ["a", "b", "c", "e"]
    await asked.end()


async def test_without_a_limit_all_go_out_at_once() -> None:
    slow = Slow()
    asked = Asked(Limited(slow), endpoint(URL))
    names = [str(i) for i in range(200)]
    await asked.begin(*names)
    assert list(slow.open) == names
    await asked.end()


@pytest.mark.parametrize("reason", ["Interrupted", "UnreadableReply"])
async def test_a_server_that_breaks_off_one_answer_for_the_next_is_asked_one_at_a_time(reason: str) -> None:
    slow, clock = Slow(), Clock()
    models = Limited(slow, clock)
    asked = Asked(models, endpoint(URL))
    await asked.begin("a", "b", "c")
    slow.fail("a", reason)
    await settle()
    slow.fail("b", reason)
    await settle()
    await asked.begin("a2", "d")
    assert list(slow.open) == ["c"]
    assert "2 at a time" not in models.line(endpoint(URL))
    assert "one of 3 requests, 1 at a time" in models.line(endpoint(URL))
    slow.answer("c")
    await settle()
    assert list(slow.open) == ["a2"]
    slow.answer("a2")
    await settle()
    assert list(slow.open) == ["d"]
    clock.now += AT_A_TIME + 1
    await asked.begin("e", "f")
    assert list(slow.open) == ["d", "e", "f"]
    await asked.end()


def broken(server: Server, *numbers: int) -> bool:
    for number in numbers:
        server.ended(number, "Interrupted")
    return server.one_at_a_time


def test_a_server_that_fell_is_not_taken_for_one_that_chooses() -> None:
    server = Server(Clock())
    assert broken(server, *[server.begun() for _ in range(5)]) is False
    alone = server.begun()
    assert broken(server, alone) is False
    older, newer = server.begun(), server.begun()
    assert broken(server, newer) is False
    assert broken(server, older) is False
    assert broken(server, *[server.begun() for _ in range(3)][:1]) is False


def test_a_server_that_finishes_older_answers_beside_newer_ones_serves_several() -> None:
    clock = Clock()
    server = Server(clock)
    begun = [server.begun() for _ in range(10)]
    for number in begun[:3]:
        clock.now += 0.1
        server.ended(number, "")
    assert broken(server, *begun[3:9]) is False


def test_one_answer_that_breaks_here_and_there_proves_nothing() -> None:
    clock = Clock()
    server = Server(clock)
    for _ in range(2):
        first, second, third, fourth = (server.begun() for _ in range(4))
        assert broken(server, first) is False
        clock.now += 0.1
        for number in (second, third, fourth):
            server.ended(number, "")


def test_a_server_that_is_quick_has_proved_nothing() -> None:
    server = Server(Clock())
    first, second, third, fourth = (server.begun() for _ in range(4))
    server.ended(first, "")
    assert broken(server, second, third) is True
    server.ended(fourth, "")
    assert server.one_at_a_time
