"""The informer against an API whose streams are cut and whose history is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import msgspec
import pytest
from structlog.testing import capture_logs

from kubechain.errors import ApiError, Details, Gone, InternalError, TooManyRequests
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.runtime.informer import Informer
from tests.unit.runtime.faketime import FakeTimeLoop, on_fake_time, settle, within
from tests.unit.runtime.world import MemoryApi, finished, names, run

Told = list[tuple[str | None, str | None]]


def name(obj: TaskRun | None) -> str | None:
    return None if obj is None else obj.metadata.name


@asynccontextmanager
async def running(api: MemoryApi, page: int = 500) -> AsyncIterator[tuple[Informer[TaskRun], Told]]:
    """A synced informer, and the list that (old name, new name) of each change goes to."""
    informer = Informer(api, TASK_RUNS, chance=lambda: 0.99, page=page)
    heard: Told = []
    informer.on_change(lambda old, new: heard.append((name(old), name(new))))
    task = asyncio.create_task(informer.run())
    await within(60, informer.synced.wait())
    await settle()
    yield informer, heard
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@on_fake_time
async def test_what_exists_is_listed_in_pages_and_what_comes_is_watched() -> None:
    api = MemoryApi()
    for n in range(7):
        await api.create(TASK_RUNS, run(f"r{n}"))
    async with running(api, page=3) as (informer, heard):
        assert api.lists == 3
        await api.create(TASK_RUNS, run("r7"))
        await settle()
        assert names(informer.list()) == [f"r{n}" for n in range(8)]
        assert heard == [(None, f"r{n}") for n in range(8)]


@on_fake_time
async def test_changes_and_deletions_are_told_in_order_with_both_states() -> None:
    api = MemoryApi()
    async with running(api) as (informer, heard):
        made = await api.create(TASK_RUNS, run("r"))
        await api.put_status(TASK_RUNS, finished(made))
        await api.delete(TASK_RUNS, "r", "default")
        await settle()
        assert heard == [(None, "r"), ("r", "r"), ("r", None)]
        assert len(informer) == 0


@on_fake_time
async def test_a_cut_stream_is_resumed_without_a_list_and_loses_nothing() -> None:
    api = MemoryApi()
    await api.create(TASK_RUNS, run("r0"))
    async with running(api) as (_, heard):
        api.cut()
        await api.create(TASK_RUNS, run("r1"))
        await settle()
        assert (api.lists, api.watches) == (1, 2)
        assert heard == [(None, "r0"), (None, "r1")]


@on_fake_time
async def test_lost_history_means_a_new_list_whose_difference_is_told() -> None:
    api = MemoryApi()
    for each in ("changed", "same", "deleted"):
        await api.create(TASK_RUNS, run(each))
    async with running(api) as (informer, heard):
        heard.clear()
        api.mute = True
        await api.put_status(TASK_RUNS, finished(await api.get(TASK_RUNS, "changed", "default")))
        await api.delete(TASK_RUNS, "deleted", "default")
        await api.create(TASK_RUNS, run("new"))
        api.lose_history()
        api.cut()
        api.unmute()
        await asyncio.sleep(5)
        assert api.lists == 2
        assert sorted(heard, key=str) == sorted(
            [("changed", "changed"), ("deleted", None), (None, "new")], key=str
        )
        assert names(informer.list()) == ["changed", "new", "same"]


@on_fake_time
async def test_a_list_that_expires_between_pages_starts_over() -> None:
    api = MemoryApi()
    for n in range(4):
        await api.create(TASK_RUNS, run(f"r{n}"))
    plain, calls = api.list, 0

    async def expiring(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Gone("The provided continue parameter is too old")
        return await plain(*args)  # type: ignore[arg-type]

    api.list = expiring  # type: ignore[method-assign, assignment]
    async with running(api, page=2) as (informer, heard):
        assert names(informer.list()) == ["r0", "r1", "r2", "r3"]
        assert len(heard) == 4


@on_fake_time
async def test_an_api_that_is_down_is_asked_ever_more_seldom_and_complained_about_once() -> None:
    api = MemoryApi(refusals=[InternalError("disk full") for _ in range(20)])
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeTimeLoop)
    informer = Informer(api, TASK_RUNS, chance=lambda: 0.99)
    with capture_logs() as logs:
        task = asyncio.create_task(informer.run())
        await within(3600, informer.synced.wait())
        task.cancel()
    assert 300 < loop.elapsed < 20 * 30
    assert [entry["error"] for entry in logs] == ["disk full"]


@on_fake_time
async def test_an_api_that_asks_for_a_pause_gets_it() -> None:
    api = MemoryApi(refusals=[TooManyRequests("slow down", Details(retry_after=10)) for _ in range(2)])
    loop = asyncio.get_running_loop()
    assert isinstance(loop, FakeTimeLoop)
    informer = Informer(api, TASK_RUNS, chance=lambda: 0.0)
    with capture_logs():
        task = asyncio.create_task(informer.run())
        await within(60, informer.synced.wait())
        task.cancel()
    assert loop.elapsed == 20


@on_fake_time
async def test_a_lost_connection_is_no_reason_to_give_up() -> None:
    api = MemoryApi()
    async with running(api) as (_, heard):
        api.refusals = [ConnectionResetError("reset"), ApiError("bad gateway")]
        api.cut()
        await asyncio.sleep(10)
        await api.create(TASK_RUNS, run("r1"))
        await settle()
        assert heard == [(None, "r1")]


@on_fake_time
async def test_a_stream_that_brought_something_is_reopened_at_once_whatever_went_wrong_before() -> None:
    api = MemoryApi()
    async with running(api) as (_, heard):
        api.refusals = [ConnectionResetError("reset") for _ in range(8)]
        api.cut()
        await asyncio.sleep(125)  # the stream is open again after some 120 s
        assert api.watches == 2
        await api.create(TASK_RUNS, run("r0"))
        await settle()
        api.cut()
        await settle()
        await api.create(TASK_RUNS, run("r1"))
        await settle()
        assert heard == [(None, "r0"), (None, "r1")]


@on_fake_time
async def test_an_object_that_does_not_fit_its_model_is_complained_about_and_listed_once_it_does() -> None:
    api = MemoryApi()
    with capture_logs() as logs:
        async with running(api) as (_, heard):
            api.refusals = [msgspec.ValidationError("Expected `str`, got `int`") for _ in range(4)]
            api.cut()
            await asyncio.sleep(300)
            await api.create(TASK_RUNS, run("r0"))
            await settle()
            assert heard == [(None, "r0")]
            assert api.lists == 2
    assert len(logs) == 1


@on_fake_time
async def test_a_writer_sees_its_own_write_while_the_watch_lags() -> None:
    api = MemoryApi()
    made = await api.create(TASK_RUNS, run("r"))
    async with running(api) as (informer, heard):
        api.mute = True
        informer.remember(await api.put_status(TASK_RUNS, finished(made)))
        assert [r.status.phase for r in informer.list()] == ["FinalAnswer"]
        assert heard == [(None, "r"), ("r", "r")]
        api.unmute()
        await settle()
        assert heard == [(None, "r"), ("r", "r")]


@on_fake_time
async def test_a_write_in_another_namespace_is_not_remembered() -> None:
    informer = Informer(MemoryApi(), TASK_RUNS, "elsewhere")
    informer.remember(run("r", version=1))
    assert len(informer) == 0


class Journal:
    """What handlers were told, checked for sense: each change starts from where the last one ended."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}

    def hear(self, old: TaskRun | None, new: TaskRun | None) -> None:
        about = new or old
        assert about is not None
        before = self.versions.pop(about.metadata.name, None)
        assert before == (old.metadata.resource_version if old else None)
        if new is not None:
            assert int(new.metadata.resource_version) > int(before or 0)
            self.versions[new.metadata.name] = new.metadata.resource_version


