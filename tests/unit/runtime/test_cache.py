"""The cache: never back in time, each version told once, indices always true."""

from __future__ import annotations

import pytest

from kubechain.resources.kind import owner_uids
from kubechain.resources.taskrun import TaskRun
from kubechain.runtime.api import Key
from kubechain.runtime.cache import TOLD, Cache
from kubechain.runtime.wakes import local
from tests.unit.runtime.world import call, finished, names, run

KEY = Key("default", "r")


@pytest.fixture
def cache() -> Cache[TaskRun]:
    return Cache()


def version(obj: TaskRun | None) -> str | None:
    return None if obj is None else obj.metadata.resource_version


def told(cache: Cache[TaskRun]) -> list[tuple[str | None, str | None]]:
    """Filled with (old version, new version) as handlers hear of it."""
    heard: list[tuple[str | None, str | None]] = []

    def hear(old: TaskRun | None, new: TaskRun | None) -> None:
        heard.append((version(old), version(new)))

    cache.on_change(hear)
    return heard


def test_an_older_version_never_replaces_a_newer_one(cache: Cache[TaskRun]) -> None:
    cache.put(run("r", version=5))
    cache.put(run("r", version=4))
    held = cache.get(KEY)
    assert held is not None and held.metadata.resource_version == "5"


def test_a_remembered_write_is_told_at_once_and_not_again_by_the_watch(cache: Cache[TaskRun]) -> None:
    heard = told(cache)
    cache.put(run("r", version=4))
    cache.remember(run("r", version=5))
    cache.put(run("r", version=5))
    assert heard == [(None, "4"), ("4", "5")]


def test_what_a_writer_was_answered_is_fresh_for_a_while_and_until_something_newer_is_seen() -> None:
    now = [10.0]
    cache: Cache[TaskRun] = Cache(clock=lambda: now[0])
    listed, written = run("r", version=5), run("r", version=6)
    cache.put(listed)
    assert not cache.fresh(listed, 1.0), "a watch may lag behind"
    cache.remember(written)
    now[0] += 0.5
    assert cache.fresh(written, 1.0)
    assert not cache.fresh(listed, 1.0)
    now[0] += 0.6
    assert not cache.fresh(written, 1.0)
    cache.remember(written)
    cache.put(run("r", version=7))
    assert not cache.fresh(written, 1.0)
    cache.drop(KEY, 8)
    assert not cache.fresh(written, 1.0)


def test_only_so_many_answers_are_kept_in_mind(cache: Cache[TaskRun]) -> None:
    for number in range(3 * TOLD):
        cache.remember(run(f"r{number}", version=number + 1))
    fresh = [cache.fresh(run(f"r{number}", version=number + 1), 60.0) for number in range(3 * TOLD)]
    assert sum(fresh) == TOLD
    assert all(fresh[-TOLD:])


def test_a_remembered_write_that_the_watch_saw_deleted_stays_deleted(cache: Cache[TaskRun]) -> None:
    cache.put(run("r", version=4))
    cache.drop(KEY, 6)
    cache.delivered(6)
    cache.remember(run("r", version=5))
    assert cache.get(KEY) is None


def test_the_deletion_of_an_earlier_object_spares_a_remembered_one_of_the_same_name(cache: Cache[TaskRun]) -> None:
    cache.put(run("r", version=4))
    cache.remember(run("r", version=6))
    cache.drop(KEY, 5)
    assert cache.get(KEY) is not None


def test_a_list_deletes_what_it_lacks_but_not_what_is_newer_than_it(cache: Cache[TaskRun]) -> None:
    for name, version in (("old", 1), ("kept", 2), ("newer", 9)):
        cache.put(run(name, version=version))
    heard = told(cache)
    cache.retain({Key("default", "kept")}, 5)
    assert names(cache.list()) == ["kept", "newer"]
    assert heard == [("1", None)]


def test_an_index_follows_every_change_before_handlers_run(cache: Cache[TaskRun]) -> None:
    cache.put(run("early", "t", 1))
    cache.index("task", lambda r: [] if r.status.finished else local(r, [r.spec.task]))
    seen: list[list[str]] = []
    cache.on_change(lambda old, new: seen.append(names(cache.by("task", "default/t"))))
    cache.put(run("late", "t", 2))
    cache.put(finished(run("early", "t", 3)))
    cache.drop(Key("default", "late"), 4)
    assert seen == [["early", "late"], ["late"], []]
    assert cache.by("task", "default/other") == []


def test_an_index_nobody_declared_is_an_error(cache: Cache[TaskRun]) -> None:
    with pytest.raises(KeyError):
        cache.by("nope", "x")


def test_an_index_cannot_be_declared_twice(cache: Cache[TaskRun]) -> None:
    cache.index("task", lambda r: [r.spec.task])
    with pytest.raises(ValueError, match="declared already"):
        cache.index("task", lambda r: [])


def test_children_are_found_by_their_owners_uid() -> None:
    parent = run("r")
    parent.metadata.uid = "u1"
    child = call("c", parent)
    assert list(owner_uids(child)) == ["u1"]
    assert list(owner_uids(parent)) == []


def test_listing_is_a_snapshot(cache: Cache[TaskRun]) -> None:
    cache.put(run("a", version=1))
    for obj in cache.list():
        cache.put(run(f"{obj.metadata.name}b", version=2))
    assert len(cache) == 2


@pytest.mark.timeout(10)
def test_an_object_of_many_values_moves_in_time_in_proportion() -> None:
    values: dict[str, list[str]] = {"1": [f"t{i}" for i in range(30_000)], "2": [f"n{i}" for i in range(30_000)]}
    cache: Cache[TaskRun] = Cache()
    cache.index("values", lambda r: values[r.metadata.resource_version])
    cache.put(run("a", "t", 1))
    cache.put(run("a", "t", 2))
    assert [names(cache.by("values", value)) for value in ("t5", "n5")] == [[], ["a"]]
