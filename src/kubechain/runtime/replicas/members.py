"""Which replicas are alive: watches their Leases. A replica is alive as long as its Lease changes.

Time is counted by this process's own clock, from the moment a change was seen, so clocks need not agree. Before a
Lease counts as expired, it is read again, because a watch may be late. The replica that finds an expired Lease
deletes it, so that all see the same, and a replica that joins later does not wait for it. The age of a Lease that
is seen for the first time follows from the API server's clock, which stamps every write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from msgspec import Struct

from kubechain.errors import ApiError, NotFound
from kubechain.resources.builtin import LEASES, Lease
from kubechain.runtime.api import Api, DeleteOptions, Key
from kubechain.runtime.informer import Informer
from kubechain.runtime.replicas.claim import Claim, claim_of
from kubechain.runtime.replicas.lease import SCOPE, Group, written

RETRY = 1.0
"""Seconds until an expiry that could not be looked up is looked up again."""
DEFAULT_DURATION = 15
ROUNDING = 1.0
"""Seconds: the stamps of writes have no fractions."""


class Member(Struct, frozen=True):
    """A replica that is alive; `holder` is this life of it."""

    name: str
    holder: str
    claim: Claim


class _Sign(Struct):
    """The last change of a Lease: its claim, and the loop time at which the Lease expires."""

    said: tuple[str | None, str | None]
    until: float


class Members:
    """The replicas of a group. `changed` is called whenever `alive` or the leader's Lease may have.

    `lost` is called with an expired Lease in the replica that deleted it.
    """

    def __init__(self, api: Api, group: Group, changed: Callable[[], None], lost: Callable[[Lease], None]) -> None:
        self.informer = Informer(api, LEASES, group.namespace)
        self._lost = lost
        self._expired: set[str] = set()
        """Leases that have run out."""
        self._api, self._group, self._changed = api, group, changed
        self._signs: dict[str, _Sign] = {}
        self._news = asyncio.Event()
        self._started: tuple[datetime, float] | None = None
        """One moment by two clocks: the API server's, and the event loop's."""
        self.informer.on_change(self._seen)

    def alive(self) -> list[Member]:
        """All live replicas, whatever they claim."""
        found = (self.informer.get(Key(self._group.namespace, name)) for name in self._signs)
        return [
            _member(lease) for lease in found if lease is not None and lease.metadata.name not in self._expired
        ]

    def leader(self) -> Lease | None:
        """The leader's Lease, whoever holds it."""
        return self.informer.get(Key(self._group.namespace, self._group.leader))

    def set_clock(self, just_written: Lease) -> None:
        """Sets the clock of the API server from the answer to a write of this replica."""
        stamped = written(just_written)
        self._started = None if stamped is None else (stamped, asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Watches the Leases until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.informer.run())
            group.create_task(self._judge())

    def _seen(self, old: Lease | None, new: Lease | None) -> None:
        about = new or old
        if about is None:
            return
        name = about.metadata.name
        if about.metadata.labels.get(SCOPE) == self._group.scope:
            if new is None or not new.spec.holder_identity:
                self._signs.pop(name, None)
                self._expired.discard(name)
            else:
                self._sign_of_life(new)
        elif name != self._group.leader:
            return
        self._changed()

    def _sign_of_life(self, lease: Lease) -> None:
        name, said = lease.metadata.name, _said(lease)
        held = self._signs.get(name)
        if held is None or held.said != said:
            duration = lease.spec.lease_duration_seconds or DEFAULT_DURATION
            self._signs[name] = _Sign(said, asyncio.get_running_loop().time() + duration)
            self._expired.discard(name)
            self._news.set()

    async def _learn_ages(self) -> None:
        """Counts from when they were written, not from now, for Leases that were there before this replica."""
        with suppress(ApiError, OSError, TimeoutError):
            async with asyncio.timeout(RETRY):
                there = (await self._api.list(LEASES, self._group.namespace)).items
            for lease in there:
                sign = self._signs.get(lease.metadata.name)
                if sign is not None and sign.said == _said(lease):
                    sign.until -= max(0.0, self._age(lease) - ROUNDING)

    def _age(self, lease: Lease) -> float:
        """Seconds since it was written, by the API server's clock; 0 where that is not known."""
        stamped = written(lease)
        if self._started is None or stamped is None:
            return 0.0
        then, at = self._started
        return (then - stamped).total_seconds() + asyncio.get_running_loop().time() - at

    async def _judge(self) -> None:
        loop = asyncio.get_running_loop()
        await self.informer.synced.wait()
        await self._learn_ages()
        self._changed()
        while True:
            self._news.clear()
            waiting = {name: sign for name, sign in self._signs.items() if name not in self._expired}
            first = min((sign.until for sign in waiting.values()), default=None)
            try:
                async with asyncio.timeout_at(first):
                    await self._news.wait()
            except TimeoutError:
                for name, sign in waiting.items():
                    if sign.until <= loop.time():
                        await self._look_up(name, sign)

    async def _look_up(self, name: str, sign: _Sign) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(RETRY):
                fresh = await self._api.get(LEASES, name, self._group.namespace)
        except NotFound:
            self._end(name, sign)
        except (ApiError, OSError, TimeoutError):
            sign.until = loop.time() + RETRY
        else:
            self.informer.remember(fresh)
            if self._end(name, sign):
                await self._clear_away(fresh)

    def _end(self, name: str, sign: _Sign) -> bool:
        """Whether the Lease has expired."""
        if self._signs.get(name) is not sign:
            return False
        self._expired.add(name)
        self._changed()
        return True

    async def _clear_away(self, lease: Lease) -> None:
        """Deletes an expired Lease, unless it was written meanwhile or another replica deleted it first."""
        meta = lease.metadata
        exactly = DeleteOptions(uid=meta.uid, resource_version=meta.resource_version)
        with suppress(ApiError, OSError, TimeoutError):
            async with asyncio.timeout(RETRY):
                await self._api.delete(LEASES, meta.name, meta.namespace, exactly)
                self._lost(lease)


def _said(lease: Lease) -> tuple[str | None, str | None]:
    return lease.spec.holder_identity, lease.spec.renew_time


def _member(lease: Lease) -> Member:
    name = lease.metadata.name
    return Member(name, lease.spec.holder_identity or "", claim_of(name, lease.metadata.annotations))
