"""What follows from a request that brought no usable reply. The TaskRun controller calls it.

The count is in the run, so that a restart does not forget it; when each run tries again is a matter of Outages.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from msgspec import Struct

from kubechain.agents.ports.model import Endpoint, TokenCount
from kubechain.agents.run import checkpoint, tries
from kubechain.agents.run.scene import Ask
from kubechain.controllers.runs.checkpoints import Checkpoints
from kubechain.controllers.runs.outages import Outages
from kubechain.errors import ApiError, Transient
from kubechain.resources.model import Clock, timestamp
from kubechain.resources.taskrun import TaskRun
from kubechain.runtime.ownership import key_of

NOTHING = TokenCount()


class Retrying(Struct, frozen=True):
    """Over the runs that `outages` paces."""

    checkpoints: Checkpoints
    outages: Outages
    clock: Clock

    async def in_vain(
        self, run: TaskRun, ask: Ask, endpoint: Endpoint, error: Transient, used: TokenCount = NOTHING
    ) -> checkpoint.Checkpoint:
        """The failed run, where it was asked often enough; else raises Transient with the time of the next try."""
        key = key_of(run)
        run = self.checkpoints.caches.runs.get(key) or run
        retry = tries.counted(run.status.retry, error.reason)
        if times := tries.spent(retry):
            self.outages.left(key)
            said = f"{error} (asked {times} times in a row)"
            return checkpoint.failed(run, ask, error.reason, said, self.clock())
        wait = self.outages.failed(key, endpoint, error, retry.attempts)
        retry.next_time = timestamp(self.clock() + timedelta(seconds=wait))
        # Nothing that goes wrong in the telling may hide when the model wants to be asked again.
        with suppress(ApiError):
            await self.checkpoints.save(run, checkpoint.in_vain(run, ask, retry, str(error), used))
        raise Transient(str(error), reason=error.reason, wait=wait) from error

    def answered(self, run: TaskRun, endpoint: Endpoint) -> None:
        """The model answers: others that wait for it try at once."""
        self.outages.answered(key_of(run), endpoint)

    def left(self, run: TaskRun) -> None:
        """The run waits no longer."""
        self.outages.left(key_of(run))
