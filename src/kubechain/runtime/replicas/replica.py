"""One life of a replica: takes, renews and gives back its Lease, watches the others, competes for the leader's.

`app` runs the control loops inside `membership`. One task does all its writes. A replica that could not renew its
Lease in two thirds of its duration stops (LeaseLost, which cancels the block), as in a crash. That is before any
other replica considers it dead.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from msgspec import Struct, field

from kubechain.errors import AlreadyExists, ApiError, Conflict, Forbidden, KubechainError, NotFound, SettingsError
from kubechain.logs import Logger
from kubechain.resources.builtin import LEASES, Lease
from kubechain.resources.model import Clock, ObjectMeta
from kubechain.runtime.api import Api, DeleteOptions
from kubechain.runtime.recorder import CONTROLLER, EventRecorder
from kubechain.runtime.replicas import lease as leases
from kubechain.runtime.replicas.claim import Claim
from kubechain.runtime.replicas.lease import Group, lease_name
from kubechain.runtime.replicas.members import Members
from kubechain.runtime.replicas.share import Share

log = Logger(__name__)
GATHER = 0.05
"""Seconds in which changes of a claim are gathered into one write."""
RETRY = 0.5
GOODBYE = 2.0
"""Seconds that giving back a Lease may take; it runs out by itself otherwise."""


class LeaseLost(KubechainError):
    """This life of the replica ends: its Lease could not be renewed in time, or another replica holds it."""


def identity() -> str:
    """$POD_NAME, else the host's name and something random."""
    return os.environ.get("POD_NAME") or f"{platform.node() or 'host'}-{secrets.token_hex(3)}"


class ReplicaSettings(Struct, frozen=True):
    """`name` must be that of no other replica alive; `namespace` "" is the pod's, or the kubeconfig context's.

    `duration` (seconds): how long a silent replica counts as alive. `drain` (seconds): how long a replica
    that is told to stop continues with what is in progress.
    """

    name: str = field(default_factory=identity)
    namespace: str = ""
    duration: float = 12.0
    drain: float = 20.0


