"""One way to save a status: what it survives, what it refuses to write over, what it leaves in the cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from kubechain.controllers.saving import put_status, save_status
from kubechain.errors import Conflict, InternalError, NotFound, TooManyRequests
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunStatus
from kubechain.runtime.api import Key
from kubechain.runtime.informer import Informer
from tests.unit.runtime.faketime import on_fake_time
from tests.unit.runtime.world import MemoryApi, run

pytestmark = pytest.mark.timeout(30)
DONE = TaskRunStatus(phase="FinalAnswer", turns=1)
KEY = Key("default", "r")


@asynccontextmanager
async def saved_run() -> AsyncIterator[tuple[MemoryApi, Informer[TaskRun], TaskRun]]:
    api = MemoryApi()
    made = await api.create(TASK_RUNS, run("r"))
    runs = Informer(api, TASK_RUNS)
    runs.put(made)
    yield api, runs, made


async def label(api: MemoryApi, obj: TaskRun) -> TaskRun:
    return await api.put(TASK_RUNS, replace(obj, metadata=replace(obj.metadata, labels={"a": "b"})))


@on_fake_time
async def test_a_busy_api_is_asked_until_it_takes_the_status() -> None:
    async with saved_run() as (api, runs, made), asyncio.timeout(3600):
        api.refusals = [TooManyRequests("busy"), InternalError("full"), TooManyRequests("busy")]
        written = await save_status(api, runs, made, DONE)
        assert written is not None and written.status == DONE
        assert runs.get(KEY) == written


async def test_a_change_of_something_else_costs_nothing_and_is_kept() -> None:
    async with saved_run() as (api, runs, made):
        await label(api, made)
        written = await save_status(api, runs, made, DONE, over=lambda newest: newest.status == made.status)
        assert written is not None
        assert (written.status, written.metadata.labels) == (DONE, {"a": "b"})
        assert await api.get(TASK_RUNS, "r", "default") == written


async def test_what_the_rule_forbids_is_not_written_over_and_is_in_the_cache_for_the_next_pass() -> None:
    async with saved_run() as (api, runs, made):
        theirs = await api.put_status(TASK_RUNS, replace(made, status=TaskRunStatus(output="theirs")))
        with pytest.raises(Conflict):
            await save_status(api, runs, made, DONE, over=lambda newest: newest.status == made.status)
        assert await api.get(TASK_RUNS, "r", "default") == theirs
        assert runs.get(KEY) == theirs


async def test_a_write_that_was_taken_while_its_answer_was_lost_is_not_repeated() -> None:
    async with saved_run() as (api, runs, made):
        taken = await api.put_status(TASK_RUNS, replace(made, status=DONE))
        assert await save_status(api, runs, made, DONE, over=lambda newest: False) == taken
        assert api.version == int(taken.metadata.resource_version)


async def test_nothing_is_written_to_an_object_that_is_gone_or_to_another_of_its_name() -> None:
    async with saved_run() as (api, runs, made):
        await api.delete(TASK_RUNS, "r", "default")
        assert await save_status(api, runs, made, DONE) is None
        other = await api.create(TASK_RUNS, run("r"))
        assert await save_status(api, runs, made, DONE) is None
        assert await api.get(TASK_RUNS, "r", "default") == other


@pytest.mark.parametrize("recreated", [True, False])
async def test_a_read_from_the_past_does_not_end_the_write(recreated: bool) -> None:
    """It may know an object of that name that has gone since, or the object as it was, with this very status."""
    async with saved_run() as (api, runs, made):
        former = await api.put_status(TASK_RUNS, replace(made, status=DONE))
        if recreated:
            await api.delete(TASK_RUNS, "r", "default")
            made = await api.create(TASK_RUNS, run("r"))
        else:
            made = await api.put_status(TASK_RUNS, replace(former, status=TaskRunStatus(phase="Running")))
        runs.put(made)
        api.stale, api.refusals = [former], [Conflict("busy")]
        written = await save_status(api, runs, made, DONE)
        assert written is not None and written.status == DONE
        assert runs.get(KEY) == await api.get(TASK_RUNS, "r", "default") == written


async def test_an_object_that_changes_with_every_try_is_left_to_another_pass() -> None:
    async with saved_run() as (api, runs, made):

        async def beaten(wanted: TaskRun) -> TaskRun:
            await label(api, await api.get(TASK_RUNS, "r", "default"))
            return await put_status(api, runs, wanted)

        with pytest.raises(Conflict, match="default/r changes too often"):
            await save_status(api, runs, made, DONE, put=beaten)


async def test_a_plain_write_is_tried_once() -> None:
    async with saved_run() as (api, runs, made):
        written = await put_status(api, runs, replace(made, status=DONE))
        assert runs.get(KEY) == written
        with pytest.raises(Conflict):
            await put_status(api, runs, replace(made, status=DONE))
        await api.delete(TASK_RUNS, "r", "default")
        with pytest.raises(NotFound):
            await put_status(api, runs, replace(made, status=DONE))
