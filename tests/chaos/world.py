"""One world from its beginning to its end: a real store, the real controllers, and everything around them faulty.

`run(seed)` gives what happened, for `judges` to look at. Processes are started, killed and started again over the
same store; the world ends when nothing more is to come, or at nightfall.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import structlog
from structlog.testing import capture_logs

from kubechain.controllers.assembly import Outside, workers
from kubechain.controllers.caches import caches
from kubechain.controllers.calls.executions import Executions
from kubechain.controllers.runs.checkpoints import Transcripts
from kubechain.providers.tools.table import runners
from kubechain.resources.builtin import EVENTS
from kubechain.resources.document import meta_of
from kubechain.resources.message import Message
from kubechain.resources.registry import OURS
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Bookmark, WatchOptions
from kubechain.runtime.recorder import EventRecorder
from kubechain.runtime.replicas.share import alone
from kubechain.runtime.worker import Worker
from kubechain.store.engine import Store
from tests.chaos.api import FaultyApi
from tests.chaos.clockwork import Inline, in_world
from tests.chaos.fate import Fate, Life
from tests.chaos.model import Author, FaultyModel, Journal
from tests.chaos.people import Decisions, People
from tests.chaos.scenario import ENDLESS, NAMESPACE, Scenario, scenario
from tests.chaos.tools import FaultyFunctions, FaultySessions, ToolJournal
from tests.chaos.weather import Weather, weather
from tests.chaos.wire import WiredModel, serving

EPOCH = datetime(2026, 1, 2, tzinfo=UTC)
NIGHTFALL, EARLY = 24 * 3600.0, 3600.0
"""Seconds after which a world that has not come to rest is judged as it is; early where it never will."""
REST = 900.0
"""Seconds of watching whether a world at rest stays so; longer than the longest backoff."""
DYING = 5.0


@dataclass
class Past:
    """Everything that is known about a world that has ended."""

    world: Scenario
    weather: Weather
    fate: Fate
    models: Journal = field(default_factory=Journal)
    tools: ToolJournal = field(default_factory=ToolJournal)
    decisions: Decisions = field(default_factory=Decisions)
    runs: list[TaskRun] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    transcripts: dict[str, list[Message]] = field(default_factory=dict)
    bugs: list[str] = field(default_factory=list)
    passes: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of every object of ours, by kind and name."""
    writes: int = 0
    """Revisions of the store, Events aside."""
    events: int = 0
    lives: int = 0
    seconds: float = 0.0
    """How long it took to come to rest, in the world's own time."""
    rested: bool = False
    stirred: list[str] = field(default_factory=list)
    """What happened while it was at rest."""


def run(seed: int, folder: Path | None = None) -> Past:
    """The world of a seed, from its beginning to its end."""
    with _folder(folder) as place, capture_logs() as logs:
        past = in_world(seed, lambda: _World(seed, place / f"{seed}.db").run())
    past.bugs += [str(line) for line in logs if _is_bug(line)]
    return past


def _is_bug(line: Any) -> bool:
    said = str(line.get("event", ""))
    return said.startswith(("bug", "a worker of the store", "object left out"))


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """On a file system in memory, where there is one."""
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=given or (memory if memory.is_dir() else None)) as made:
        yield Path(made)


class _Part(Protocol):
    async def run(self) -> None: ...


