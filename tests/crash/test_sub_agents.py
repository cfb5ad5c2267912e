"""A tree of runs killed, and deleted, at every effect point of parent and child.

`-s` prints how many points and seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from functools import partial

import pytest
from structlog.testing import capture_logs

from kubechain.resources.taskrun import TASK_RUNS
from kubechain.resources.toolcall import TOOL_CALLS
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.chaos.clockwork import Inline
from tests.crash.points import Points
from tests.crash.stories import RUN
from tests.crash.test_deleted import DeedAt
from tests.crash.test_effect_points import _is_a_fault
from tests.crash.tree import WIDTH, Tree
from tests.story.asked import none_left

pytestmark = pytest.mark.timeout(600)
RUNS = 1 + WIDTH + WIDTH * WIDTH
ANSWER = "book: chapter 3: section 3.3."
SECONDS = 20.0


async def live(tree: Tree, kill_at: str = "") -> Points:
    """One life, until nothing more comes by itself."""
    points = Points(kill_at)
    async with asyncio.timeout(SECONDS), tree.life(points):
        await points.quiet()
    return points


async def judge(tree: Tree, begun_twice: set[str]) -> None:
    """Every run is there once and has answered; what was asked twice is what the kill cut off."""
    runs, calls = await tree.runs(), await tree.calls()
    assert len(runs) == RUNS
    assert runs[RUN].status.output == ANSWER
    assert {run.status.phase for run in runs.values()} == {"FinalAnswer"}
    assert {run.status.depth for run in runs.values()} == {0, 1, 2}
    assert len(calls) == RUNS - 1
    assert {call.status.phase for call in calls} == {"Succeeded"}
    assert {call.status.external.id for call in calls if call.status.external} == runs.keys() - {RUN}
    assert {label for label, times in tree.asked.items() if times != 1} == begun_twice
    assert max(tree.asked.values()) <= 2


async def unsaved(tree: Tree) -> set[str]:
    """The questions that were asked in the life that ended, and whose answers no run has."""
    turns = {run.spec.user_message: run.status.turns for run in (await tree.runs()).values()}
    asked = [(label, *label.removeprefix("ask ").split(" turn ")) for label in tree.asked]
    return {label for label, question, turn in asked if int(turn) >= turns[question]}


async def test_the_call_of_a_sub_agent_costs_one_write_more_than_another_and_those_of_its_own_run() -> None:
    async with Store.open(None, clock=now, thread=Inline()) as store:
        passed = (await live(await Tree.plant(store))).passed
    verbs = Counter(" ".join(label.split()[1:3]) for label in passed if label.startswith("after "))
    asked = verbs.pop("ask book") + verbs.pop("ask chapter") + verbs.pop("ask section")
    assert asked == 2 + 2 * WIDTH + WIDTH * WIDTH
    assert verbs == Counter(
        {
            "ensure ToolCall": RUNS - 1,
            "ensure TaskRun": RUNS - 1,
            "put_status ToolCall": 2 * (RUNS - 1),  # AwaitingSubAgent, and its result
            "put_status TaskRun": asked,  # the checkpoints
        }
    )


async def test_a_tree_killed_at_any_effect_point_ends_as_if_nothing_had_happened() -> None:
    started, missed = time.perf_counter(), 0
    async with Store.open(None, clock=now, thread=Inline()) as store:
        with capture_logs() as logged:
            tree = await Tree.plant(store)
            clean = await live(tree)
            await judge(tree, set())
            assert len(set(clean.passed)) == len(clean.passed)
            for point in clean.passed:
                tree = await Tree.plant(store)
                killed = await live(tree, point)
                missed += not killed.dead
                cut_off = await unsaved(tree)
                await live(tree)
                await judge(tree, cut_off)
        assert not [line for line in logged if _is_a_fault(line)]
    assert missed <= 1 + len(clean.passed) // 100, "points must come again"
    print(f"\n{len(clean.passed)} points, {missed} missed, {time.perf_counter() - started:.1f} s")


async def test_a_tree_deleted_anywhere_leaves_nothing_at_work_and_nothing_behind() -> None:
    started = time.perf_counter()
    async with Store.open(None, clock=now, thread=Inline()) as store:
        tree = await Tree.plant(store)
        passed = (await live(tree)).passed
        for point in passed:
            tree = await Tree.plant(store)
            points = DeedAt(point, partial(store.delete, TASK_RUNS, RUN, tree.namespace))
            with capture_logs() as logged:
                async with asyncio.timeout(SECONDS), tree.life(points) as loops:
                    await points.quiet()
                    await asyncio.gather(*points.deeds)
                    if points.deeds:
                        for kind in (TASK_RUNS, TOOL_CALLS):
                            await none_left(store, kind, tree.namespace)
                    await points.quiet()
                    assert not len(loops.executions), point
            assert not [line for line in logged if line["log_level"] == "error"], point
    print(f"\n{len(passed)} points, {time.perf_counter() - started:.1f} s")
