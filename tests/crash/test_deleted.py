"""A run, or a tool, deleted at every effect point of a story: nothing begun for it goes on or stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from structlog.testing import capture_logs

from kubechain.app.loops import ControlLoops
from kubechain.errors import NotFound
from kubechain.resources.segment import TRANSCRIPT_SEGMENTS
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.resources.tool import TOOLS
from kubechain.resources.toolcall import TOOL_CALLS
from kubechain.resources.toolresult import TOOL_RESULTS
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.crash.outside import InProcess, Journal
from tests.crash.points import Points
from tests.crash.stories import RUN, STORIES, CrashStory
from tests.crash.world import Stage, World
from tests.story.asked import none_left

pytestmark = pytest.mark.timeout(300)
SECONDS = 5.0
WITH_TOOLS = [story for story in STORIES if story.tools and not story.takes_long]
CHILDREN = (TOOL_CALLS, TRANSCRIPT_SEGMENTS, TOOL_RESULTS)


class DeedAt(Points):
    """Has something done at the chosen point, instead of killing the program there."""

    def __init__(self, at: str, deed: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._at, self._deed = at, deed
        self.deeds: list[asyncio.Task[object]] = []

    def reach(self, label: str) -> None:
        super().reach(label)
        if self.passed[-1] == self._at:
            self.deeds.append(asyncio.get_running_loop().create_task(self._do()))

    async def _do(self) -> object:
        return await self._deed()


async def at_rest(points: Points, loops: ControlLoops) -> None:
    """Returns once no tool is at work and nothing more comes by itself; the disk may take its time."""
    async with asyncio.timeout(SECONDS):
        await points.quiet()
        while len(loops.executions):
            await points.quiet()


async def points_of(stage: Stage) -> list[str]:
    world = await stage.world()
    (clean,) = await world.play([])
    return clean.passed


async def nothing_left(world: World) -> None:
    """Returns once the run and all its children are gone."""
    store = world.stage.store
    for kind in CHILDREN:
        await none_left(store, kind, world.namespace)
    with pytest.raises(NotFound):
        await store.get(TASK_RUNS, RUN, world.namespace)


@pytest.mark.parametrize("story", [s for s in STORIES if not s.takes_long], ids=lambda story: story.name)
async def test_a_run_deleted_anywhere_leaves_nothing_at_work_and_nothing_behind(
    story: CrashStory, journal: Journal
) -> None:
    async with Store.open(None, clock=now) as store:
        stage = Stage(story, store, InProcess(story.script), journal, from_nothing=False)
        for point in await points_of(stage):
            world = await stage.world()
            points = DeedAt(point, partial(store.delete, TASK_RUNS, RUN, world.namespace))
            with capture_logs() as logged:
                async with stage.life(points, world.namespace, world.stamp) as loops:
                    await points.quiet()
                    if points.deeds:
                        async with asyncio.timeout(SECONDS):
                            await asyncio.gather(*points.deeds)
                            await nothing_left(world)
                        await at_rest(points, loops)
            assert not [line for line in logged if line["log_level"] == "error"], point


@pytest.mark.parametrize("story", WITH_TOOLS, ids=lambda story: story.name)
async def test_a_tool_deleted_anywhere_is_at_work_no_more_and_its_calls_say_what_they_wait_for(
    story: CrashStory, journal: Journal
) -> None:
    deleted = next(iter(story.tools))
    async with Store.open(None, clock=now) as store:
        stage = Stage(story, store, InProcess(story.script), journal, from_nothing=False)
        for point in await points_of(stage):
            world = await stage.world()
            points = DeedAt(point, partial(store.delete, TOOLS, deleted, world.namespace))
            async with stage.life(points, world.namespace, world.stamp) as loops:
                await points.quiet()
                await asyncio.gather(*points.deeds)
                await at_rest(points, loops)
            run, calls = await world.run(), await world.calls()
            open_calls = [call for call in calls if call.spec.tool == deleted and not call.status.finished]
            if points.deeds and not run.status.finished:
                assert run.status.waiting_on, point
                assert all(c.status.waiting_on or c.status.phase == "OutcomeUnknown" for c in open_calls), point
