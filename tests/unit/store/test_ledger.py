"""Group commit: what is one transaction, and what is known, read, waited for and lost meanwhile."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path

import pytest

from kubechain.errors import AlreadyExists, InternalError, NotFound
from kubechain.resources.kind import owner_reference
from kubechain.resources.model import ObjectMeta
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.runtime.api import Change, WatchOptions
from kubechain.runtime.clock import now
from kubechain.store.engine import Store

pytestmark = pytest.mark.timeout(60)
WAIT = 20


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "store.db", clock=now, synchronous="OFF") as store:
        await store.create(TASKS, task("first"))
        yield store


def task(name: str = "t1", message: str = "hello", **meta: object) -> Task:
    return Task(
        metadata=ObjectMeta(name=name, namespace="default", **meta),  # type: ignore[arg-type]
        spec=TaskSpec(agent="a", user_message=message),
    )


def statements(store: Store) -> list[str]:
    """Every statement that reads or writes from now on, by its first word."""
    run: list[str] = []
    trace: Callable[[str], None] = lambda text: run.append(text.split()[0])  # noqa: E731
    store._connections.reading.set_trace_callback(trace)
    store._connections.writing.set_trace_callback(trace)
    return run


async def test_what_is_decided_together_is_committed_together(store: Store) -> None:
    before = store._ledger.batches
    await asyncio.gather(*(store.create(TASKS, task(f"t{n}")) for n in range(100)))
    assert store._ledger.batches == before + 1


@pytest.mark.parametrize("slow_disk", [False, True])
async def test_nothing_is_shown_before_it_is_committed(store: Store, slow_disk: bool) -> None:
    made = await store.create(TASKS, task("seen", "old"))
    watch = store.watch(TASKS, "default", WatchOptions(since=made.metadata.resource_version))
    change = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    write = asyncio.ensure_future(store.patch(TASKS, "seen", "default", {"spec": {"userMessage": "new"}}))
    store._ledger._slow = 10 * slow_disk  # commits for the thread
    for under_way in (False, True)[: 1 + slow_disk]:  # decided, then being committed
        await asyncio.sleep(0)
        assert (store._ledger._under_way is not None) == under_way
        assert (await store.get(TASKS, "seen", "default")).spec.user_message == "old"
        assert (await store.list(TASKS)).items[-1] == made
        assert (store._ledger.committed, change.done(), write.done()) == (_version(made), False, False)
    async with asyncio.timeout(WAIT):
        await write
        event = await change
    await watch.aclose()
    assert isinstance(event, Change)
    assert event.object.spec.user_message == "new"
    assert (await store.get(TASKS, "seen", "default")).spec.user_message == "new"


async def test_the_writer_is_answered_before_the_watches_are_told(store: Store) -> None:
    made = await store.create(TASKS, task("seen"))
    order: list[str] = []

    async def write() -> None:
        await store.patch(TASKS, "seen", "default", {"spec": {"userMessage": "new"}})
        order.append("answered")

    async def watch() -> None:
        since = WatchOptions(since=made.metadata.resource_version)
        async with aclosing(store.watch(TASKS, "default", since)) as events:
            await anext(events)
            order.append("told")

    async with asyncio.timeout(WAIT), asyncio.TaskGroup() as group:
        group.create_task(watch())
        group.create_task(write())
    assert order == ["answered", "told"]


async def test_a_status_written_again_and_again_is_read_from_memory(store: Store) -> None:
    made = await store.create(TASKS, task())
    run = statements(store)
    for n in range(5):
        made.status.status_detail = f"step {n} {'x' * n}"
        made = await store.put_status(TASKS, made)
        await store.confirm(TASKS, made)
        assert await store.get(TASKS, "t1", "default") == made
    assert run == ["BEGIN", "INSERT", "INSERT", "COMMIT"] * 5


async def test_a_child_of_a_living_owner_costs_one_look_into_the_file(store: Store) -> None:
    owner = await store.create(TASKS, task("owner"))
    run = statements(store)
    await store.create(TASKS, task("child", owner_references=[owner_reference(TASKS, owner.metadata)]))
    await asyncio.sleep(0.0)
    assert run.count("SELECT") == 1  # whether the name is free
    assert not store._garbage._due


async def test_what_a_caller_does_to_an_answer_does_not_change_the_object(store: Store) -> None:
    made = await store.create(TASKS, task(labels={"a": "b"}))
    made.metadata.labels["a"] = "c"
    changed = await store.put(TASKS, made)
    assert changed.metadata.resource_version != made.metadata.resource_version
    assert (await store.get(TASKS, "t1", "default")).metadata.labels == {"a": "c"}


async def test_a_name_that_was_there_before_is_taken_after_a_restart_and_free_once_deleted(tmp_path: Path) -> None:
    for _ in range(2):
        async with Store.open(tmp_path / "store.db", clock=now, synchronous="OFF") as store:
            with suppress(AlreadyExists):
                await store.create(TASKS, task("kept"))
            await store.create(TASKS, task("again"))
            with pytest.raises(AlreadyExists):
                await store.create(TASKS, task("again"))
            await store.delete(TASKS, "again", "default")
            await store.create(TASKS, task("again"))
            await store.delete(TASKS, "again", "default")
    async with Store.open(tmp_path / "store.db", clock=now, synchronous="OFF", remember=0) as store:
        with pytest.raises(AlreadyExists):
            await store.create(TASKS, task("kept"))


async def test_objects_beyond_what_is_remembered_are_read_from_the_file(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "store.db", clock=now, synchronous="OFF", remember=40_000) as store:
        made = [await store.create(TASKS, task(f"t{n}", "x" * 1000)) for n in range(100)]
        assert store._ledger._recent.size <= 40_000
        for one in made:
            await store.confirm(TASKS, one)
            one.status.status_detail = "seen"
            one.metadata.resource_version = (await store.put_status(TASKS, one)).metadata.resource_version
            assert await store.get(TASKS, one.metadata.name, "default") == one


async def test_one_who_gives_up_waiting_does_not_make_others_believe_it_is_written(store: Store) -> None:
    writes = [asyncio.ensure_future(store.create(TASKS, task(f"t{n}"))) for n in range(2)]
    await asyncio.sleep(0)
    writes[1].cancel()
    if store._ledger._collecting.entries or store._ledger._under_way:
        await store._ledger.settled()
    assert store._ledger.committed == store._ledger.next_revision - 1
    await writes[0]
    assert (await store.get(TASKS, "t1", "default")).metadata.name == "t1"


async def test_a_full_disk_fails_the_writes_that_were_on_their_way_and_no_others(store: Store) -> None:
    writing = store._connections.writing
    (size,) = writing.execute("PRAGMA page_count").fetchone()
    writing.execute(f"PRAGMA max_page_count = {size + 4}")
    writes = [store.create(TASKS, task(f"big{n}", "x" * 5000)) for n in range(4)]
    for result in await asyncio.gather(*writes, return_exceptions=True):
        assert isinstance(result, InternalError)
        assert "database or disk is full; free some disk space, then retry" in str(result)
    writing.execute("PRAGMA max_page_count = 1000000")
    with pytest.raises(NotFound):
        await store.get(TASKS, "big0", "default")
    made = await store.create(TASKS, task("big0"))
    assert _version(made) == store._ledger.committed == 5 - 1
    await store.confirm(TASKS, made)


async def test_writes_that_follow_one_that_finds_the_disk_full_fail_with_it(store: Store) -> None:
    """The second is decided on a state that was never saved."""
    with files_no_longer_than(store, 0):
        writes = [asyncio.ensure_future(store.create(TASKS, task("t1", "x" * 5000)))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the first is being committed
        writes.append(asyncio.ensure_future(store.patch(TASKS, "t1", "default", {"spec": {"userMessage": "y"}})))
        async with asyncio.timeout(WAIT):
            results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results] in ([InternalError, InternalError], [InternalError, NotFound])
    assert (await store.create(TASKS, task("t1"))).spec.user_message == "hello"


async def test_while_another_program_writes_to_the_file_writes_say_so(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(InternalError, match=r"database is locked; end the transaction of the other program"):
        await store.create(TASKS, task())
    other.execute("ROLLBACK")
    other.close()
    await store.create(TASKS, task())


async def test_the_thread_commits_as_many_times_as_it_is_to_and_then_the_loop_does(store: Store) -> None:
    store._ledger._slow = 1
    await store.create(TASKS, task("by-the-thread"))
    assert store._ledger._slow == 0
    assert (await store.get(TASKS, "by-the-thread", "default")).metadata.name == "by-the-thread"


async def test_a_long_log_of_sqlite_is_carried_into_the_file(store: Store, tmp_path: Path) -> None:
    store._connections.writing.execute("PRAGMA wal_autocheckpoint = 200")
    async with asyncio.timeout(WAIT), aclosing(store.watch(TASKS, "default")) as events:
        for n in range(300):
            await store.create(TASKS, task(f"t{n}", "x" * 3000))
        names = [event.key.name async for event in _first(events, 301) if isinstance(event, Change)]
    assert sorted(names) == sorted(["first", *(f"t{n}" for n in range(300))])
    assert (tmp_path / "store.db-wal").stat().st_size < 400_000
    assert (tmp_path / "store.db").stat().st_size > 800_000
    assert (await store.get(TASKS, "t17", "default")).metadata.name == "t17"


async def test_every_object_gets_a_random_uuid_of_its_own(store: Store) -> None:
    made = await asyncio.gather(*(store.create(TASKS, task(f"t{n}")) for n in range(200)))
    found = {uuid.UUID(one.metadata.uid) for one in made}
    assert len(found) == 200
    assert all(str(one) in {m.metadata.uid for m in made} for one in found)
    assert {(one.version, one.variant) for one in found} == {(4, uuid.RFC_4122)}


async def _first(events: AsyncIterator[object], count: int) -> AsyncIterator[object]:
    while count:
        yield await anext(events)
        count -= 1


@contextmanager
def files_no_longer_than(store: Store, more: int) -> Iterator[None]:
    """Until its end a file is full that is longer than SQLite's log by so many bytes: what a full disk does."""
    (path,) = (file for _, _, file in store._connections.writing.execute("PRAGMA database_list"))
    size = Path(f"{path}-wal").stat().st_size + more
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _version(task: Task) -> int:
    return int(task.metadata.resource_version)
