"""Who commits, the loop or the thread, and what is known, read and waited for meanwhile."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from kubechain.errors import AlreadyExists, InternalError, NotFound
from kubechain.resources.kind import owner_reference
from kubechain.resources.model import ObjectMeta
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.runtime.api import Change, WatchOptions
from kubechain.runtime.clock import now
from kubechain.store import pace, writer
from kubechain.store.engine import Store
from kubechain.store.journal import Journal

pytestmark = pytest.mark.timeout(60)
WAIT = 20


@pytest.fixture(params=["quick", "slow"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    """A store on a disk that is always found quick, and one on a disk that is always found slow."""
    monkeypatch.setattr(pace, "_QUICK", 1000.0 if request.param == "quick" else -1.0)
    monkeypatch.setattr(pace, "_QUICK_AGAIN", -1.0)
    async with Store.open(tmp_path / "store.db", clock=now, synchronous="OFF") as store:
        await store.create(TASKS, task("first"))
        yield store


def task(name: str = "t1", message: str = "hello", **meta: object) -> Task:
    return Task(
        metadata=ObjectMeta(name=name, namespace="default", **meta),  # type: ignore[arg-type]
        spec=TaskSpec(agent="a", user_message=message),
    )


def statements(store: Store) -> list[str]:
    """Every statement that is run from now on, by its first word."""
    run: list[str] = []
    trace: Callable[[str], None] = lambda text: run.append(text.split()[0])  # noqa: E731
    store._connection.set_trace_callback(trace)
    return run


async def test_commits_are_made_by_the_loop_or_the_thread_as_the_disk_is(
    store: Store, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: set[str] = set()
    append = Journal.append

    def watched(journal: Journal, record: bytes) -> None:
        where.add(threading.current_thread().name)
        append(journal, record)

    monkeypatch.setattr(Journal, "append", watched)
    await store.create(TASKS, task())
    quick = "quick" in request.node.name
    assert where == {threading.main_thread().name if quick else "store-writer"}


async def test_what_is_decided_together_is_committed_together(store: Store) -> None:
    before = store._ledger.batches
    await asyncio.gather(*(store.create(TASKS, task(f"t{n}")) for n in range(100)))
    assert store._ledger.batches == before + 1


async def test_nothing_is_shown_before_it_is_committed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment of the commit neither a get nor a watch knows of the write."""
    made = await store.create(TASKS, task("seen", "old"))
    watch = store.watch(TASKS, "default", WatchOptions(since=made.metadata.resource_version))
    change = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    known: list[object] = []
    append = Journal.append

    def watched(journal: Journal, record: bytes) -> None:
        known.append((store._ledger.committed, change.done(), write.done()))
        append(journal, record)

    monkeypatch.setattr(Journal, "append", watched)
    write = asyncio.ensure_future(store.patch(TASKS, "seen", "default", {"spec": {"userMessage": "new"}}))
    await asyncio.sleep(0)
    if not write.done() and not known:
        assert (await store.get(TASKS, "seen", "default")).spec.user_message == "old"
    async with asyncio.timeout(WAIT):
        await write
        event = await change
    await watch.aclose()
    assert known == [(int(made.metadata.resource_version), False, False)]
    assert isinstance(event, Change)
    assert event.object.spec.user_message == "new"
    assert (await store.get(TASKS, "seen", "default")).spec.user_message == "new"


async def test_a_status_written_again_and_again_is_read_from_memory(store: Store) -> None:
    made = await store.create(TASKS, task())
    run = statements(store)
    for n in range(5):
        made.status.status_detail = f"step {n} {'x' * n}"
        made = await store.put_status(TASKS, made)
        await store.confirm(TASKS, made)
        assert await store.get(TASKS, "t1", "default") == made
    assert not run


async def test_commits_become_rows_many_at_once_and_before_they_are_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_ROWS", 10)
    made = await store.create(TASKS, task())
    await store.list(TASKS)
    run = statements(store)
    for n in range(12):
        made.status.status_detail = f"step {n}"
        made = await store.put_status(TASKS, made)
    assert run.count("INSERT") == 10 + 1  # rows of the log, and one that says which of them is current
    assert (await store.list(TASKS, "default")).items[-1] == made
    assert run.count("INSERT") == 12 + 2


async def test_what_is_in_the_journal_stands_where_no_row_can_be_made_of_it(store: Store) -> None:
    (size,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {size + 1}")
    made = await store.create(TASKS, task(message="x" * 50_000))
    with pytest.raises(InternalError, match=r"the store cannot be read: .* full; free the disk, then retry"):
        await store.list(TASKS)
    assert await store.get(TASKS, "t1", "default") == made
    store._connection.execute("PRAGMA max_page_count = 1000000")
    assert [found.metadata.name for found in (await store.list(TASKS)).items] == ["first", "t1"]


async def test_a_child_of_a_living_owner_costs_no_look_into_the_file(store: Store) -> None:
    owner = await store.create(TASKS, task("owner"))
    run = statements(store)
    await store.create(TASKS, task("child", owner_references=[owner_reference(TASKS, owner.metadata)]))
    await asyncio.sleep(0.0)
    assert run.count("SELECT") == 0
    assert not store._garbage._due


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


async def test_a_full_disk_fails_the_writes_that_were_on_their_way_and_no_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_ROWS", 1)
    (size,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {size + 4}")
    results = await asyncio.gather(
        *(store.create(TASKS, task(f"big{n}", "x" * 5000)) for n in range(4)), return_exceptions=True
    )
    assert all(isinstance(result, InternalError) for result in results)
    store._connection.execute("PRAGMA max_page_count = 1000000")
    with pytest.raises(NotFound):
        await store.get(TASKS, "big0", "default")
    made = await store.create(TASKS, task("big0"))
    await store.confirm(TASKS, made)


async def test_a_long_journal_is_taken_over_by_the_file_and_begun_anew(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_LONG", 200_000)
    store._ledger._writer._take_over_at = 200_000
    async with asyncio.timeout(WAIT), aclosing(store.watch(TASKS, "default")) as events:
        for n in range(300):
            await store.create(TASKS, task(f"t{n}", "x" * 3000))
        names = [event.key.name async for event in _first(events, 301) if isinstance(event, Change)]
    assert sorted(names) == sorted(["first", *(f"t{n}" for n in range(300))])
    assert store._journal.size < 250_000
    assert (tmp_path / "store.db-commits").stat().st_size < 250_000
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
