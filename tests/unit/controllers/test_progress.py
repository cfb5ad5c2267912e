"""Work that lasts is shown once, in the order in which it began; short work sets no timer of its own."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from kubechain.controllers.runs.asking import Lasting, Progress
from kubechain.errors import Conflict
from kubechain.resources.model import ObjectMeta
from kubechain.resources.task import Task, TaskSpec
from tests.unit.runtime.faketime import on_fake_time

pytestmark = pytest.mark.timeout(30)


def task(name: str) -> Task:
    return Task(metadata=ObjectMeta(name=name), spec=TaskSpec(agent="a", user_message="hello"))


class Work:
    """Slow things, and when each was shown."""

    def __init__(self) -> None:
        self.lasting = Lasting(after=1.0)
        self.shown: list[tuple[str, float]] = []
        self.begun = asyncio.get_running_loop().time()

    async def do(self, name: str, begin: float, seconds: float, error: Exception | None = None) -> Task | None:
        async def write() -> Task:
            self.shown.append((name, asyncio.get_running_loop().time() - self.begun))
            if error is not None:
                raise error
            return task(name)

        await asyncio.sleep(begin)
        async with Progress(self.lasting, write) as progress:
            await asyncio.sleep(seconds)
        return progress.shown


@on_fake_time
async def test_what_lasts_a_second_is_shown_once_and_what_does_not_is_not() -> None:
    work = Work()
    ends = await asyncio.gather(
        work.do("long", 0.0, 5.0),
        work.do("short", 0.2, 0.7),
        work.do("later", 0.5, 1.5),
        work.do("last", 3.0, 1.1),
    )
    assert work.shown == [("long", 1.0), ("later", 1.5), ("last", 4.0)]
    assert [end and end.metadata.name for end in ends] == ["long", None, "later", "last"]


@on_fake_time
async def test_a_refused_write_does_not_harm_the_work() -> None:
    work = Work()
    assert await work.do("long", 0.0, 3.0, Conflict("changed")) is None
    assert work.shown == [("long", 1.0)]


@on_fake_time
async def test_the_write_belongs_to_the_pass_that_it_is_about_whoever_set_the_timer() -> None:
    about: ContextVar[str] = ContextVar("about")
    lasting, told = Lasting(after=1.0), list[tuple[str, str]]()

    async def work(name: str) -> None:
        about.set(name)

        async def write() -> Task:
            told.append((name, about.get()))
            return task(name)

        async with Progress(lasting, write):
            await asyncio.sleep(2)

    await asyncio.gather(work("first"), work("second"))
    assert told == [("first", "first"), ("second", "second")]


@on_fake_time
async def test_many_short_things_share_one_timer_and_leave_none(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), list[asyncio.TimerHandle]()
    call_at = loop.call_at

    def counted(when: float, *args: Any, **named: Any) -> asyncio.TimerHandle:
        timers.append(call_at(when, *args, **named))
        return timers[-1]

    monkeypatch.setattr(loop, "call_at", counted)
    work = Work()

    async def nothing() -> Task:
        raise AssertionError("nothing lasts")

    for _ in range(100):
        async with Progress(work.lasting, nothing):
            await asyncio.sleep(0)
    assert len(timers) == 1
    monkeypatch.undo()
    await asyncio.sleep(1.5)
    assert work.lasting._timer is None
