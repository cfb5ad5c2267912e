"""Runs the control loops of a replica while it holds its Lease. They are cancelled when it loses the Lease, and
started again when it can take the Lease again; each such period is a life of the replica.

`app/operator.py` opens it. A replica that is told to stop hands over its work, finishes what is in progress within
`drain` seconds, and gives its Lease back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

from kubechain.logs import Logger
from kubechain.resources.model import Clock
from kubechain.runtime.api import Api
from kubechain.runtime.replicas.lease import Group
from kubechain.runtime.replicas.replica import LeaseLost, Replica, ReplicaSettings, membership
from kubechain.runtime.replicas.share import Share

L = TypeVar("L")
log = Logger(__name__)


class Lives(Generic[L]):
    """`work` runs the control loops for a share, and yields what is needed for health and metrics."""

    def __init__(
        self,
        join: Callable[[], AbstractAsyncContextManager[Replica]],
        work: Callable[[Share], AbstractAsyncContextManager[L]],
    ) -> None:
        self.replica: Replica | None = None
        """This life; None between two."""
        self.begun = asyncio.Event()
        """Set while there is one."""
        self._join, self._work = join, work
        self._loops: L | None = None

    @property
    def acting(self) -> bool:
        """Whether control loops are running and the Lease is not known to be lost."""
        return self.replica is not None and not self.replica.lost

    @property
    def loops(self) -> L:
        """What `work` yielded in this life, or in the last one. Not available before `begun`."""
        if self._loops is None:
            raise RuntimeError("the first life of this replica has not begun")
        return self._loops

    async def drain(self) -> None:
        """Hands over what is not in progress, and waits for the rest; once in a life."""
        if (replica := self.replica) is not None and not replica.lost:
            await replica.drain()

    async def run(self) -> None:
        """Runs one life after the other, until cancelled. Raises SettingsError."""
        while True:
            try:
                await self._live()
            except* LeaseLost as lost:
                log.warning("cut off, starting again", why=str(lost.exceptions[0]))
            finally:
                self.replica = None
                self.begun.clear()

    async def _live(self) -> None:
        async with self._join() as replica, self._work(replica.share) as loops:
            self.replica, self._loops = replica, loops
            self.begun.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await self.drain()


@asynccontextmanager
async def successive_lives(
    api: Api,
    group: Group,
    settings: ReplicaSettings,
    clock: Clock,
    work: Callable[[Share], AbstractAsyncContextManager[L]],
) -> AsyncIterator[Lives[L]]:
    """Runs a replica while the block lasts. Enters the block when the first life has begun."""
    lives = Lives(lambda: membership(api, group, settings, clock), work)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(lives.run())
        await lives.begun.wait()
        try:
            yield lives
        finally:
            task.cancel()
