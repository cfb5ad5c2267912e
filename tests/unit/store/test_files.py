"""The files of a store: private, readable by others, taken over from before, whole or refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from kubechain.errors import NotFound, SettingsError
from kubechain.resources.model import ObjectMeta
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.runtime.api import ListOptions
from kubechain.runtime.clock import now
from kubechain.store.engine import Store

pytestmark = pytest.mark.timeout(60)

FORMAT_2 = """
CREATE TABLE resource (
  id INTEGER PRIMARY KEY, api_group TEXT NOT NULL, plural TEXT NOT NULL, UNIQUE (api_group, plural)
);
CREATE TABLE log (
  rev INTEGER PRIMARY KEY, resource INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  type INTEGER NOT NULL, prev INTEGER NOT NULL, body BLOB
);
CREATE TABLE current (
  resource INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  rev INTEGER NOT NULL, uid TEXT NOT NULL, deleting INTEGER NOT NULL,
  PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE owner (
  uid TEXT NOT NULL, resource INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  PRIMARY KEY (uid, resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE mark (time INTEGER PRIMARY KEY, rev INTEGER NOT NULL);
CREATE TABLE meta (compacted INTEGER NOT NULL);
INSERT INTO meta VALUES (0);
INSERT INTO resource VALUES (1, '', 'namespaces'), (2, 'kubechain.humanlayer.dev', 'tasks');
INSERT INTO log VALUES
  (1, 1, '', 'default', 0, 0, CAST('{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default","uid":"u1",
"resourceVersion":"1"},"spec":{"finalizers":["kubernetes"]},"status":{"phase":"Active"}}' AS BLOB)),
  (2, 2, 'default', 'gone', 0, 0, CAST('{"apiVersion":"kubechain.humanlayer.dev/v1alpha1","kind":"Task","metadata":
{"name":"gone","namespace":"default","uid":"u2","resourceVersion":"2"},"spec":{"agent":"a"}}' AS BLOB)),
  (3, 2, 'default', 'old', 0, 0, CAST('{"apiVersion":"kubechain.humanlayer.dev/v1alpha1","kind":"Task","metadata":
{"name":"old","namespace":"default","uid":"u3","resourceVersion":"3"},"spec":{"agent":"a","userMessage":"kept"}}'
AS BLOB)),
  (4, 2, 'default', 'gone', 2, 2, NULL);
INSERT INTO current VALUES (1, '', 'default', 1, 'u1', 0), (2, 'default', 'old', 3, 'u3', 0);
PRAGMA user_version = 2;
"""
"""What was written before commits went to SQLite alone."""


def task(name: str = "t1", message: str = "hello") -> Task:
    return Task(
        metadata=ObjectMeta(name=name, namespace="default"), spec=TaskSpec(agent="a", user_message=message)
    )


def of_format_2(path: Path) -> None:
    cx = sqlite3.connect(path)
    cx.execute("PRAGMA journal_mode = WAL")
    cx.executescript(FORMAT_2)
    cx.close()


async def names(store: Store) -> list[str]:
    return [one.metadata.name for one in (await store.list(TASKS)).items]


async def refusal(path: Path) -> str:
    """The sentence with which a store is not opened."""
    with pytest.raises(SettingsError) as caught:
        async with Store.open(path, clock=now):
            pass
    return str(caught.value)


async def filled(path: Path, count: int = 40) -> None:
    async with Store.open(path, clock=now, synchronous="OFF") as store:
        for n in range(count):
            await store.create(TASKS, task(f"t{n}", f"message {n} " + "x" * 300))


async def killed(path: Path, folder: Path, count: int = 10) -> Path:
    """The files of a store as a kill leaves them: every commit is in SQLite's log, none in the file."""
    async with Store.open(path, clock=now, synchronous="OFF") as store:
        for n in range(count):
            await store.create(TASKS, task(f"t{n}", f"message {n} " + "x" * 300))
        folder.mkdir()
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copy(file, folder)
    return folder / path.name


def turned(path: Path, text: bytes, at: int = 0) -> None:
    """Turns one bit of a file, where it has that text."""
    data = bytearray(path.read_bytes())
    data[data.index(text) + at] ^= 1
    path.write_bytes(data)


async def test_the_files_are_private(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "store.db", clock=now):
        assert len(list(tmp_path.iterdir())) == 4
        for path in tmp_path.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_current_objects_are_shown_to_other_programs_while_it_runs(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "store.db", clock=now) as store:
        await store.create(TASKS, task("gone"))
        made = await store.create(TASKS, task())
        made.status.status_detail = "seen"
        made = await store.put_status(TASKS, made)
        await store.delete(TASKS, "gone", "default")
        other = sqlite3.connect(f"file:{tmp_path / 'store.db'}?mode=ro", uri=True)
        query = "SELECT api_group, namespace, name, revision, body FROM objects WHERE plural = 'tasks'"
        (row,) = other.execute(query).fetchall()
        detail = "SELECT json_extract(body, '$.status.statusDetail') FROM objects WHERE plural = 'tasks'"
        assert other.execute(detail).fetchone() == ("seen",)
        other.close()
    *place, body = row
    assert place == ["kubechain.humanlayer.dev", "default", "t1", int(made.metadata.resource_version)]
    assert isinstance(body, str)
    assert json.loads(body) == json.loads(TASKS.encode(made))


async def test_a_store_that_was_closed_is_one_file(tmp_path: Path) -> None:
    await filled(tmp_path / "store.db", 3)
    shutil.copy(tmp_path / "store.db", tmp_path / "copy.db")
    async with Store.open(tmp_path / "copy.db", clock=now) as store:
        assert await names(store) == ["t0", "t1", "t2"]


async def test_what_was_committed_is_there_after_a_kill(tmp_path: Path) -> None:
    left = await killed(tmp_path / "store.db", tmp_path / "left", 300)
    async with Store.open(left, clock=now) as store:
        assert len(await names(store)) == 300


async def test_a_second_program_on_the_same_file_is_refused_and_the_next_is_not(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "store.db", clock=now):
        assert "is locked: another KubeChain uses it" in await refusal(tmp_path / "store.db")
    async with Store.open(tmp_path / "store.db", clock=now):
        pass


# former and other formats


async def test_a_file_of_the_format_before_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    of_format_2(path)
    (tmp_path / "store.db-commits").touch()
    for expected in ("kept", "changed"):
        async with Store.open(path, clock=now) as store:
            assert await names(store) == ["old"]
            old = await store.get(TASKS, "old", "default")
            assert old.spec.user_message == expected
            then = await store.list(TASKS, options=ListOptions(resource_version="2", match="Exact"))
            assert [one.metadata.name for one in then.items] == ["gone"]
            old.spec.user_message = "changed"
            assert int((await store.put(TASKS, old)).metadata.resource_version) > 4
    assert not (tmp_path / "store.db-commits").exists()


async def test_a_file_of_the_format_before_that_was_not_stopped_is_refused_as_it_is(
    tmp_path: Path,
) -> None:
    of_format_2(tmp_path / "store.db")
    (tmp_path / "store.db-commits").write_bytes(b"records")
    before = (tmp_path / "store.db").read_bytes()
    text = await refusal(tmp_path / "store.db")
    assert "store.db-commits has commits that only the KubeChain which wrote them can read" in text
    assert "start that one again, stop it with `kubechain down`, then start this one" in text
    assert (tmp_path / "store.db").read_bytes() == before
    assert (tmp_path / "store.db-commits").read_bytes() == b"records"


async def test_a_file_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    cx = sqlite3.connect(tmp_path / "store.db")
    cx.execute("PRAGMA user_version = 99")
    cx.close()
    assert "written by a newer KubeChain (format 99)" in await refusal(tmp_path / "store.db")


async def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    assert "cannot be used as a store" in await refusal(tmp_path / "state" / "store.db")


# damage


def test_a_turned_bit_turns_one_byte(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    turned(tmp_path / "file", b"bc")
    assert (tmp_path / "file").read_bytes() == b"acc"


def a_letter_of_a_document(path: Path) -> None:
    turned(path, b"message 17", at=3)


def the_tree_of_a_table(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 1024] = bytes(1024)
    path.write_bytes(data)


def the_beginning(path: Path) -> None:
    turned(path, b"SQLite format 3")


def the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3000])


def what_is_current(path: Path) -> None:
    cx = sqlite3.connect(path)
    with cx:
        cx.execute("UPDATE current SET rev = rev - 1 WHERE name = 't7'")
    cx.close()


DAMAGE = [a_letter_of_a_document, the_tree_of_a_table, the_beginning, the_end, what_is_current]


@pytest.mark.parametrize("harm", DAMAGE, ids=lambda harm: harm.__name__)
async def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    path = tmp_path / "store.db"
    await filled(path)
    harm(path)
    before = path.read_bytes()
    text = await refusal(path)
    assert f"{path} is damaged (" in text
    assert "Restore a backup, or start with another folder. To read what is left, use .dump or" in text
    assert path.read_bytes() == before


async def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("no database\n" * 1000)
    assert "is damaged (file is not a database)" in await refusal(tmp_path / "store.db")


@pytest.mark.parametrize("text", [b"message 0", b"message 4", b"message 8", b"\x37\x7f\x06"])
async def test_a_damaged_log_of_sqlite_is_refused_and_left_as_it_is(tmp_path: Path, text: bytes) -> None:
    left = await killed(tmp_path / "store.db", tmp_path / "left")
    log = left.with_name("store.db-wal")
    turned(log, text)
    before = log.read_bytes()
    assert "commits in store.db-wal cannot be read" in await refusal(left)
    assert log.read_bytes() == before


async def test_a_last_commit_that_was_cut_off_is_dropped_and_all_before_it_are_there(tmp_path: Path) -> None:
    left = await killed(tmp_path / "store.db", tmp_path / "left")
    log = left.with_name("store.db-wal")
    log.write_bytes(log.read_bytes()[:-1500])
    async with Store.open(left, clock=now) as store:
        assert await names(store) == [f"t{n}" for n in range(9)]
        with pytest.raises(NotFound):
            await store.get(TASKS, "t9", "default")
        await store.create(TASKS, task("t9"))


async def test_what_is_left_in_sqlites_log_from_before_a_checkpoint_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with Store.open(path, clock=now, synchronous="OFF") as store:
        for n in range(50):
            await store.create(TASKS, task(f"t{n}", "x" * 300))
        store._connections.writing.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        await store.create(TASKS, task("t50"))
        (tmp_path / "left").mkdir()
        for file in tmp_path.glob("store.db*"):
            shutil.copy(file, tmp_path / "left")
    assert (tmp_path / "left" / "store.db-wal").stat().st_size > 50_000
    async with Store.open(tmp_path / "left" / "store.db", clock=now) as store:
        assert len(await names(store)) == 51
