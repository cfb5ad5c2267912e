"""One run of a story over several lives of the program, each killed at a chosen effect point but the last.

A world is a namespace of a store that outlives the program, whoever is outside, and an operator who does what the
program asks people to do. It notes what each kill cut off, so that the verdict knows what may have been repeated.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import msgspec

from kubechain.agents.run.transcript import result_message
from kubechain.app.loops import ControlLoops, control_loops
from kubechain.controllers import assembly
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.tools.table import runners
from kubechain.resources.builtin import NAMESPACES, Namespace
from kubechain.resources.json import JsonObject
from kubechain.resources.message import FunctionCall, RequestedCall
from kubechain.resources.model import ObjectMeta
from kubechain.resources.registry import OURS
from kubechain.resources.segment import TRANSCRIPT_SEGMENTS, TranscriptSegment
from kubechain.resources.task import TASKS
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.resources.toolresult import TOOL_RESULTS, ToolResult
from kubechain.runtime.api import Api, Change, WatchOptions
from tests.crash.outside import Journal, Outside
from tests.crash.points import (
    Killed,
    Points,
    WatchedApi,
    WatchedFunctions,
    WatchedModels,
    asking,
    running,
    stamp_of,
)
from tests.crash.stories import RUN, CrashStory

SECONDS = 300.0
GRACE = 3.0
"""Seconds without anything happening after which an unfinished run counts as stuck."""
KINDS = {kind.kind: kind.raw for kind in OURS}
_numbers = count(1)


@dataclass(frozen=True)
class Stage:
    """Where worlds are played: one story, one store, the same outside."""

    story: CrashStory
    store: Api
    outside: Outside
    journal: Journal
    from_nothing: bool = True
    """Whether the run is there before anything is ready, so that getting ready belongs to its story."""
    prefix: str = "world"

    async def world(self) -> World:
        """A new world in which the run has just been created."""
        namespace = f"{self.prefix}-{next(_numbers)}"
        await self.store.create(NAMESPACES, Namespace(metadata=ObjectMeta(name=namespace)))
        for manifest in self.story.manifests(self.outside.base_url, str(self.journal.path)):
            await self._create(manifest, namespace)
        if not self.from_nothing:
            points = Points()
            async with self.life(points, namespace, "-") as loops:
                await _filled(loops)
                await self._ready(namespace)
                await points.quiet()
        await self._create(self.story.run(), namespace)
        run = await self.store.get(TASK_RUNS, RUN, namespace)
        return World(self, namespace, stamp_of(run.metadata.uid))

    async def _ready(self, namespace: str) -> None:
        async with aclosing(self.store.watch(TASKS, namespace, WatchOptions())) as events:
            async for event in events:
                if isinstance(event, Change) and event.object.status.ready:
                    return

    async def _create(self, manifest: JsonObject, namespace: str) -> None:
        metadata: JsonObject = {"name": RUN, "namespace": namespace}
        given = manifest["metadata"]
        assert isinstance(given, dict)
        document = msgspec.json.encode({**manifest, "metadata": {**metadata, **given}})
        await self.store.create(KINDS[str(manifest["kind"])], document)

    @asynccontextmanager
    async def life(self, points: Points, namespace: str, stamp: str) -> AsyncIterator[ControlLoops]:
        """The program running in a namespace, until the block ends or it is killed at a point.

        That may be before its informers are filled: so it is the block that waits for them.
        """
        models, sessions = self.outside.models(), MCP()
        outside = assembly.Outside(
            WatchedModels(models, points),
            runners(WatchedFunctions(self.outside.functions, points), sessions),
            {},
        )
        try:
            async with asyncio.timeout(SECONDS):
                async with control_loops(WatchedApi(self.store, points, namespace, stamp), outside) as loops:
                    yield loops
        except* Killed:
            pass
        finally:
            await models.close()
            await sessions.close()


async def _filled(loops: ControlLoops) -> None:
    for informer in loops.caches.all():
        await informer.synced.wait()


@dataclass
class World:
    """What has happened so far, as it can be seen from outside."""

    stage: Stage
    namespace: str
    stamp: str
    asked: Counter[int] = field(default_factory=Counter)
    unsaved_replies: Counter[int] = field(default_factory=Counter)
    """By turn: kills after the question and before the checkpoint."""
    unsaved_results: Counter[str] = field(default_factory=Counter)
    """By tool: kills after the start and before the result was saved."""
    cut_off: set[str] = field(default_factory=set)
    """Tools whose call a kill left Running."""
    lost_track: set[str] = field(default_factory=set)
    leave: Counter[str] = field(default_factory=Counter)
    """By tool: how often the operator let it be repeated."""

    async def play(self, kills: Sequence[str]) -> list[Points]:
        """One life per kill, each killed there, and one that is left alone until the run is finished."""
        return [await self._live(kill_at) for kill_at in [*kills, ""]]

    async def _live(self, kill_at: str) -> Points:
        points = Points(kill_at)
        async with self.stage.life(points, self.namespace, self.stamp) as loops:
            await _filled(loops)
            await self._carry_on(points)
        await self._everything_on_disk()
        self.asked += self.stage.outside.asked()
        await self._take_note(points)
        return points

    async def _carry_on(self, points: Points) -> None:
        """Until the run is finished, with the operator's help where people are asked."""
        while True:
            await points.quiet()
            run = await self.run()
            if run.status.finished:
                return
            if not await self._operate(run, points):
                try:
                    await asyncio.wait_for(points.moved(), GRACE)
                except TimeoutError:
                    raise AssertionError(f"the run is stuck: {run.status}") from None

    async def _operate(self, run: TaskRun, points: Points) -> bool:
        """Looks after calls that wait for a person: supplies what is missing, repeats what has not happened."""
        answers = [(call, answer) for call in await self.calls() if (answer := self._answer(call)) is not None]
        if answers:
            assert "tool:" in run.status.waiting_on
            points.reach(f"waiting for {', '.join(call.spec.tool for call, _ in answers)}")
        for call, answer in answers:
            if answer["phase"] == "Pending":
                self.leave[call.spec.tool] += 1
            name = call.metadata.name
            await self.stage.store.patch(TOOL_CALLS, name, self.namespace, {"status": answer}, status=True)
        return bool(answers)

    def _answer(self, call: ToolCall) -> JsonObject | None:
        tool, phase = call.spec.tool, call.status.phase
        if phase == "OutcomeUnknown":
            self.lost_track.add(tool)
            happened = self.stage.journal.times(call.metadata.uid) > 0
            return {"phase": "Succeeded", "result": f"noted {tool}"} if happened else {"phase": "Pending"}
        if phase == "Running" and "external" in self.stage.story.tools[tool]:
            return {"phase": "Succeeded", "result": "all fine"}
        return None

    async def _everything_on_disk(self) -> None:
        """Writes that were decided when the program was killed have landed after this one."""
        merge: JsonObject = {"metadata": {"annotations": {"killed": str(next(_numbers))}}}
        await self.stage.store.patch(NAMESPACES, self.namespace, "", merge)

    async def _take_note(self, points: Points) -> None:
        """What the end of this life cut off."""
        begun = {p.removeprefix("before ").partition(" #")[0] for p in points.passed if p != points.kill_at}
        turn = (await self.run()).status.turns
        self.unsaved_replies[turn] += asking(turn) in begun
        for call in await self.calls():
            tool = call.spec.tool
            if not call.status.finished and "external" not in self.stage.story.tools[tool]:
                self.unsaved_results[tool] += running(tool) in begun
                if call.status.phase == "Running":
                    self.cut_off.add(tool)

    async def run(self) -> TaskRun:
        return await self.stage.store.get(TASK_RUNS, RUN, self.namespace)

    async def calls(self) -> list[ToolCall]:
        return (await self.stage.store.list(TOOL_CALLS, self.namespace)).items

    async def end(self) -> JsonObject:
        """The run's status and its children, without what differs from world to world: times and fingerprints."""
        run, calls = await self.run(), await self.calls()
        segments = (await self.stage.store.list(TRANSCRIPT_SEGMENTS, self.namespace)).items
        results = (await self.stage.store.list(TOOL_RESULTS, self.namespace)).items
        children: list[ToolCall | TranscriptSegment | ToolResult] = [*calls, *segments, *results]
        names = {s.metadata.name: f"{RUN}-segment-from-{s.spec.first}" for s in segments}
        plain: JsonObject = {
            "status": msgspec.to_builtins(run.status),
            "children": {c.metadata.name: msgspec.to_builtins(c.spec) for c in children},
            "calls": {c.metadata.name: [c.status.phase, result_message(_ASKED, c).content] for c in calls},
        }
        text = msgspec.json.encode(_timeless(plain)).decode()
        for name, stable in names.items():
            text = text.replace(name, stable)
        ended: JsonObject = msgspec.json.decode(text.replace(self.stamp, ""))
        return ended


_VARYING = frozenset({"startTime", "completionTime", "lastTransitionTime", "uid"})
_ASKED = RequestedCall(id="", function=FunctionCall(name=""))


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {name: _timeless(inner) for name, inner in value.items() if name not in _VARYING}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value
