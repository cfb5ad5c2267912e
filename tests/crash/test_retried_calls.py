"""A call that fails and is tried again, killed at every effect point: its starts are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kubechain.agents.call.outcome import Done
from kubechain.agents.ports.tool import ToolError, ToolRun
from kubechain.app.loops import control_loops
from kubechain.controllers.assembly import Outside
from kubechain.resources.tool import TOOLS, ToolRetries
from kubechain.resources.toolcall import ToolCall
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.chaos.clockwork import Inline
from tests.crash.points import Killed, Points, WatchedApi
from tests.story.asked import ask, ended_run
from tests.story.test_tool_semantics import Asks, GivenRunner, Outcome, calls, tool

pytestmark = pytest.mark.timeout(300)


class Twice(GivenRunner):
    """It fails once, then works. Its starts and ends are effect points."""

    def __init__(self) -> None:
        super().__init__(self._once)
        self.points = Points()
        self.failed = False

    def _once(self, run: ToolRun) -> Outcome:
        if self.failed:
            return Done("ok")
        self.failed = True
        return ToolError("503", trouble="ServerError")

    async def start(self, run: ToolRun) -> Done:
        async with self.points.effect("run"):
            done = await super().start(run)
        assert isinstance(done, Done)
        return done


async def life(store: Store, runner: Twice, model: Asks, kill_at: str = "") -> list[str]:
    """One life of the program, until the run has ended or it is killed; the effect points that it passed."""
    runner.points = points = Points(kill_at)
    try:
        async with asyncio.timeout(60), watched(store, runner, model, points):
            await ended_run(store)
    except* Killed:
        pass
    return points.passed


@asynccontextmanager
async def watched(store: Store, runner: Twice, model: Asks, points: Points) -> AsyncIterator[None]:
    api = WatchedApi(store, points, "default", "")
    async with control_loops(api, Outside(model, (runner,), {})):
        yield


async def story(kill_at: str = "") -> tuple[list[str], Twice, list[str], ToolCall]:
    """A run whose tool fails once; killed at that point, and continued."""
    runner, model = Twice(), Asks('{"n":1}')
    async with Store.open(None, clock=now, thread=Inline()) as store:
        await store.create(TOOLS, tool(retries=ToolRetries(max=3, backoff="1ms")))
        await ask(store, tool="it")
        passed = await life(store, runner, model, kill_at)
        if kill_at:
            await life(store, runner, model)
        [call] = await calls(store)
    return passed, runner, model.told, call


async def test_a_retried_call_killed_at_any_effect_point_succeeds_and_starts_at_most_once_more() -> None:
    passed, runner, told, call = await story()
    assert (len(runner.journal), told, call.status.attempts) == (2, ["ok"], 2)
    points = [p for p in passed if "ToolCall" in p or "run" in p.split()]
    assert len(points) >= 8, points
    for point in points:
        _, runner, told, call = await story(point)
        assert told == ["ok"] and call.status.phase == "Succeeded", point
        assert 1 <= len(runner.journal) <= 3, (point, runner.journal)
        assert call.status.retry is None, point