class _World:
    def __init__(self, seed: int, path: Path) -> None:
        world = scenario(seed)
        fate = Fate(world.ends)
        self._path = path
        self._past = Past(world, weather(seed, 1000.0, fate), fate)
        self._sessions: FaultySessions | None = None
        self._author = Author(world, self._past.weather, self._past.models)
        self._address = ""
        self._workers: tuple[Worker[Any], ...] = ()

    async def run(self) -> Past:
        structlog.contextvars.clear_contextvars()
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(
                Store.open(self._path, clock=_now, synchronous="OFF", thread=Inline())
            )
            if self._past.world.wire:
                self._address = await stack.enter_async_context(serving(self._author))
            people = People(store, self._past.world, self._new_tools)
            self._past.decisions = people.decisions
            background = [asyncio.create_task(people.run()), asyncio.create_task(self._lives(store))]
            try:
                await self._until_rest(store, background)
                await self._watch_over_rest(store)
            finally:
                for task in background:
                    task.cancel()
                await asyncio.gather(*background, return_exceptions=True)
            await self._look_back(store)
        return self._past

    def _new_tools(self, owner: str) -> None:
        if self._sessions is not None:
            self._sessions.on_change(owner)

    async def _lives(self, store: Store) -> None:
        """Starts the program, and again whenever it was killed or stands still."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._past.lives += 1
                life = Life(self._past.lives, self._past.fate)
                group.create_task(self._live(store, life))
                await life.gone.wait()
                await asyncio.sleep(self._past.weather.dice("restart").choice((0.0, 0.1, 5.0)))

    async def _live(self, store: Store, life: Life) -> None:
        """One life of the program; one that stood still goes on for a while, beside the next."""
        program = asyncio.create_task(self._program(store, life))
        ended = asyncio.create_task(life.gone.wait())
        loop = asyncio.get_running_loop()
        try:
            await asyncio.wait({program, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not life.over:
                awake = self._past.weather.dice("awake").choice((0.1, 5.0))
                await asyncio.wait({program}, timeout=max(0.0, life.wakes_at - loop.time()) + awake)
            if program.done():
                raise AssertionError("the program ended by itself") from program.exception()
        finally:
            life.over = True
            ended.cancel()
            program.cancel()
            done, _ = await asyncio.wait({program}, timeout=DYING)
            if not done:
                self._past.bugs.append("the program does not end when it is cancelled")

    async def _program(self, store: Store, life: Life) -> None:
        past = self._past
        given = (past.world, past.weather, life)
        api = FaultyApi(store, past.weather, life)
        self._sessions = sessions = FaultySessions(*given, past.tools)
        model = WiredModel(self._author, life) if self._address else FaultyModel(self._author, life)
        urls = {"openai": f"{self._address}/{life.number}/v1"} if self._address else {}
        outside = Outside(model, runners(FaultyFunctions(*given, past.tools), sessions), urls)
        events, informers = EventRecorder(api, "chaos", _now), caches(api)
        executions = Executions(alone())
        loops = workers(api, informers, outside, executions, events, _now)
        self._workers += loops
        parts: tuple[_Part, ...] = (*informers.all(), events, executions, *loops)
        try:
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(part.run())
        finally:
            await model.close()

    async def _until_rest(self, store: Store, background: list[asyncio.Task[None]]) -> None:
        """Returns when every run is finished or waits for people who will never come; fails what broke."""
        await asyncio.sleep(max((m.at for m in self._past.world.meddlings), default=0.0) + 15.0)
        rest = asyncio.create_task(self._rest(store))
        night = EARLY if self._past.world.doomed in ENDLESS else NIGHTFALL
        done, _ = await asyncio.wait({rest, *background}, timeout=night, return_when=asyncio.FIRST_COMPLETED)
        rest.cancel()
        self._past.rested = rest in done
        for task in done:
            task.result()
        self._past.seconds = asyncio.get_running_loop().time() - 1000.0

    async def _rest(self, store: Store) -> None:
        expected = {r.name for r in self._past.world.runs}
        runs: dict[str, TaskRun] = {}
        async with aclosing(store.watch(TASK_RUNS, NAMESPACE, WatchOptions(since="0"))) as stream:
            async for event in stream:
                if not isinstance(event, Bookmark):
                    runs[event.key.name] = event.object
                if expected == {name for name, r in runs.items() if r.status.finished}:
                    return
                if self._past.decisions.open and await self._only_open_questions(store, list(runs.values())):
                    return

    async def _only_open_questions(self, store: Store, runs: list[TaskRun]) -> bool:
        calls = (await store.list(TOOL_CALLS, NAMESPACE)).items
        unfinished = {c.metadata.name: c.spec.task_run for c in calls if not c.status.finished}
        stuck = {r.metadata.name for r in runs if not r.status.finished}
        everyone = len(runs) == len(self._past.world.runs)
        return everyone and unfinished.keys() <= self._past.decisions.open and stuck <= set(unfinished.values())

    async def _watch_over_rest(self, store: Store) -> None:
        """A world at rest asks nobody, runs nothing and writes nothing."""
        self._past.fate.ends = {}
        if not self._past.rested:
            return
        await asyncio.sleep(max(60.0, self._past.weather.clears - asyncio.get_running_loop().time()) + REST)
        before = await self._pulse(store)
        await asyncio.sleep(REST)
        after = await self._pulse(store)
        self._past.stirred = [f"{name}: {after[name] - n}" for name, n in before.items() if after[name] != n]

    async def _pulse(self, store: Store) -> dict[str, int]:
        newest = await store.list(TASK_RUNS.raw, NAMESPACE)
        return {
            "revisions": int(newest.resource_version),
            "asked": len(self._past.models.asked),
            "checks": len(self._past.models.checks),
            "ran": len(self._past.tools.ran),
            "lives": self._past.lives,
            "passes": sum(worker.passes for worker in self._workers),
        }

    async def _look_back(self, store: Store) -> None:
        past = self._past
        page = await store.list(TASK_RUNS, NAMESPACE)
        past.runs, past.calls = page.items, (await store.list(TOOL_CALLS, NAMESPACE)).items
        for task_run in past.runs:
            earlier = await Transcripts(store).before_window(task_run)
            past.transcripts[task_run.metadata.name] = [*earlier, *task_run.status.messages]
        for kind in OURS:
            for body in (await store.list(kind.raw, NAMESPACE)).items:
                past.sizes[f"{kind.plural}/{meta_of(body).name}"] = len(body)
        past.passes = sum(worker.passes for worker in self._workers)
        past.events = len((await store.list(EVENTS.raw)).items)
        past.writes = int(page.resource_version) - past.events


def _now() -> datetime:
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())