class Replica:
    """A life of the replica, inside `membership`."""

    def __init__(self, api: Api, group: Group, settings: ReplicaSettings, clock: Clock) -> None:
        self.name = lease_name(settings.name)
        holder = f"{settings.name}_{secrets.token_hex(4)}"
        self.share = Share(self.name, holder, on_rest=self._at_rest, good=self._good)
        self.members = Members(api, group, self._changed, self._lost)
        self.events = EventRecorder(api, CONTROLLER, clock, instance=self.share.holder)
        self._api, self._group, self._settings, self._clock = api, group, settings, clock
        self._lease = Lease()
        self._leading: Lease | None = None
        self._leaving = False
        self.lost = False
        """Whether the Lease is known to be gone."""
        self._good_until = 0.0
        self._news = asyncio.Event()
        self._rest = asyncio.Event()

    def _good(self) -> bool:
        return asyncio.get_running_loop().time() < self._good_until

    async def join(self) -> None:
        """Takes the Lease; waits as long as that takes. Raises SettingsError where that is not allowed."""
        while True:
            begun = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(self._deadline):
                    self._lease = await self._take()
                self._good_until = begun + self._deadline
                self.members.set_clock(self._lease)
                return
            except (Forbidden, NotFound) as error:
                raise SettingsError(
                    f"replicas find each other by Leases in the namespace {self._group.namespace}: {error}. "
                    "Grant get, list, watch, create, update and delete of leases there, or name another namespace "
                    "with --lease-namespace"
                ) from None
            except (ApiError, OSError, TimeoutError) as error:
                log.warning("cannot take the lease, retrying", lease=self.name, error=str(error) or "no answer")
                await asyncio.sleep(RETRY)

    async def _take(self) -> Lease:
        name, namespace = self.name, self._group.namespace
        try:
            old = await self._api.get(LEASES, name, namespace)
        except NotFound:
            return await self._api.create(LEASES, self._own(None))
        return await self._api.put(LEASES, self._own(old))

    def _own(self, old: Lease | None) -> Lease:
        duration = self._settings.duration
        return leases.own(self._group, self.name, self.share.holder, duration, self._clock(), old)

    async def keep(self) -> None:
        """Renews the Lease with the newest claim, and leads if it can, until cancelled. Raises LeaseLost."""
        loop = asyncio.get_running_loop()
        renew_at = loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(renew_at):
                    await self._news.wait()
                    await asyncio.sleep(GATHER)
            self._news.clear()
            try:
                async with asyncio.timeout_at(self._good_until):
                    if loop.time() >= renew_at or self._has_to_tell:
                        renew_at = loop.time() + self._settings.duration / 4
                        await self._tell()
            except TimeoutError:
                self.lost = True
                raise LeaseLost(f"could not renew {self.name} within {self._deadline:g} s") from None
            await self._lead()

    async def drain(self) -> None:
        """Hands over everything that is not in progress, and waits for the rest to finish.

        Needs `keep` running. A second call returns at once.
        """
        if self._leaving:
            return
        self._leaving = True
        self._changed()
        self._rest.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain):
                while self.share.busy:
                    await self._rest.wait()
                    self._rest.clear()

    async def leave(self) -> None:
        """Gives the Leases back: the others take over at once. Never raises an ApiError."""
        if self.lost or not self._lease.metadata.uid:
            return
        with suppress(ApiError, OSError, TimeoutError):
            async with asyncio.timeout(GOODBYE):
                if self._leading is not None:
                    await self._api.put(LEASES, leases.released(self._leading, self._clock()))
                await self._api.delete(LEASES, self.name, self._group.namespace, _exactly(self._lease))

    async def _tell(self) -> None:
        """Renews the Lease with the newest claim in it; tries again for as long as it may."""
        loop, complaint = asyncio.get_running_loop(), ""
        while True:
            begun, claim = loop.time(), self.share.due(leaving=self._leaving)
            try:
                async with asyncio.timeout(self._patience):
                    self._lease = await self._write(claim)
                break
            except (ApiError, OSError, TimeoutError) as error:
                if complaint != (complaint := str(error) or "no answer"):
                    log.warning("cannot renew the lease, retrying", lease=self.name, error=complaint)
                await asyncio.sleep(RETRY)
        self._good_until = begun + self._deadline
        self.share.tell(claim)

    async def _write(self, claim: Claim) -> Lease:
        try:
            return await self._api.put(LEASES, leases.claimed(self._lease, claim, self._clock()))
        except NotFound:
            self.lost = True
            raise LeaseLost(f"{self.name} was deleted") from None
        except Conflict:
            fresh = await self._api.get(LEASES, self.name, self._group.namespace)
        if fresh.spec.holder_identity != self.share.holder:
            self.lost = True
            raise SettingsError(
                f"another replica calls itself {self._settings.name} too: give each a name of its own ($POD_NAME)"
            )
        return await self._api.put(LEASES, leases.claimed(fresh, claim, self._clock()))

    async def _lead(self) -> None:
        """Renews, takes or gives back the leader's Lease. Losing the race for it is not an error."""
        moment, held = self._clock(), self._leading
        try:
            async with asyncio.timeout(self._patience):
                if held is not None and self._leaving:
                    self._follow()
                    await self._api.put(LEASES, leases.released(held, moment))
                elif held is not None:
                    self._leading = await self._api.put(LEASES, leases.renewed(held, moment))
                elif self._may_lead:
                    self._leading = await self._take_lead()
                    self.share.lead(True)
                    log.info("leads", replica=self.share.holder)
                    told = f"{self.share.holder} became leader"
                    self.events.normal(LEASES, self._leading, "LeaderElection", told, action="Lead")
        except (Conflict, AlreadyExists, NotFound):
            self._follow()
        except (ApiError, OSError, TimeoutError) as error:
            log.warning(
                "the leader's lease cannot be written", lease=self._group.leader, error=str(error) or "no answer"
            )

    async def _take_lead(self) -> Lease:
        group, holder, duration = self._group, self.share.holder, self._settings.duration
        there = self.members.leader()
        if there is not None:
            return await self._api.put(LEASES, leases.taken(there, holder, duration, self._clock()))
        fresh = Lease(metadata=ObjectMeta(name=group.leader, namespace=group.namespace))
        return await self._api.create(LEASES, leases.taken(fresh, holder, duration, self._clock()))

    def _lost(self, lease: Lease) -> None:
        """Records an Event about a replica that died, on the leader's Lease, because its own was deleted."""
        said, about = lease.spec, self.members.leader() or lease
        silent = f"{said.holder_identity} was silent for {said.lease_duration_seconds} s"
        self.events.warning(
            LEASES, about, "ReplicaLost", f"{silent}: others take over its runs", action="TakeOver"
        )

    def _follow(self) -> None:
        self._leading = None
        self.share.lead(False)

    def _changed(self) -> None:
        """Called when other replicas joined, left or changed their claims."""
        if not self.members.informer.synced.is_set():
            return
        others = [member for member in self.members.alive() if member.name != self.name]
        view = frozenset(member.name for member in others if not member.claim.leaving) | {self.name}
        alive = frozenset(member.holder for member in others)
        self.share.see(frozenset() if self._leaving else view, (member.claim for member in others), alive)
        if self._has_to_tell or self._may_lead:
            self._news.set()

    def _at_rest(self) -> None:
        self._rest.set()
        self._news.set()

    @property
    def _has_to_tell(self) -> bool:
        return self.share.due(leaving=self._leaving) != self.share.said

    @property
    def _may_lead(self) -> bool:
        """Whether no live replica leads."""
        leader = self.members.leader()
        free = leader is None or leader.spec.holder_identity not in self.share.alive
        return free and self.members.informer.synced.is_set() and self._leading is None and not self._leaving

    @property
    def _deadline(self) -> float:
        return self._settings.duration * 2 / 3

    @property
    def _patience(self) -> float:
        """Seconds that one request may take."""
        return self._settings.duration / 4


def _exactly(lease: Lease) -> DeleteOptions:
    """The precondition that the Lease was not written since."""
    return DeleteOptions(uid=lease.metadata.uid, resource_version=lease.metadata.resource_version)


@asynccontextmanager
async def membership(api: Api, group: Group, settings: ReplicaSettings, clock: Clock) -> AsyncIterator[Replica]:
    """A life of the replica while the block lasts. If the life ends first, the block is cancelled with LeaseLost.

    Raises SettingsError: no right to Leases, or two replicas of one name.
    """
    replica = Replica(api, group, settings, clock)
    await replica.join()
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(part) for part in (replica.members.run(), replica.keep(), replica.events.run())
            ]
            try:
                yield replica
            finally:
                for task in running:
                    task.cancel()
    finally:
        await replica.leave()