async def disturb(api: MemoryApi, informer: Informer[TaskRun], chance: Random) -> None:
    """One thing that happens: a write, remembered or not, soon or late; or trouble."""
    about = f"r{chance.randrange(6)}"
    held = next((o for (_, key), o in api.objects.items() if key.name == about), None)
    written: TaskRun | None = None
    match chance.randrange(9):
        case 0:
            api.cut()
        case 1:
            api.lose_history()
            api.cut()
        case 2:
            await asyncio.sleep(chance.random() * 10)
        case 3:
            api.mute = True
        case 4:
            api.unmute()
        case 5 if held is not None:
            await api.delete(TASK_RUNS, about, "default")
        case _ if held is None:
            written = await api.create(TASK_RUNS, run(about))
        case _:
            written = await api.put_status(TASK_RUNS, finished(held))
    if written is not None and chance.random() < 0.3:
        await api.delete(TASK_RUNS, about, "default")
    if chance.random() < 0.5:
        await settle()
    if written is not None and chance.random() < 0.5:
        informer.remember(written)


@pytest.mark.parametrize("seed", range(50))
def test_whatever_is_cut_or_lost_the_cache_ends_as_the_api_is_and_handlers_agree(seed: int) -> None:
    @on_fake_time
    async def story() -> None:
        chance, api, journal = Random(seed), MemoryApi(), Journal()
        informer = Informer(api, TASK_RUNS, chance=chance.random, page=2)
        informer.on_change(journal.hear)
        task = asyncio.create_task(informer.run())
        for _ in range(120):
            await disturb(api, informer, chance)
        api.unmute()
        await asyncio.sleep(120)
        there = {o.metadata.name: o.metadata.resource_version for o in api.objects.values()}
        assert {o.metadata.name: o.metadata.resource_version for o in informer.list()} == there
        assert journal.versions == there
        task.cancel()

    story()
