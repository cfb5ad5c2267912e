"""The worker on fake time: who is looked at when, and what follows from a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from kubechain.errors import Conflict, Terminal, Transient
from kubechain.resources.builtin import EVENTS
from kubechain.resources.kind import Kind
from kubechain.resources.task import TASKS
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS
from kubechain.runtime.api import Key
from kubechain.runtime.controller import After, Done, Next
from kubechain.runtime.informer import Informer
from kubechain.runtime.queue import wrote
from kubechain.runtime.recorder import EventRecorder
from kubechain.runtime.replicas.share import Ownership, Sharing
from kubechain.runtime.wakes import Wake, local, owned, referred
from kubechain.runtime.worker import BURST, Worker
from tests.unit.runtime.faketime import on_fake_time, settle
from tests.unit.runtime.world import MemoryApi, call, finished, run, task

Answer = Next | Exception | Callable[[TaskRun], Awaitable[Next]]


@dataclass
class Scripted:
    """Gives its answers one after the other, then Done; writes down when it was asked about what."""

    answers: list[Answer] = field(default_factory=list)
    asked: list[tuple[float, str]] = field(default_factory=list)
    inside: int = 0
    most: int = 0
    kind: Kind[TaskRun] = TASK_RUNS
    ended: list[str] = field(default_factory=list)
    """The uids of those that are gone."""
    farewell: Callable[[TaskRun], Awaitable[None]] | None = None

    async def gone(self, last: TaskRun) -> None:
        self.ended.append(last.metadata.uid)
        if self.farewell is not None:
            await self.farewell(last)

    async def reconcile(self, obj: TaskRun) -> Next:
        self.asked.append((round(asyncio.get_running_loop().time() - 1000, 3), obj.metadata.name))
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            answer = self.answers.pop(0) if self.answers else Done()
            match answer:
                case Done() | After():
                    return answer
                case Exception():
                    raise answer
                case _:
                    return await answer(obj)
        finally:
            self.inside -= 1

    @property
    def times(self) -> list[float]:
        return [when for when, _ in self.asked]

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.asked]


@dataclass
class World:
    api: MemoryApi
    controller: Scripted
    runs: Informer[TaskRun]
    worker: Worker[TaskRun]
    working: asyncio.Task[None]
    events: EventRecorder

    def told(self) -> list[str]:
        found = [e for (of, _), e in self.api.objects.items() if of == EVENTS.key]
        return [f"{e.reason}: {e.note}" for e in sorted(found, key=lambda e: e.event_time)]


@asynccontextmanager
async def world(
    *answers: Answer,
    runs: int = 1,
    limit: int = 1000,
    chance: float = 1.0,
    sharing: Sharing[TaskRun] | None = None,
) -> AsyncIterator[World]:
    """A worker over runs r0, r1, ... that wakes on their ToolCalls and Tasks, settled."""
    api = MemoryApi()
    for n in range(runs):
        await api.create(TASK_RUNS, run(f"r{n}"))
    informer, calls, tasks = Informer(api, TASK_RUNS), Informer(api, TOOL_CALLS), Informer(api, TASKS)
    informer.index("task", lambda r: local(r, [r.spec.task]))
    events = EventRecorder(api, "test", lambda: datetime(2026, 1, 1, tzinfo=UTC))
    controller = Scripted(list(answers))
    wakes = (owned(calls, informer), referred(tasks, informer, "task"))
    worker = Worker(
        controller, informer, wakes, events=events, limit=limit, chance=lambda: chance, sharing=sharing
    )
    tasks_ = [asyncio.create_task(part.run()) for part in (informer, calls, tasks, events)]
    working = asyncio.create_task(worker.run())
    await settle()
    yield World(api, controller, informer, worker, working, events)
    for one in (working, *tasks_):
        one.cancel()
    await asyncio.wait([working, *tasks_])
    assert working.cancelled()


@on_fake_time
async def test_every_object_is_looked_at_once_at_the_start_and_again_on_change() -> None:
    async with world(runs=3) as w:
        assert sorted(w.controller.names) == ["r0", "r1", "r2"]
        await w.api.put_status(TASK_RUNS, finished(await w.api.get(TASK_RUNS, "r1", "default")))
        await asyncio.sleep(3600)
        assert w.controller.names[3:] == ["r1"]


@on_fake_time
async def test_thousands_that_are_due_at_once_are_begun_a_few_at_a_time() -> None:
    in_hand = []

    async def quick(_: TaskRun) -> Next:
        in_hand.append(len(asyncio.all_tasks()))
        return Done()

    async with world(*[quick] * 1000, runs=1000) as w:
        await asyncio.sleep(1)
        assert sorted(w.controller.names) == sorted(f"r{n}" for n in range(1000))
        assert max(in_hand) <= 2 * BURST + 10, "passes begun that wait for nothing but their turn"


@on_fake_time
async def test_after_means_again_at_that_time() -> None:
    async with world(After(30), After(60)) as w:
        await asyncio.sleep(3600)
        assert w.controller.times == [0, 30, 90]


@on_fake_time
async def test_a_change_before_that_time_wins() -> None:
    async with world(After(30)) as w:
        await asyncio.sleep(10)
        w.worker.wake(Key("default", "r0"))
        await asyncio.sleep(3600)
        assert w.controller.times == [0, 10]


@on_fake_time
async def test_a_child_and_a_dependency_wake_the_run() -> None:
    async with world() as w:
        await asyncio.sleep(1)
        await w.api.create(TOOL_CALLS, call("c", await w.api.get(TASK_RUNS, "r0", "default")))
        await asyncio.sleep(1)
        await w.api.create(TASKS, task("t"))
        await asyncio.sleep(1)
        await w.api.delete(TASKS, "t", "default")
        await asyncio.sleep(1)
        assert w.controller.times == [0, 1, 2, 3]


@on_fake_time
async def test_one_pass_per_key_at_a_time_and_a_change_during_it_leads_to_one_more() -> None:
    async def slow(_: TaskRun) -> Next:
        await asyncio.sleep(10)
        return Done()

    async with world(slow) as w:
        for _ in range(3):
            await asyncio.sleep(1)
            w.worker.wake(Key("default", "r0"))
        await asyncio.sleep(3600)
        assert w.controller.most == 1
        assert w.controller.times == [0, 10]


@on_fake_time
async def test_passes_wait_side_by_side_up_to_the_limit() -> None:
    async def slow(_: TaskRun) -> Next:
        await asyncio.sleep(10)
        return Done()

    async with world(*[slow] * 10, runs=10, limit=4) as w:
        await asyncio.sleep(3600)
        assert w.controller.most == 4
        assert w.controller.times == [0] * 4 + [10] * 4 + [20] * 2


@on_fake_time
async def test_a_remembered_write_is_seen_by_the_pass_that_it_wakes_though_the_watch_lags() -> None:
    phases: list[str | None] = []

    async with world() as w:

        async def write(obj: TaskRun) -> Next:
            phases.append(obj.status.phase)
            w.runs.remember(await w.api.put_status(TASK_RUNS, finished(obj)))
            return Done()

        async def look(obj: TaskRun) -> Next:
            phases.append(obj.status.phase)
            return Done()

        w.api.mute = True
        w.controller.answers = [write, look]
        w.worker.wake(Key("default", "r0"))
        await settle()
        assert phases == [None, "FinalAnswer"]
        w.api.unmute()
        await settle()
        assert len(phases) == 2


def _waiting(obj: TaskRun, on: str) -> TaskRun:
    return replace(obj, status=replace(obj.status, waiting_on=on))


@pytest.mark.parametrize("late", [False, True], ids=["the watch is first", "the answer is first"])
@on_fake_time
async def test_what_a_pass_wrote_itself_asks_for_no_other_pass_and_what_others_wrote_meanwhile_does(
    late: bool,
) -> None:
    async with world(Done()) as w:

        async def write(_: TaskRun) -> Next:
            held = await w.api.get(TASK_RUNS, "r0", "default")
            written = await w.api.put_status(TASK_RUNS, _waiting(held, str(len(w.controller.asked))))
            if not late:
                await settle()
            wrote(written)
            w.runs.remember(written)
            await settle()
            return Done()

        async def write_twice(obj: TaskRun) -> Next:
            await write(obj)
            return await write(obj)

        async def write_after_others_did(obj: TaskRun) -> Next:
            theirs = await w.api.put_status(TASK_RUNS, _waiting(obj, "other"))
            w.runs.remember(theirs)
            return await write(obj)

        async def write_before_others_do(obj: TaskRun) -> Next:
            await write(obj)
            await w.api.put_status(TASK_RUNS, _waiting(await w.api.get(TASK_RUNS, "r0", "default"), "other"))
            await settle()
            return Done()

        async def write_while_a_child_settles(obj: TaskRun) -> Next:
            await w.api.create(TOOL_CALLS, call(f"late-{late}", obj))
            return await write(obj)

        async def write_beside(obj: TaskRun) -> Next:
            return await asyncio.create_task(write(obj))

        async def write_and_ask_for_more(obj: TaskRun) -> Next:
            await write(obj)
            return After(0)

        async def write_and_fail(obj: TaskRun) -> Next:
            await write(obj)
            raise Terminal("no such model", reason="ModelNotFound")

        for answer, passes in (
            (write, 1),
            (write_twice, 1),
            (write_beside, 1),
            (write_after_others_did, 2),
            (write_before_others_do, 2),
            (write_while_a_child_settles, 2),
            (write_and_ask_for_more, 2),
            (write_and_fail, 1),
        ):
            begun = len(w.controller.asked)
            w.controller.answers = [answer]
            w.worker.wake(Key("default", "r0"))
            await asyncio.sleep(3600)
            assert len(w.controller.asked) - begun == passes, answer.__name__


@on_fake_time
async def test_what_the_pass_over_another_object_wrote_is_news_like_any_other() -> None:
    async with world(runs=2) as w:

        async def slow(_: TaskRun) -> Next:
            await asyncio.sleep(10)
            return Done()

        async def meddle(_: TaskRun) -> Next:
            written = await w.api.put_status(
                TASK_RUNS, _waiting(await w.api.get(TASK_RUNS, "r0", "default"), "meddling")
            )
            wrote(written)
            w.runs.remember(written)
            return Done()

        w.controller.answers = [slow, meddle]
        begun = len(w.controller.asked)
        w.worker.wake(Key("default", "r0"))
        w.worker.wake(Key("default", "r1"))
        await asyncio.sleep(3600)
        assert w.controller.names[begun:] == ["r0", "r1", "r0"]


@on_fake_time
async def test_a_conflict_is_repeated_at_once_and_a_persistent_one_with_backoff() -> None:
    with capture_logs() as logs:
        async with world(*[Conflict("modified")] * 7) as w:
            await asyncio.sleep(3600)
            assert w.controller.times == [0] * 6 + [1, 3]
            assert w.told() == []
    assert [entry["log_level"] for entry in logs] == ["warning"]


@on_fake_time
async def test_the_change_that_resolves_a_conflict_ends_its_backoff() -> None:
    async with world(*[Conflict("modified")] * 8) as w:
        await asyncio.sleep(2)
        assert w.controller.times == [0] * 6 + [1]
        await w.api.put_status(TASK_RUNS, finished(await w.api.get(TASK_RUNS, "r0", "default")))
        await settle()
        assert w.controller.times[-1] == 2


@on_fake_time
async def test_a_transient_failure_backs_off_and_is_told_once_per_message() -> None:
    answers = [Transient("503", reason="Unavailable")] * 3 + [Transient("504", reason="Unavailable")]
    async with world(*answers) as w:
        await asyncio.sleep(3600)
        assert w.controller.times == [0, 1, 3, 7, 15]
        assert w.told() == ["Unavailable: 503", "Unavailable: 504"]


@on_fake_time
async def test_a_time_named_by_the_other_side_is_kept() -> None:
    async with world(Transient("429", retry_after=20), chance=0.0) as w:
        await asyncio.sleep(3600)
        assert w.controller.times == [0, 20]


@on_fake_time
async def test_the_status_of_a_dependency_cuts_no_wait_short() -> None:
    async with world(chance=0.0) as w:
        of = await w.api.create(TASKS, task("t"))
        await settle()
        w.controller.answers = [Transient("429", retry_after=20)]
        w.worker.wake(Key("default", "r0"))
        await asyncio.sleep(5)
        await w.api.put_status(TASKS, of)
        await asyncio.sleep(20)
        assert w.controller.times == [0, 0, 0, 20]


@on_fake_time
async def test_the_status_of_a_dependency_ends_a_wait_that_has_no_end() -> None:
    async with world() as w:
        of = await w.api.create(TASKS, task("t"))
        await settle()
        w.controller.answers = [Terminal("no such model", reason="ModelNotFound")]
        w.worker.wake(Key("default", "r0"))
        await asyncio.sleep(5)
        await w.api.put_status(TASKS, of)
        await asyncio.sleep(20)
        assert w.controller.times == [0, 0, 0, 5]


@on_fake_time
async def test_success_forgets_earlier_failures() -> None:
    async with world(Transient("x"), Transient("x"), After(10), Transient("x")) as w:
        await asyncio.sleep(3600)
        assert w.controller.times == [0, 1, 3, 13, 14]


@on_fake_time
async def test_a_status_written_by_a_failing_pass_does_not_wake_its_own_retry() -> None:
    async with world() as w:

        async def complain(obj: TaskRun) -> Next:
            w.runs.remember(await w.api.put_status(TASK_RUNS, finished(obj)))
            raise Transient("429", retry_after=20)

        w.controller.answers = [complain, complain]
        await asyncio.sleep(1)
        w.worker.wake(Key("default", "r0"))
        await asyncio.sleep(3600)
        assert w.controller.times == [0, 1, 23, 45]


@on_fake_time
async def test_a_late_event_of_a_failing_status_write_does_not_wake_its_retry_either() -> None:
    async with world(Transient("429", retry_after=20), chance=0.0) as w:
        await asyncio.sleep(5)
        await w.api.put_status(TASK_RUNS, finished(await w.api.get(TASK_RUNS, "r0", "default")))
        await asyncio.sleep(3600)
        assert w.controller.times == [0, 20]


@on_fake_time
async def test_a_new_spec_or_a_changed_dependency_ends_the_wait() -> None:
    async with world(*[Transient("429", retry_after=1000)] * 3) as w:
        await asyncio.sleep(5)
        await w.api.put(TASK_RUNS, await w.api.get(TASK_RUNS, "r0", "default"))
        await asyncio.sleep(5)
        await w.api.create(TASKS, task("t"))
        await settle()
        assert w.controller.times == [0, 5, 10]


@on_fake_time
async def test_a_new_spec_that_arrives_during_the_failing_pass_is_acted_on_at_once() -> None:
    async def fail_late(_: TaskRun) -> Next:
        await asyncio.sleep(10)
        raise Transient("429", retry_after=1000)

    async with world(fail_late) as w:
        await asyncio.sleep(5)
        await w.api.put(TASK_RUNS, await w.api.get(TASK_RUNS, "r0", "default"))
        await asyncio.sleep(100)
        assert w.controller.times == [0, 10]


@on_fake_time
async def test_a_terminal_failure_is_told_and_not_tried_again_before_something_changes() -> None:
    async with world(Terminal("no such model", reason="ModelNotFound")) as w:
        await w.api.put_status(TASK_RUNS, finished(await w.api.get(TASK_RUNS, "r0", "default")))
        await asyncio.sleep(86_400)
        assert w.controller.times == [0]
        assert w.told() == ["ModelNotFound: no such model"]
        await w.api.put(TASK_RUNS, await w.api.get(TASK_RUNS, "r0", "default"))
        await settle()
        assert w.controller.times == [0, 86_400]


@on_fake_time
async def test_a_new_object_of_the_same_name_is_looked_at_even_when_the_deletion_was_never_seen() -> None:
    async with world(Terminal("no such model", reason="ModelNotFound")) as w:
        w.api.mute = True
        await w.api.delete(TASK_RUNS, "r0", "default")
        await w.api.create(TASK_RUNS, run("r0"))
        w.api.lose_history()
        w.api.unmute()
        await asyncio.sleep(10)
        assert w.controller.names == ["r0", "r0"]


@on_fake_time
async def test_a_bug_backs_off_and_is_logged_with_its_traceback_once_per_message() -> None:
    with capture_logs() as logs:
        async with world(*[ZeroDivisionError("oops")] * 3, KeyError("other")) as w:
            await asyncio.sleep(3600)
            assert w.controller.times == [0, 1, 3, 7, 15]
            assert w.told() == []
    assert [repr(entry["exc_info"]) for entry in logs] == ["ZeroDivisionError('oops')", "KeyError('other')"]
    assert {(entry["kind"], entry["key"]) for entry in logs} == {("TaskRun", "default/r0")}


@on_fake_time
async def test_a_pass_that_cancels_itself_is_a_bug_and_blocks_nobody() -> None:
    async def cancel(_: TaskRun) -> Next:
        raise asyncio.CancelledError

    with capture_logs() as logs:
        async with world(cancel) as w:
            await asyncio.sleep(3600)
            assert w.controller.times == [0, 1]
    assert len(logs) == 1


@on_fake_time
async def test_a_wake_that_raises_is_logged_and_harms_nobody() -> None:
    with capture_logs() as logs:
        async with world() as w:

            def broken(old: object, new: object) -> list[Key]:
                raise ZeroDivisionError("oops")

            other = Worker(Scripted(), w.runs, [Wake(w.runs, broken)], events=w.events)
            await w.api.create(TASK_RUNS, run("r1"))
            await settle()
            assert w.controller.names == ["r0", "r1"]
            assert other.passes == 0
    assert [entry["changed"] for entry in logs] == ["default/r1"]


@on_fake_time
async def test_a_deleted_object_is_not_looked_at_and_its_failures_are_forgotten() -> None:
    async with world(Transient("x"), Transient("x"), Transient("x"), chance=0.9) as w:
        await asyncio.sleep(4)
        assert len(w.controller.times) == 3
        await w.api.delete(TASK_RUNS, "r0", "default")
        await asyncio.sleep(100)
        assert len(w.controller.times) == 3
        w.controller.answers = [Transient("x")]
        await w.api.create(TASK_RUNS, run("r0"))
        await asyncio.sleep(100)
        assert [round(b - a, 1) for a, b in zip(w.controller.times[3:], w.controller.times[4:], strict=False)] == [
            0.9
        ]


@on_fake_time
async def test_an_object_that_goes_during_its_failing_pass_leaves_nothing_behind() -> None:
    async with world() as w:

        async def overtaken(obj: TaskRun) -> Next:
            await w.api.delete(TASK_RUNS, "r0", "default")
            await settle()
            raise Terminal("gone", reason="Gone")

        w.controller.answers = [overtaken]
        w.worker.wake(Key("default", "r0"))
        await asyncio.sleep(100)
        assert w.controller.times == [0, 0]
        assert w.worker.failing == 0


class Asking:
    """A pass that waits for something that never comes, and how it ended."""

    def __init__(self, error: Exception | None = None) -> None:
        self.ended: list[float] = []
        self._error = error

    async def __call__(self, _: TaskRun) -> Next:
        try:
            await asyncio.sleep(1e9)
        finally:
            self.ended.append(round(asyncio.get_running_loop().time() - 1000, 3))
            if self._error is not None:
                raise self._error
        return Done()


@on_fake_time
async def test_a_pass_over_a_deleted_object_is_cancelled_at_once_and_its_controller_is_told() -> None:
    asking = Asking()
    async with world(asking) as w:
        of = (await w.api.get(TASK_RUNS, "r0", "default")).metadata.uid
        await asyncio.sleep(5)
        await w.api.delete(TASK_RUNS, "r0", "default")
        await asyncio.sleep(3600)
        assert asking.ended == [5]
        assert w.controller.ended == [of]
        assert w.controller.times == [0]
        assert w.worker.running == 0 and w.worker._in_hand == {} and not w.worker.failures


@on_fake_time
async def test_nothing_is_said_about_an_object_that_is_gone_whatever_its_pass_ended_with() -> None:
    with capture_logs() as logs:
        async with world(Asking(Transient("cut off")), Asking(ZeroDivisionError("oops")), runs=2) as w:
            for name in ("r0", "r1"):
                await w.api.delete(TASK_RUNS, name, "default")
            await asyncio.sleep(3600)
            assert w.told() == []
            assert len(w.controller.times) == 2
    assert logs == []


@pytest.mark.parametrize("unseen", [False, True])
@on_fake_time
async def test_a_replaced_object_ends_the_pass_over_the_old_one_before_the_new_one_is_looked_at(
    unseen: bool,
) -> None:
    async with world(Asking()) as w:
        old = (await w.api.get(TASK_RUNS, "r0", "default")).metadata.uid

        async def end(_: TaskRun) -> None:
            assert w.controller.inside == 0
            await asyncio.sleep(2)

        w.controller.farewell = end
        w.api.mute = unseen
        await w.api.delete(TASK_RUNS, "r0", "default")
        await w.api.create(TASK_RUNS, run("r0"))
        if unseen:
            w.api.lose_history()
            w.api.unmute()
        await asyncio.sleep(3600)
        assert w.controller.ended == [old]
        assert w.controller.times == [0, 2]


@on_fake_time
async def test_a_deletion_that_waits_for_finalizers_drops_the_pass_but_the_object_is_not_gone_yet() -> None:
    asking = Asking()
    async with world(asking, asking) as w:
        dying = await w.api.get(TASK_RUNS, "r0", "default")
        meta = replace(dying.metadata, deletion_timestamp="2026-01-01T00:00:00Z", finalizers=["a.example/b"])
        dying = await w.api.put(TASK_RUNS, replace(dying, metadata=meta))
        await settle()
        assert (asking.ended, w.controller.times, w.controller.ended) == ([0], [0, 0], [])
        await w.api.put_status(TASK_RUNS, _waiting(dying, "its end"))
        await settle()
        assert asking.ended == [0], "what is begun over a dying object is not dropped again"
        await w.api.delete(TASK_RUNS, "r0", "default")
        await settle()
        assert (asking.ended, w.controller.ended) == ([0, 0], [dying.metadata.uid])


@on_fake_time
async def test_a_pass_whose_object_goes_before_its_first_step_does_nothing() -> None:
    async with world() as w:
        w.worker.wake(Key("default", "r0"))
        w.runs.drop(Key("default", "r0"), 1_000_000)
        await settle()
        assert w.controller.times == [0]
        assert len(w.controller.ended) == 1
        assert w.worker.running == 0


@on_fake_time
async def test_an_object_at_rest_has_nothing_to_end() -> None:
    async with world() as w:
        resting = Worker(w.controller, w.runs, events=w.events, at_rest=lambda r: r.status.finished)
        resting_run = asyncio.create_task(resting.run())
        w.working.cancel()
        await w.api.create(TASK_RUNS, run("r1"))
        await w.api.put_status(TASK_RUNS, finished(await w.api.get(TASK_RUNS, "r0", "default")))
        await settle()
        open_one = (await w.api.get(TASK_RUNS, "r1", "default")).metadata.uid
        for name in ("r0", "r1"):
            await w.api.delete(TASK_RUNS, name, "default")
        await settle()
        assert w.controller.ended == [open_one]
        resting_run.cancel()
        await asyncio.wait([resting_run])


async def fail(_: TaskRun) -> None:
    raise ZeroDivisionError("oops")


async def hang(_: TaskRun) -> None:
    await asyncio.sleep(1e9)


@pytest.mark.parametrize(("farewell", "after"), [(fail, 0), (hang, 30)])
@on_fake_time
async def test_a_farewell_that_fails_or_hangs_is_logged_and_holds_up_nobody(
    farewell: Callable[[TaskRun], Awaitable[None]], after: int
) -> None:
    with capture_logs() as logs:
        async with world() as w:
            w.controller.farewell = farewell
            await w.api.delete(TASK_RUNS, "r0", "default")
            await w.api.create(TASK_RUNS, run("r0"))
            await asyncio.sleep(3600)
            assert w.controller.times == [0, after]
            assert w.worker.running == 0
    assert [(entry["kind"], entry["key"]) for entry in logs] == [("TaskRun", "default/r0")]


@on_fake_time
async def test_nothing_is_looked_at_before_every_informer_has_synced() -> None:
    api = MemoryApi()
    await api.create(TASK_RUNS, run("r0"))
    runs, calls = Informer(api, TASK_RUNS), Informer(api, TOOL_CALLS)
    controller = Scripted()
    events = EventRecorder(api, "test", lambda: datetime(2026, 1, 1, tzinfo=UTC))
    worker = Worker(controller, runs, [owned(calls, runs)], events=events)
    async with asyncio.TaskGroup() as group:
        parts = [group.create_task(worker.run()), group.create_task(runs.run())]
        await asyncio.sleep(10)
        assert controller.asked == []
        parts.append(group.create_task(calls.run()))
        await settle()
        assert controller.names == ["r0"]
        for part in parts:
            part.cancel()


@on_fake_time
async def test_shutdown_cancels_running_passes_and_begins_no_other() -> None:
    ended: list[str] = []

    async def endless(_: TaskRun) -> Next:
        try:
            await asyncio.sleep(1e9)
        finally:
            ended.append("cancelled")
        return Done()

    async with world(endless, endless, runs=5, limit=2) as w:
        w.working.cancel()
        await asyncio.wait([w.working], timeout=1)
        assert w.working.cancelled()
        assert ended == ["cancelled", "cancelled"]
        w.worker.wake(Key("default", "r4"))
        await asyncio.sleep(3600)
        assert w.worker.passes == 2


class Judged(Sharing[TaskRun]):
    """Says what it was told to say of each name."""

    def __init__(self, **told: Ownership) -> None:
        self.told = told
        self.steps: list[str] = []

    def of(self, obj: TaskRun) -> Ownership:
        return self.told.get(obj.metadata.name, "ours")

    def begun(self, obj: TaskRun) -> None:
        self.steps.append(f"begun {obj.metadata.name}")

    def ended(self, obj: TaskRun) -> None:
        self.steps.append(f"ended {obj.metadata.name}")


@on_fake_time
async def test_what_is_not_ours_is_set_aside_until_that_changes() -> None:
    sharing = Judged(r0="theirs", r1="held")
    async with world(runs=3, sharing=sharing) as w:
        assert w.controller.names == ["r2"]
        assert sharing.steps == ["begun r2", "ended r2"]
        sharing.told = {}
        w.worker.look_again(False)
        await settle()
        assert w.controller.names == ["r2", "r1"]
        w.worker.look_again(True)
        await settle()
        assert w.controller.names == ["r2", "r1", "r0"]
        w.worker.look_again(True)
        await settle()
        assert len(w.controller.names) == 3


@on_fake_time
async def test_a_pass_that_failed_is_repeated_by_whoever_it_belongs_to_by_then() -> None:
    sharing = Judged()
    async with world(Transient("later", retry_after=30), sharing=sharing) as w:
        sharing.told = {"r0": "theirs"}
        await asyncio.sleep(3600)
        assert w.controller.times == [0]
        sharing.told = {}
        w.worker.look_again(True)
        await settle()
        assert w.controller.names == ["r0", "r0"]


@on_fake_time
async def test_what_is_gone_while_set_aside_is_not_looked_at() -> None:
    sharing = Judged(r0="theirs")
    async with world(sharing=sharing) as w:
        await w.api.delete(TASK_RUNS, "r0", "default")
        await settle()
        sharing.told = {}
        w.worker.look_again(True)
        await settle()
        assert not w.controller.names
