"""What the journal holds is there after a kill, whole commits and nothing else, wherever it was cut off."""

from __future__ import annotations

import asyncio
import random
import resource
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from kubechain.errors import InternalError, NotFound, SettingsError
from kubechain.resources.kind import owner_reference
from kubechain.resources.model import ObjectMeta
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.runtime.clock import now
from kubechain.store import journal as journals
from kubechain.store import writer
from kubechain.store.engine import Store
from kubechain.store.journal import Journal

pytestmark = pytest.mark.timeout(60)


def task(name: str, message: str = "hello", **meta: object) -> Task:
    return Task(
        metadata=ObjectMeta(name=name, namespace="default", **meta),  # type: ignore[arg-type]
        spec=TaskSpec(agent="a", user_message=message),
    )


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    async with Store.open(path, clock=now, synchronous="OFF") as store:
        yield store


def as_a_kill_leaves_it(path: Path, folder: Path) -> Path:
    """A copy of the store's files at this moment."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for file in path.parent.glob(f"{path.name}*"):
        shutil.copy(file, folder)
    return folder / path.name


async def a_life(store: Store, steps: int = 40) -> None:
    """Creates, changes and deletes tasks and children of them."""
    chance = random.Random(7)
    for n in range(steps):
        made = await store.create(TASKS, task(f"t{n}", "x" * chance.randint(0, 3000)))
        child = task(f"t{n}-child", owner_references=[owner_reference(TASKS, made.metadata)])
        await store.create(TASKS, child)
        for size in (10, 2000, 2100, 10):
            made.status.status_detail = "y" * size + str(n)
            made = await store.put_status(TASKS, made)
        if n % 3 == 0:
            await store.delete(TASKS, f"t{n}-child", "default")


async def everything(store: Store) -> dict[str, Task]:
    return {one.metadata.name: one for one in (await store.list(TASKS)).items}


async def test_what_was_committed_is_there_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store:
        await a_life(store)
        before, revision = await everything(store), store._ledger.committed
        left = as_a_kill_leaves_it(path, tmp_path / "left")
    async with opened(left) as store:
        assert await everything(store) == before
        assert store._ledger.next_revision == revision + 1
        await store.delete(TASKS, "t1", "default")
        assert "t1" not in await everything(store)
        again = as_a_kill_leaves_it(left, tmp_path / "again")
    async with opened(again) as store:
        assert store._ledger.committed >= revision + 1
        with pytest.raises(NotFound):
            await store.get(TASKS, "t1", "default")


async def test_a_journal_cut_off_anywhere_holds_the_commits_before_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store:
        await a_life(store, steps=6)
        whole = store._ledger.committed
        left = as_a_kill_leaves_it(path, tmp_path / "left")
    size = (tmp_path / "left" / "store.db-commits").stat().st_size
    reached = []
    for cut in sorted(random.Random(3).sample(range(size), 40)):
        copy = as_a_kill_leaves_it(left, tmp_path / "cut")
        with (tmp_path / "cut" / "store.db-commits").open("r+b") as file:
            file.truncate(cut)
        async with opened(copy) as store:
            reached.append(store._ledger.committed)
            await store.create(TASKS, task("after"))
    assert reached == sorted(reached)
    assert len(set(reached)) > 10
    assert reached[-1] <= whole


async def test_a_journal_with_a_byte_turned_holds_the_commits_before_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store:
        for n in range(5):
            await store.create(TASKS, task(f"t{n}", "z" * 100))
        left = as_a_kill_leaves_it(path, tmp_path / "left")
    file = tmp_path / "left" / "store.db-commits"
    data = bytearray(file.read_bytes())
    data[data.rindex(b"z")] ^= 1
    file.write_bytes(data)
    async with opened(left) as store:
        assert set(await everything(store)) == {"t0", "t1", "t2", "t3"}


async def test_what_the_file_has_taken_over_is_not_taken_from_the_journal_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_LONG", 20_000)
    path = tmp_path / "store.db"
    async with opened(path) as store:
        await a_life(store)
        for n in range(5):
            await store.create(TASKS, task(f"last{n}"))
            left = as_a_kill_leaves_it(path, tmp_path / f"left{n}")
            before = await everything(store)
            async with opened(left) as other:
                assert await everything(other) == before
                await other.create(TASKS, task("more"))


async def test_many_documents_are_taken_over_however_little_they_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_MANY", 500_000)
    path = tmp_path / "store.db"
    async with opened(path) as store:
        made = await store.create(TASKS, task("big", "x" * 100_000))
        longest = 0
        for n in range(50):
            made.status.status_detail = f"step {n}"
            made = await store.put_status(TASKS, made)
            longest = max(longest, store._journal.size)
        assert longest < 150_000
        assert path.stat().st_size > 500_000
        assert await store.get(TASKS, "big", "default") == made


async def test_a_journal_of_some_length_is_taken_over_once_nothing_is_written_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_WORTH", 10_000)
    monkeypatch.setattr(writer, "_REST", 0.02)
    loop, begun_anew, clear = asyncio.get_running_loop(), asyncio.Event(), Journal.clear

    def noted(journal: Journal) -> None:
        clear(journal)
        loop.call_soon_threadsafe(begun_anew.set)

    path = tmp_path / "store.db"
    async with opened(path) as store:
        monkeypatch.setattr(Journal, "clear", noted)
        await a_life(store)
        before = await everything(store)
        async with asyncio.timeout(30):
            await begun_anew.wait()
        left = as_a_kill_leaves_it(path, tmp_path / "left")
        await store.create(TASKS, task("later"))
    (tmp_path / "left" / "store.db-commits").unlink()
    async with opened(left) as store:
        assert await everything(store) == before


async def test_a_store_that_was_closed_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store:
        await a_life(store, steps=3)
        before = await everything(store)
    assert (tmp_path / "store.db-commits").stat().st_size == 0
    shutil.copy(path, tmp_path / "copy.db")
    async with opened(tmp_path / "copy.db") as store:
        assert await everything(store) == before


async def test_a_file_of_the_format_before_is_read(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store:
        await store.create(TASKS, task("old"))
        store._connection.execute("PRAGMA user_version = 1")
    (tmp_path / "store.db-commits").unlink()
    async with opened(path) as store:
        assert set(await everything(store)) == {"old"}


async def test_a_second_program_on_the_same_file_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db"):
        with pytest.raises(SettingsError, match="locked"):
            async with opened(tmp_path / "store.db"):
                pass


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Until its end every file is full at that size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_record_that_finds_the_disk_full_is_not_there_and_the_next_is(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", sync=True)
    journal.append(b"first")
    with files_no_longer_than(1000), pytest.raises(OSError, match="too large"):
        journal.append(b"x" * 5000)
    journal.append(b"third")
    journal.close(empty=False)
    again = Journal(tmp_path / "journal", sync=True)
    assert [record for record, _, _ in again.records()] == [b"first", b"third"]
    again.close(empty=True)


async def test_a_commit_that_finds_the_disk_full_fails_and_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with opened(path) as store:
        made = await store.create(TASKS, task("t1"))
        with files_no_longer_than(path.stat().st_size + store._journal.size):
            with pytest.raises(InternalError, match="free the disk"):
                await store.create(TASKS, task("big", "x" * 100_000))
            assert set(await everything(store)) == {"t1"}
        await store.create(TASKS, task("small"))
        await store.confirm(TASKS, made)
        left = as_a_kill_leaves_it(path, tmp_path / "left")
    async with opened(left) as store:
        assert set(await everything(store)) == {"t1", "small"}


@given(some.binary(max_size=40), some.binary(max_size=20), some.binary(max_size=20), some.binary(max_size=40))
def test_two_documents_share_what_they_begin_and_end_with(
    head: bytes, old: bytes, new: bytes, tail: bytes
) -> None:
    one, other = head + old + tail, head + new + tail
    begin = journals._common(one, other)
    end = journals._common_end(one, other, min(len(one), len(other)) - begin)
    assert one[:begin] + other[begin : len(other) - end] + one[len(one) - end :] == other
    assert begin >= len(head)
    assert begin + end >= min(len(head) + len(tail), len(one), len(other))
