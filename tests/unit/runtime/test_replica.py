"""Replicas and their Leases on fake time: joining, leaving, dying, being cut off, leading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from msgspec.structs import replace

from kubechain.errors import Forbidden, SettingsError
from kubechain.resources.builtin import EVENTS, LEASES, Lease, LeaseSpec
from kubechain.resources.kind import Kind
from kubechain.resources.model import ObjectMeta
from kubechain.runtime.api import (
    Api,
    Bookmark,
    Change,
    DeleteOptions,
    Deletion,
    Key,
    ListOptions,
    Page,
    WatchOptions,
)
from kubechain.runtime.replicas.lease import SCOPE, Group, lease_name, micro_time
from kubechain.runtime.replicas.lives import successive_lives
from kubechain.runtime.replicas.replica import LeaseLost, Replica, ReplicaSettings, membership
from kubechain.runtime.replicas.share import Share
from tests.unit.runtime.faketime import on_fake_time, settle
from tests.unit.runtime.world import MemoryApi

T = TypeVar("T")
GROUP = Group("kubechain-system")
DURATION = 12.0


def now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=asyncio.get_running_loop().time())


class Cable(MemoryApi):
    """One replica's way to the API that all share; while it is cut, nothing gets through."""

    def __init__(self, api: MemoryApi) -> None:
        self.api = api
        self.whole = asyncio.Event()
        self.whole.set()

    async def get(self, kind: Kind[T], name: str, namespace: str = "") -> T:
        await self.whole.wait()
        return await self.api.get(kind, name, namespace)

    async def list(self, kind: Kind[T], namespace: str = "", options: ListOptions | None = None) -> Page[T]:
        await self.whole.wait()
        return await self.api.list(kind, namespace, options)

    async def watch(
        self, kind: Kind[T], namespace: str = "", options: WatchOptions | None = None
    ) -> AsyncGenerator[Change[T] | Bookmark, None]:
        async for event in self.api.watch(kind, namespace, options):
            await self.whole.wait()
            yield event

    async def create(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        await self.whole.wait()
        return await self.api.create(kind, obj)

    async def put(self, kind: Kind[T], obj: T, *, dry_run: bool = False) -> T:
        await self.whole.wait()
        return await self.api.put(kind, obj)

    async def delete(
        self, kind: Kind[T], name: str, namespace: str = "", options: DeleteOptions | None = None
    ) -> Deletion[T]:
        await self.whole.wait()
        return await self.api.delete(kind, name, namespace, options)


@dataclass
class Life:
    """A replica in a task of its own, which can be killed: cancelled without any good-bye."""

    name: str
    api: Cable
    ends: str = ""
    replica: Replica | None = None
    joined: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def share(self) -> Share:
        assert self.replica is not None
        return self.replica.share

    async def run(self) -> None:
        try:
            async with membership(
                self.api, GROUP, ReplicaSettings(self.name, duration=DURATION), now
            ) as self.replica:
                self.joined.set()
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    if not self.replica.lost and self.api.whole.is_set():
                        await self.replica.drain()
        except* (LeaseLost, SettingsError) as errors:
            self.ends = str(errors.exceptions[0])

    async def stop(self) -> None:
        """SIGTERM."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])

    async def kill(self) -> None:
        """SIGKILL: whatever it does from now on reaches nobody."""
        self.api.whole.clear()
        await self.stop()


@asynccontextmanager
async def replicas(*names: str) -> AsyncIterator[tuple[MemoryApi, Callable[[str], Awaitable[Life]]]]:
    """An API, and what starts a replica."""
    api, lives = MemoryApi(), list[Life]()

    async def start(name: str) -> Life:
        life = Life(name, Cable(api))
        life.task = asyncio.create_task(life.run())
        lives.append(life)
        await asyncio.wait_for(life.joined.wait(), 1)
        await asyncio.sleep(0.5)
        return life

    yield api, start
    for life in lives:
        await life.stop()


def members(*lives: Life) -> list[set[str]]:
    """What each sees."""
    return [{name.removeprefix("kubechain-replica-") for name in life.share.view} for life in lives]


async def lease(api: Api, name: str = "kubechain-leader") -> LeaseSpec:
    return (await api.get(LEASES, name, GROUP.namespace)).spec


def events(api: MemoryApi) -> list[tuple[str, str, str]]:
    """What people were told: reason, name of the object, note."""
    told = [event for (kind, _), event in api.objects.items() if kind == EVENTS.key]
    return [(event.reason, event.regarding.name, event.note) for event in told]


async def passed(seconds: float) -> None:
    await asyncio.sleep(seconds)


@on_fake_time
async def test_the_first_leads_and_all_see_each_other() -> None:
    async with replicas() as (api, start):
        a, b = await start("a"), await start("b")
        assert members(a, b) == [{"a", "b"}] * 2
        assert (a.share.leading, b.share.leading) == (True, False)
        assert (await lease(api)).holder_identity == a.share.holder
        assert a.share.alive == {b.share.holder}
        assert events(api) == [("LeaderElection", "kubechain-leader", f"{a.share.holder} became leader")]
        owned = [(a.share.ownership(f"default/{n}"), b.share.ownership(f"default/{n}")) for n in range(50)]
        assert set(owned) == {("ours", "theirs"), ("theirs", "ours")}


@on_fake_time
async def test_leases_are_renewed_for_as_long_as_it_takes() -> None:
    async with replicas() as (api, start):
        a, b = await start("a"), await start("b")
        await passed(3600)
        assert members(a, b) == [{"a", "b"}] * 2
        leader = await lease(api)
        assert (leader.holder_identity, leader.lease_transitions) == (a.share.holder, 0)
        assert leader.renew_time is not None
        assert leader.renew_time > micro_time(now() - timedelta(seconds=DURATION / 3))


@on_fake_time
async def test_one_that_ends_hands_over_at_once() -> None:
    async with replicas() as (api, start):
        a, b = await start("a"), await start("b")
        await a.stop()
        await passed(0.2)
        assert members(b) == [{"b"}]
        assert b.share.leading
        assert {b.share.ownership(f"default/{n}") for n in range(50)} == {"ours"}
        assert (await lease(api)).lease_transitions == 1
        assert Key(GROUP.namespace, lease_name("a")) not in {key for _, key in api.objects}


@on_fake_time
async def test_one_that_is_told_to_end_finishes_what_is_in_its_hands_first() -> None:
    async with replicas() as (_, start):
        a, b = await start("a"), await start("b")
        shard = next(s for s in (f"default/{n}" for n in range(50)) if a.share.ownership(s) == "ours")
        a.share.begun(shard)
        stopping = asyncio.create_task(a.stop())
        await passed(1)
        assert b.share.leading
        owned = {s: b.share.ownership(s) for s in (f"default/{n}" for n in range(50))}
        assert {s for s, ownership in owned.items() if ownership != "ours"} == {shard}
        assert owned[shard] == "held"
        a.share.ended(shard)
        await passed(0.2)
        assert stopping.done()
        assert b.share.ownership(shard) == "ours"


@on_fake_time
async def test_what_is_in_hand_is_not_waited_for_for_ever() -> None:
    async with replicas() as (_, start):
        a, b = await start("a"), await start("b")
        a.share.begun("default/x")
        begun = asyncio.get_running_loop().time()
        await a.stop()
        assert 20 <= asyncio.get_running_loop().time() - begun < 21
        await passed(0.2)
        assert b.share.ownership("default/x") == "ours"


@on_fake_time
async def test_one_that_is_killed_is_dead_when_its_lease_has_run_out() -> None:
    async with replicas() as (api, start):
        a, b = await start("a"), await start("b")
        await passed(100)
        await a.kill()
        await passed(DURATION * 2 / 3)
        assert (members(b), b.share.leading) == ([{"a", "b"}], False)
        assert b.share.alive
        await passed(DURATION / 3 + 0.1)
        assert (members(b), b.share.leading) == ([{"b"}], True)
        assert not b.share.alive
        await settle()
        lost = f"{a.share.holder} was silent for 12 s: others take over its runs"
        assert ("ReplicaLost", "kubechain-leader", lost) in events(api)
        assert [note for reason, _, note in events(api) if reason == "LeaderElection"] == [
            f"{life.share.holder} became leader" for life in (a, b)
        ]


@on_fake_time
async def test_one_that_comes_back_under_its_name_has_its_part_again_and_nothing_of_its_former_life() -> None:
    async with replicas() as (_, start):
        a, b = await start("a"), await start("b")
        former = a.share.holder
        await a.kill()
        again = await start("a")
        assert members(again, b) == [{"a", "b"}] * 2
        assert b.share.alive == {again.share.holder} != {former}
        assert {again.share.ownership(f"default/{n}") for n in range(50)} == {"ours", "theirs"}
        assert again.share.leading or b.share.leading


@on_fake_time
async def test_one_that_is_cut_off_ends_before_anybody_takes_it_for_dead() -> None:
    async with replicas() as (_, start):
        a, b = await start("a"), await start("b")
        await passed(100)
        a.api.whole.clear()
        await passed(DURATION * 2 / 3 + 0.1)
        assert a.ends.startswith("could not renew kubechain-replica-a")
        assert not a.share.good()
        assert members(b) == [{"a", "b"}]
        await passed(DURATION / 3)
        assert members(b) == [{"b"}]


@on_fake_time
async def test_a_watch_that_stands_still_makes_nobody_dead() -> None:
    async with replicas() as (api, start):
        a, b = await start("a"), await start("b")
        api.mute = True
        await passed(10 * DURATION)
        assert members(a, b) == [{"a", "b"}] * 2
        api.unmute()


@on_fake_time
async def test_two_of_one_name_are_one_too_many() -> None:
    async with replicas() as (_, start):
        first = await start("a")
        second = await start("a")
        await passed(DURATION)
        assert "another replica calls itself a too" in first.ends
        assert not second.ends


@on_fake_time
async def test_a_lease_that_somebody_annotated_is_still_ours() -> None:
    async with replicas() as (api, start):
        a = await start("a")
        held = await api.get(LEASES, a.share.name, GROUP.namespace)
        meta = replace(held.metadata, annotations=held.metadata.annotations | {"example.com/note": "hands off"})
        await api.put(LEASES, replace(held, metadata=meta))
        await passed(100)
        assert not a.ends
        annotations = (await api.get(LEASES, a.share.name, GROUP.namespace)).metadata.annotations
        assert annotations["example.com/note"] == "hands off"


@on_fake_time
async def test_a_lease_that_was_deleted_ends_its_replica() -> None:
    async with replicas() as (api, start):
        a = await start("a")
        await api.delete(LEASES, a.share.name, GROUP.namespace)
        await passed(DURATION)
        assert a.ends == "kubechain-replica-a was deleted"


@on_fake_time
async def test_a_lease_that_has_run_out_is_cleared_away_for_all_that_join_later() -> None:
    async with replicas() as (api, start):
        a, b = await start("a"), await start("b")
        await a.kill()
        await passed(DURATION - 4)
        c = await start("c")
        assert members(b, c) == [{"a", "b", "c"}] * 2
        await passed(3)
        assert members(b, c) == [{"b", "c"}] * 2
        assert Key(GROUP.namespace, "kubechain-replica-a") not in {key for _, key in api.objects}


@on_fake_time
async def test_one_that_joins_counts_from_when_the_server_says_that_a_lease_was_written() -> None:
    async with replicas() as (api, start):
        api.stamp = now
        a, b = await start("a"), await start("b")
        await a.kill()
        await b.kill()
        await passed(DURATION - 7)
        c = await start("c")
        assert members(c) == [{"a", "b", "c"}]
        await passed(7)
        assert (members(c), c.share.leading) == ([{"c"}], True)


@on_fake_time
async def test_replicas_of_another_scope_are_none_of_ours() -> None:
    async with replicas() as (api, start):
        meta = ObjectMeta(name="kubechain-replica-z", namespace=GROUP.namespace, labels={SCOPE: "namespace"})
        await api.create(LEASES, Lease(metadata=meta, spec=LeaseSpec(holder_identity="z_1")))
        a = await start("a")
        assert members(a) == [{"a"}]
        assert Group("team-a", "team-a").leader == "kubechain-leader-team-a"


@on_fake_time
async def test_no_right_to_leases_is_said_in_a_sentence_with_the_way_on() -> None:
    api = MemoryApi(refusals=[Forbidden('leases "x" is forbidden')])
    with pytest.raises(SettingsError, match=r"Leases in the namespace kubechain-system.*Grant.*--lease-namespace"):
        async with membership(api, GROUP, ReplicaSettings("a"), now):
            pass


@on_fake_time
async def test_a_replica_that_was_cut_off_begins_anew_once_it_can() -> None:
    api, shares, ended = MemoryApi(), list[Share](), list[str]()
    cable = Cable(api)

    @asynccontextmanager
    async def work(share: Share) -> AsyncIterator[str]:
        shares.append(share)
        try:
            yield share.holder
        finally:
            ended.append(share.holder)

    async with successive_lives(cable, GROUP, ReplicaSettings("a", duration=DURATION), now, work) as lives:
        assert lives.loops == shares[0].holder
        assert lives.acting
        cable.whole.clear()
        await passed(20)
        assert not lives.acting
        assert ended == [shares[0].holder]
        assert lives.replica is None
        cable.whole.set()
        await asyncio.wait_for(lives.begun.wait(), 5)
        assert lives.loops == shares[1].holder != shares[0].holder
        assert lives.acting
        await settle()
    assert len(ended) == 2
