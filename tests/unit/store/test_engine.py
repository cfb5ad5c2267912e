"""What the store promises beyond the port: lasting files, a bounded history, readers that hold nobody up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kubechain.errors import Gone, NotFound, TooLarge
from kubechain.resources.builtin import EVENTS, NAMESPACES, Event, Namespace
from kubechain.resources.kind import owner_reference
from kubechain.resources.model import ObjectMeta
from kubechain.resources.refusals import Expired
from kubechain.resources.registry import ALL
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.runtime.api import Bookmark, Change, ListOptions, WatchOptions
from kubechain.runtime.clock import now
from kubechain.runtime.selectors import labels, parse_fields
from kubechain.store import engine
from kubechain.store.engine import Store

pytestmark = pytest.mark.timeout(60)
WAIT = 20


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def pass_(self, **span: float) -> None:
        self.time += timedelta(**span)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def store(tmp_path: Path, clock: Hands) -> AsyncIterator[Store]:
    async with Store.open(tmp_path / "store.db", clock=clock, synchronous="OFF") as store:
        yield store


def task(name: str = "t1", message: str = "hello", **meta: object) -> Task:
    return Task(
        metadata=ObjectMeta(name=name, namespace="default", **meta),  # type: ignore[arg-type]
        spec=TaskSpec(agent="a", user_message=message),
    )


async def changed(store: Store, name: str, times: int) -> list[Task]:
    """The states of a task that is created and then changed."""
    states = [await store.create(TASKS, task(name, "0"))]
    for number in range(times):
        merge = {"spec": {"userMessage": f"{number + 1}"}}
        states.append(await store.patch(TASKS, name, "default", merge))  # type: ignore[arg-type]
    return states


# the file


async def test_a_reopened_store_holds_what_it_held_and_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store.db"
    async with Store.open(path, clock=now) as store:
        states = await changed(store, "t1", 3)
        await store.delete(NAMESPACES, (await store.create(NAMESPACES, _namespace("gone"))).metadata.name)
    async with Store.open(path, clock=now) as store:
        assert await store.get(TASKS, "t1", "default") == states[-1]
        options = WatchOptions(since=states[0].metadata.resource_version)
        async with asyncio.timeout(WAIT), aclosing(store.watch(TASKS, "default", options)) as events:
            seen = [await anext(events) for _ in range(3)]
        assert [e.object for e in seen if isinstance(e, Change)] == states[1:]
        other = await store.create(TASKS, task("t2"))
        assert int(other.metadata.resource_version) > int(states[-1].metadata.resource_version)
        await _until_gone(store, "gone")


async def test_a_deletion_that_is_the_newest_write_is_not_counted_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with Store.open(path, clock=now) as store:
        await store.create(TASKS, task())
        deletion = await store.delete(TASKS, "t1", "default")
        await store.compact(10**9)
    async with Store.open(path, clock=now) as store:
        made = await store.create(TASKS, task())
    assert int(made.metadata.resource_version) > int(deletion.object.metadata.resource_version)


async def test_dependants_left_by_a_crash_are_collected_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with Store.open(path, clock=now) as store:
        owner = await store.create(TASKS, task("owner"))
        reference = owner_reference(TASKS, owner.metadata)
        await store.create(TASKS, task("child", owner_references=[reference]))
    cx = sqlite3.connect(path)
    with cx:
        cx.execute("DELETE FROM current WHERE name = 'owner'")
        cx.execute("DELETE FROM log WHERE name = 'owner'")
    cx.close()
    async with Store.open(path, clock=now) as store:
        await _until_gone(store, "child")


async def test_an_object_over_the_limit_is_refused(store: Store) -> None:
    with pytest.raises(TooLarge, match="the limit is 1572864"):
        await store.create(TASKS, task(message="x" * 1_600_000))
    with pytest.raises(NotFound):
        await store.get(TASKS, "t1", "default")


async def test_a_temporary_store_works_without_a_path() -> None:
    async with Store.open(None, clock=now) as store:
        made = await store.create(TASKS, task())
        assert await store.get(TASKS, "t1", "default") == made


async def test_an_error_inside_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with Store.open(tmp_path / "store.db", clock=now):
            raise KeyError("mine")


async def test_many_writers_share_transactions(store: Store) -> None:
    before = store._ledger.batches
    await asyncio.gather(*(store.create(TASKS, task(f"t{n}")) for n in range(200)))
    assert store._ledger.batches - before <= 3


async def test_what_follows_an_unwritten_write_sees_it(store: Store) -> None:
    made, refused = await asyncio.gather(
        store.create(TASKS, task()), store.create(TASKS, task()), return_exceptions=True
    )
    assert isinstance(made, Task)
    assert str(refused) == 'tasks.kubechain.humanlayer.dev "t1" already exists'
    changed, deleted, again = await asyncio.gather(
        store.patch(TASKS, "t1", "default", {"spec": {"userMessage": "a"}}),
        store.delete(TASKS, "t1", "default"),
        store.create(TASKS, task()),
    )
    versions = [int(o.metadata.resource_version) for o in (made, changed, deleted.object, again)]
    assert versions == sorted(set(versions))
    assert await store.get(TASKS, "t1", "default") == again


# history


async def test_a_watch_from_before_the_kept_history_is_gone(store: Store) -> None:
    states = await changed(store, "t1", 4)
    oldest, middle = states[0].metadata.resource_version, states[2].metadata.resource_version
    await store.compact(int(middle))
    with pytest.raises(Gone) as caught:
        await anext(store.watch(TASKS, "default", WatchOptions(since=oldest)))
    assert caught.value.message == f"too old resource version: {oldest} ({middle})"
    with pytest.raises(Gone, match="resourceVersion for the provided list is too old"):
        await store.list(TASKS, options=ListOptions(resource_version=oldest, match="Exact"))
    async with (
        asyncio.timeout(WAIT),
        aclosing(store.watch(TASKS, "default", WatchOptions(since=middle))) as events,
    ):
        seen = [await anext(events) for _ in range(2)]
    assert [e.object for e in seen if isinstance(e, Change)] == states[3:]
    exact = await store.list(TASKS, options=ListOptions(resource_version=middle, match="Exact"))
    assert exact.items == [states[2]]


async def test_a_token_from_before_the_kept_history_offers_the_rest_of_the_present(store: Store) -> None:
    for name in ("a", "b", "c"):
        await store.create(TASKS, task(name))
    page = await store.list(TASKS, options=ListOptions(limit=1))
    await changed(store, "d", 2)
    await store.compact(10**9)
    with pytest.raises(Expired) as caught:
        await store.list(TASKS, options=ListOptions(limit=1, continue_token=page.continue_token))
    rest = await store.list(TASKS, options=ListOptions(continue_token=caught.value.continue_token))
    assert [t.metadata.name for t in rest.items] == ["b", "c", "d"]


async def test_history_is_kept_for_five_minutes_and_the_present_for_ever(store: Store, clock: Hands) -> None:
    states = await changed(store, "t1", 5)
    await store.create(TASKS, task("t2"))
    await store.delete(TASKS, "t2", "default")
    await store.create(TASKS, task("t3"))
    await store._history.forget()
    clock.pass_(minutes=4, seconds=59)
    await store._history.forget()
    since = WatchOptions(since=states[0].metadata.resource_version)
    async with aclosing(store.watch(TASKS, "default", since)) as events:
        await anext(events)
    clock.pass_(seconds=2)
    await store._history.forget()
    with pytest.raises(Gone):
        await anext(store.watch(TASKS, "default", since))
    assert [t.metadata.name for t in (await store.list(TASKS)).items] == ["t1", "t3"]
    assert await store.get(TASKS, "t1", "default") == states[-1]
    (lines,) = store._connections.reading.execute("SELECT count(*) FROM log").fetchone()
    (objects,) = store._connections.reading.execute("SELECT count(*) FROM current").fetchone()
    assert lines == objects


async def test_a_store_with_nothing_to_forget_sleeps(store: Store, clock: Hands) -> None:
    await changed(store, "t1", 2)
    await store._history.forget()
    assert store._history._seconds_left() == 300
    for _ in range(2):
        clock.pass_(hours=1)
        await store._history.forget()
    assert store._history._seconds_left() is None


async def test_events_are_removed_after_an_hour(store: Store, clock: Hands) -> None:
    event = Event(metadata=ObjectMeta(name="e1", namespace="default"), reason="Created")
    await store.create(EVENTS, event)
    await store._history.forget()
    clock.pass_(minutes=30)
    event.metadata.name = "e2"
    made = await store.create(EVENTS, event)
    await store._history.forget()
    clock.pass_(minutes=31)
    options = WatchOptions(since=made.metadata.resource_version)
    async with asyncio.timeout(WAIT), aclosing(store.watch(EVENTS, "default", options)) as events:
        await store._history.forget()
        removed = await anext(events)
    assert isinstance(removed, Change)
    assert (removed.type, removed.key.name) == ("DELETED", "e1")
    assert [e.metadata.name for e in (await store.list(EVENTS)).items] == ["e2"]


async def test_events_are_selected_by_the_names_of_both_their_views(store: Store) -> None:
    body = b'{"metadata":{"name":"e","namespace":"default"},"regarding":{"name":"x"},"reportingController":"c"}'
    await store.create(EVENTS.raw, body)
    for text in ("involvedObject.name=x", "regarding.name=x", "reportingComponent=c", "involvedObject.name!=y"):
        assert len((await store.list(EVENTS, options=ListOptions(fields=parse_fields(text)))).items) == 1
    assert (
        await store.list(EVENTS, options=ListOptions(fields=parse_fields("involvedObject.name=y")))
    ).items == []


# watches


async def test_a_reader_that_falls_behind_misses_nothing_and_holds_nobody_up(store: Store) -> None:
    made = await store.create(TASKS, task("t", "0"))
    count = 1500
    async with (
        asyncio.timeout(WAIT),
        aclosing(store.watch(TASKS, "default", WatchOptions(since=made.metadata.resource_version))) as events,
    ):
        await store.patch(TASKS, "t", "default", {"spec": {"userMessage": "1"}})
        seen = [await anext(events)]
        for number in range(2, count):
            merge = {"spec": {"userMessage": f"{number}"}}
            await store.patch(TASKS, "t", "default", merge)  # type: ignore[arg-type]
        (subscription,) = next(iter(store._hub._subscriptions.values()))
        assert subscription.behind
        seen += [await anext(events) for _ in range(2, count)]
    texts = [e.object.spec.user_message for e in seen if isinstance(e, Change)]
    assert texts == [f"{n}" for n in range(1, count)]


async def test_a_selecting_watch_behind_the_log_sees_the_same_transitions(store: Store) -> None:
    made = await store.create(TASKS, task(labels={"on": "yes"}))
    for value in ("no", "yes", "no"):
        await store.patch(TASKS, "t1", "default", {"metadata": {"labels": {"on": value}}})
    options = WatchOptions(labels=labels(on="yes"), since=made.metadata.resource_version)
    async with asyncio.timeout(WAIT), aclosing(store.watch(TASKS, "default", options)) as events:
        seen = [await anext(events) for _ in range(3)]
    changes = [e for e in seen if isinstance(e, Change)]
    assert [c.type for c in changes] == ["DELETED", "ADDED", "DELETED"]
    assert [c.object.metadata.labels for c in changes] == [{"on": "yes"}] * 3


async def test_a_watch_ends_when_the_store_closes(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "store.db", clock=now) as store:
        events = store.watch(TASKS, "default")
        await store.create(TASKS, task())
        await anext(events)
        waiting = asyncio.ensure_future(anext(events, None))
        await asyncio.sleep(0)
    async with asyncio.timeout(WAIT):
        assert await waiting is None


async def test_a_closed_watch_is_forgotten(store: Store) -> None:
    await store.create(TASKS, task())
    async with aclosing(store.watch(TASKS, "default")) as events:
        await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        assert sum(map(len, store._hub._subscriptions.values())) == 1
        waiting.cancel()
        await asyncio.wait([waiting])
    assert sum(map(len, store._hub._subscriptions.values())) == 0


async def test_a_silent_watch_is_told_how_far_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_BOOKMARK_EVERY", 0.01)
    made = await store.create(TASKS, task())
    options = WatchOptions(since=made.metadata.resource_version, bookmarks=True)
    other = await store.create(NAMESPACES, _namespace("n"))
    async with asyncio.timeout(WAIT), aclosing(store.watch(TASKS, "default", options)) as events:
        assert await anext(events) == Bookmark(other.metadata.resource_version)


async def test_a_watch_from_the_future_is_silent_until_it_is_reached(store: Store) -> None:
    made = await store.create(TASKS, task())
    since = f"{int(made.metadata.resource_version) + 2}"
    async with asyncio.timeout(WAIT), aclosing(store.watch(TASKS, "default", WatchOptions(since=since))) as events:
        waiting = asyncio.ensure_future(anext(events))
        for name in ("a", "b", "c"):
            await store.create(TASKS, task(name))
        seen = await waiting
    assert isinstance(seen, Change)
    assert seen.key.name == "c"


# scale and collection


async def test_a_long_list_is_read_in_pieces_and_is_still_one_snapshot(store: Store) -> None:
    await asyncio.gather(*(store.create(TASKS, task(f"t{n:04}")) for n in range(700)))
    listing = asyncio.ensure_future(store.list(TASKS))
    await asyncio.sleep(0)
    deletions = asyncio.gather(*(store.delete(TASKS, f"t{n:04}", "default") for n in range(0, 700, 3)))
    page = await listing
    await deletions
    assert [t.metadata.name for t in page.items] == [f"t{n:04}" for n in range(700)]


async def test_a_thousand_dependants_are_collected(store: Store) -> None:
    owner = await store.create(TASKS, task("owner"))
    references = [owner_reference(TASKS, owner.metadata)]
    await asyncio.gather(*(store.create(TASKS, task(f"c{n}", owner_references=references)) for n in range(1000)))
    await store.delete(TASKS, "owner", "default")
    await _until_empty(store)


async def test_a_namespace_made_again_keeps_its_new_contents(store: Store) -> None:
    def begin(name: str) -> None:
        """What a timer calls two seconds after each change of a namespace that is to go."""
        store._garbage._begin(store._writes.address(NAMESPACES, "", name))

    await store.create(NAMESPACES, _namespace("n"))
    await store.delete(NAMESPACES, "n")
    await store.patch(NAMESPACES, "n", "", {"metadata": {"labels": {"a": "b"}}})
    begin("n")
    await _until_gone(store, "n")
    await store.create(NAMESPACES, _namespace("n"))
    new = task()
    new.metadata.namespace = "n"
    await store.create(TASKS, new)
    begin("n")
    await store.create(NAMESPACES, _namespace("m"))
    await store.delete(NAMESPACES, "m")
    begin("m")
    await _until_gone(store, "m")
    assert (await store.get(TASKS, "t1", "n")).metadata.deletion_timestamp is None


def test_every_kind_there_is_can_be_stored() -> None:
    assert len({kind.key for kind in ALL}) == len(ALL)


def _namespace(name: str) -> Namespace:
    return Namespace(metadata=ObjectMeta(name=name))


async def _until_gone(store: Store, name: str) -> None:
    """Returns when no task and no namespace of that name is left."""
    options = ListOptions(fields=parse_fields(f"metadata.name={name}"))
    async with asyncio.timeout(WAIT):
        for kind in (TASKS, NAMESPACES):
            page = await store.list(kind.raw, options=options)
            if not page.items:
                continue
            watch = WatchOptions(fields=options.fields, since=page.resource_version)
            async with aclosing(store.watch(kind.raw, options=watch)) as events:
                async for event in events:
                    if isinstance(event, Change) and event.type == "DELETED":
                        break


async def _until_empty(store: Store) -> None:
    """Returns when no task is left."""
    async with asyncio.timeout(WAIT):
        page = await store.list(TASKS)
        left = {t.metadata.name for t in page.items}
        async with aclosing(store.watch(TASKS, options=WatchOptions(since=page.resource_version))) as events:
            while left:
                event = await anext(events)
                if isinstance(event, Change) and event.type == "DELETED":
                    left.discard(event.key.name)
