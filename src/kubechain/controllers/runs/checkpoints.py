"""Writes what becomes of a run: a checkpoint with its segments and calls, or why the run waits or fails.

The TaskRun controller calls it. A checkpoint holds what was paid for, so it survives a busy API and the changes of
others; what does not fit into an object is said in the run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from kubechain.agents.run import calls, checkpoint
from kubechain.agents.run.scene import Ask
from kubechain.controllers.caches import Caches
from kubechain.controllers.runs.children import child_meta
from kubechain.controllers.runs.transcripts import Transcripts
from kubechain.controllers.saving import put_status, remembered, save_status
from kubechain.controllers.trouble import through_trouble
from kubechain.errors import TooLarge
from kubechain.resources.agent import Agent
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunStatus
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall, ToolCallSpec
from kubechain.runtime.api import Api


class Checkpoints(Struct, frozen=True):
    """Over one `Api`."""

    api: Api
    caches: Caches
    transcripts: Transcripts

    async def put(self, run: TaskRun, status: TaskRunStatus) -> TaskRun:
        """Writes a status once, for what another pass can find out again."""
        return await put_status(self.api, self.caches.runs, replace(run, status=status))

    async def save(self, run: TaskRun, status: TaskRunStatus) -> TaskRun | None:
        """Writes a status that must not be lost; None where the run is gone."""
        return await save_status(self.api, self.caches.runs, run, status, over=partial(_goes_on, run))

    async def keep(self, run: TaskRun, ask: Ask, made: checkpoint.Checkpoint, now: datetime) -> TaskRun | None:
        """Writes the segments, then the status together with the calls that it asks for; None where it is gone."""
        over, put = partial(_goes_on, run), self._with_calls(ask.agent)
        try:
            if made.segments:
                await through_trouble(partial(self.transcripts.seal, run, made.segments))
            return await save_status(self.api, self.caches.runs, run, made.status, over=over, put=put)
        except TooLarge as error:
            why = f"its conversation cannot be saved: {error}"
            return await self.save(run, checkpoint.too_large(run, ask, why, now))

    async def ensure(self, run: TaskRun, name: str, spec: ToolCallSpec) -> None:
        """The child under its computed name; that it exists already is success."""
        self.caches.calls.remember(await self.api.ensure(TOOL_CALLS, _child(run, name, spec)))

    def _with_calls(self, agent: Agent) -> Callable[[TaskRun], Awaitable[TaskRun]]:
        """A write of a status that takes along the calls which its last reply, made by `agent`, asks for."""

        async def put(wanted: TaskRun) -> TaskRun:
            due = [_child(wanted, name, spec) for name, spec in calls.due(wanted, agent)]
            written, made = await self.api.checkpoint(TASK_RUNS, wanted, TOOL_CALLS, due)
            for call in made:
                self.caches.calls.remember(call)
            return remembered(self.caches.runs, written)

        return put


def _child(run: TaskRun, name: str, spec: ToolCallSpec) -> ToolCall:
    return ToolCall(metadata=child_meta(run, name), spec=spec)


def _goes_on(run: TaskRun, newest: TaskRun) -> bool:
    """Whether the newest version of a run is still at the same place of its conversation."""
    return (
        newest.status.turns == run.status.turns
        and not newest.status.finished
        and newest.metadata.deletion_timestamp is None
    )
