"""Events: told without waiting, written once, in an order that can be read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from structlog.testing import capture_logs

from kubechain.errors import InternalError
from kubechain.resources.builtin import EVENTS, Event
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.runtime.recorder import EventRecorder
from tests.unit.runtime.faketime import on_fake_time, settle, within
from tests.unit.runtime.world import MemoryApi, run


@dataclass
class Clock:
    moment: datetime = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


def subject(name: str = "r", uid: str = "u1") -> TaskRun:
    obj = run(name)
    obj.metadata.uid = uid
    return obj


@asynccontextmanager
async def recording(api: MemoryApi, clock: Clock, capacity: int = 100) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(api, "taskrun-controller", clock, instance="host-1", capacity=capacity)
    task = asyncio.create_task(recorder.run())
    await settle()
    yield recorder
    task.cancel()
    await asyncio.wait([task])


def written(api: MemoryApi) -> list[Event]:
    return sorted((e for (of, _), e in api.objects.items() if of == EVENTS.key), key=lambda e: e.event_time or "")


@on_fake_time
async def test_an_event_carries_everything_that_kubernetes_asks_for() -> None:
    api = MemoryApi()
    async with recording(api, Clock()) as recorder:
        recorder.warning(TASK_RUNS, subject(), "RateLimited", "Slow down.", action="AskModel")
        await within(1, recorder.flush())
    [event] = written(api)
    assert event.event_time == "2026-01-02T03:04:05.000678Z"
    assert (event.metadata.namespace, event.metadata.name) == ("default", f"r.{1767323045000678000:x}")
    assert (event.type, event.reason, event.note, event.action) == (
        "Warning", "RateLimited", "Slow down.", "AskModel",
    )  # fmt: skip
    assert event.reporting_controller == "kubechain.humanlayer.dev/taskrun-controller"
    assert event.reporting_instance == "host-1"
    about = event.regarding
    assert (about.api_version, about.kind, about.namespace, about.name, about.uid) == (
        "kubechain.humanlayer.dev/v1alpha1", "TaskRun", "default", "r", "u1",
    )  # fmt: skip


@on_fake_time
async def test_what_was_told_lately_is_not_written_again_until_it_is_forgotten() -> None:
    api, clock = MemoryApi(), Clock()
    async with recording(api, clock) as recorder:
        for _ in range(3):
            recorder.warning(TASK_RUNS, subject(), "Asked", "Turn 1")
        recorder.warning(TASK_RUNS, subject(), "Asked", "Turn 2")
        recorder.warning(TASK_RUNS, subject(uid="u2"), "Asked", "Turn 1")
        await within(1, recorder.flush())
        assert [e.note for e in written(api)] == ["Turn 1", "Turn 2", "Turn 1"]
        clock.moment += timedelta(minutes=11)
        recorder.warning(TASK_RUNS, subject(), "Asked", "Turn 1")
        await within(1, recorder.flush())
        assert len(written(api)) == 4


@on_fake_time
async def test_what_an_object_does_again_and_again_is_one_event_a_second_with_a_count() -> None:
    api, clock = MemoryApi(), Clock()
    async with recording(api, clock) as recorder:
        for n in range(1, 41):
            clock.moment += timedelta(seconds=0.1)
            recorder.normal(TASK_RUNS, subject(), "Asked", f"Turn {n}")
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
    events = written(api)
    assert sum(event.series.count if event.series else 1 for event in events) == 40
    assert 4 <= len(events) <= 6
    assert events[0].note == "Turn 1" and events[-1].note == "Turn 40"
    assert events[-1].series is not None and events[-1].series.last_observed_time > (events[-1].event_time or "")


@on_fake_time
async def test_something_new_about_an_object_takes_along_what_still_waits() -> None:
    api = MemoryApi()
    async with recording(api, Clock()) as recorder:
        for n in range(3):
            recorder.normal(TASK_RUNS, subject(), "Asked", f"Turn {n}")
            recorder.normal(TASK_RUNS, subject("other", uid="u2"), "Asked", f"Turn {n}")
            await asyncio.sleep(0.2)
        assert [event.note for event in written(api)] == ["Turn 0", "Turn 0"]
        recorder.normal(TASK_RUNS, subject(), "Answered", "Done.")
        await asyncio.sleep(0.2)
        about = [event.note for event in written(api) if event.regarding.name == "r"]
        assert about == ["Turn 0", "Turn 2", "Done."]
        assert len(written(api)) == 4


@on_fake_time
async def test_the_first_event_of_a_reason_that_recurs_waits_for_others_for_at_most_a_second() -> None:
    api = MemoryApi()
    async with recording(api, Clock()) as recorder:
        for n in range(3):
            recorder.normal(TASK_RUNS, subject(), "Asked", f"Turn {n}", recurs=True)
            await asyncio.sleep(0.2)
        assert written(api) == []
        await asyncio.sleep(1)
        (event,) = written(api)
        assert event.note == "Turn 2" and event.series is not None and event.series.count == 3
        recorder.normal(TASK_RUNS, subject(), "Asked", "Turn 3", recurs=True)
        recorder.normal(TASK_RUNS, subject(), "Answered", "Done.")
        await asyncio.sleep(0.2)
        assert [event.note for event in written(api)] == ["Turn 2", "Turn 3", "Done."]


@on_fake_time
async def test_times_and_names_tell_the_order_even_when_the_clock_stands_still() -> None:
    api = MemoryApi()
    async with recording(api, Clock()) as recorder:
        for n in range(20):
            recorder.warning(TASK_RUNS, subject(), "Step", f"step {n}")
        await within(1, recorder.flush())
    assert [e.note for e in written(api)] == [f"step {n}" for n in range(20)]
    assert [e.note for e in sorted(written(api), key=lambda e: e.metadata.name)] == [
        f"step {n}" for n in range(20)
    ]


@on_fake_time
async def test_what_the_queue_cannot_hold_is_dropped_and_counted_and_nobody_waits() -> None:
    recorder = EventRecorder(MemoryApi(), "c", Clock(), capacity=3)
    for n in range(5):
        recorder.warning(TASK_RUNS, subject(), "Step", f"step {n}")
    await settle()
    assert recorder.dropped == 2


@on_fake_time
async def test_a_dropped_event_can_be_told_again() -> None:
    api = MemoryApi()
    async with recording(api, Clock(), capacity=1) as recorder:
        recorder.warning(TASK_RUNS, subject(), "Step", "first")
        recorder.warning(TASK_RUNS, subject(), "Step", "second")
        await within(1, recorder.flush())
        recorder.warning(TASK_RUNS, subject(), "Step", "second")
        await within(1, recorder.flush())
    assert [e.note for e in written(api)] == ["first", "second"]


@on_fake_time
async def test_an_api_that_refuses_costs_the_event_and_nothing_else() -> None:
    api = MemoryApi(refusals=[InternalError("disk full"), ConnectionResetError("reset")])
    with capture_logs() as logs:
        async with recording(api, Clock()) as recorder:
            for n in range(3):
                recorder.warning(TASK_RUNS, subject(), "Step", f"step {n}")
            await within(1, recorder.flush())
            assert recorder.lost == 2
    assert len(written(api)) == 1
    assert [entry["error"] for entry in logs] == ["disk full", "reset"]


@on_fake_time
async def test_long_notes_and_names_are_cut_to_what_kubernetes_takes() -> None:
    api = MemoryApi()
    async with recording(api, Clock()) as recorder:
        recorder.warning(TASK_RUNS, subject("a" * 235 + "." + "b" * 17), "Step", "é" * 600)
        recorder.warning(TASK_RUNS, subject(), "Step", "x" * 1024)
        await within(1, recorder.flush())
    long, fits = written(api)
    assert len(long.note.encode()) <= 1024
    assert long.note.startswith("é" * 500) and long.note.endswith("é…")
    assert fits.note == "x" * 1024
    assert len(long.metadata.name) <= 253
    assert re.fullmatch(r"a+\.[0-9a-f]+", long.metadata.name)
