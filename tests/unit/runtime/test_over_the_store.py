"""The runtime over the embedded store: real time, real history, real events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from msgspec.structs import replace

from kubechain.resources.builtin import EVENTS
from kubechain.resources.kind import Kind, owner_uids
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Api
from kubechain.runtime.clock import now
from kubechain.runtime.controller import After, Done, Next
from kubechain.runtime.informer import Informer
from kubechain.runtime.queue import wrote
from kubechain.runtime.recorder import EventRecorder
from kubechain.runtime.wakes import owned
from kubechain.runtime.worker import Worker
from kubechain.store.engine import Store
from tests.unit.runtime.world import call, run

TURNS = 3
RUNS = 20


@dataclass
class Counting:
    """Each pass writes one turn; after the last it makes a child; when the child is there it finishes."""

    api: Api
    runs: Informer[TaskRun]
    calls: Informer[ToolCall]
    events: EventRecorder
    kind: Kind[TaskRun] = TASK_RUNS
    open: set[str] = field(default_factory=lambda: {f"r{n}" for n in range(RUNS)})
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    async def gone(self, last: TaskRun) -> None:
        return None

    async def reconcile(self, obj: TaskRun) -> Next:
        name = obj.metadata.name
        if obj.status.finished:
            self.open.discard(name)
            if not self.open:
                self.finished.set()
        elif obj.status.turns < TURNS:
            await self.write(obj, replace(obj.status, turns=obj.status.turns + 1))
            return After(0)
        elif self.calls.by("owner", obj.metadata.uid):
            await self.write(obj, replace(obj.status, phase="FinalAnswer"))
            self.events.normal(TASK_RUNS, obj, "Finished", f"{name} is done")
            return After(0)
        else:
            self.calls.remember(await self.api.create(TOOL_CALLS, call(f"{name}-c", obj)))
        return Done()

    async def write(self, obj: TaskRun, status: object) -> None:
        written = await self.api.put_status(TASK_RUNS, replace(obj, status=status))
        wrote(written)
        self.runs.remember(written)


async def test_runs_walk_to_their_end_in_one_pass_per_step_and_none_is_stale() -> None:
    async with Store.open(None, clock=now) as api:
        for n in range(RUNS):
            await api.create(TASK_RUNS, run(f"r{n}"))
        runs, calls = Informer(api, TASK_RUNS, page=7), Informer(api, TOOL_CALLS)
        calls.index("owner", owner_uids)
        events = EventRecorder(api, "test", now)
        controller = Counting(api, runs, calls, events)
        worker = Worker(controller, runs, [owned(calls, runs)], events=events)
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(part.run()) for part in (runs, calls, events, worker)]
            async with asyncio.timeout(20):
                await controller.finished.wait()
                await events.flush()
            for part in parts:
                part.cancel()
        # Three turns, the child, the end, and the look that finds nothing to do. A stale one would conflict.
        assert worker.passes == RUNS * (TURNS + 3)
        notes = [event.note for event in (await api.list(EVENTS, "default")).items]
        assert sorted(notes) == sorted(f"r{n} is done" for n in range(RUNS))
