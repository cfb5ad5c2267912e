"""The TaskRun controller: carries a conversation from question to answer, one checkpoint at a time.

Observe -> `next_step` -> one effect. A reply costs money, so the version of the run is confirmed right before the
request, unless the API answered with it a moment ago; and the reply is saved even if metadata of the run changed
meanwhile. Events are written after the checkpoint was saved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from msgspec import Struct

from kubechain.agents.run import checkpoint, transcript
from kubechain.agents.run.checkpoint import FINAL_ANSWER, SUCCEEDED, answered
from kubechain.agents.run.scene import Ask, CreateCalls, Fail, Idle, Wait
from kubechain.agents.run.step import OUTCOME_UNKNOWN, TOOL_CALLS_REQUESTED, next_step
from kubechain.controllers.runs.asking import Asking, Retrying
from kubechain.controllers.runs.checkpoints import Checkpoints
from kubechain.controllers.runs.dependencies import missing_calls, observe, placed
from kubechain.controllers.secrets import Missing, endpoint_of
from kubechain.errors import Terminal, Transient
from kubechain.resources.model import Clock
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunStatus
from kubechain.runtime.controller import After, Done, Next
from kubechain.runtime.recorder import EventRecorder

JUST_NOW = 1.0
"""Seconds for which the answer to a write of ours needs no second look before the model is asked."""


class TaskRunController(Struct):
    """`base_urls` (by provider) are used for LLMs that have none."""

    asking: Asking
    checkpoints: Checkpoints
    retrying: Retrying
    base_urls: Mapping[str, str]
    events: EventRecorder
    clock: Clock
    kind = TASK_RUNS

    async def reconcile(self, run: TaskRun) -> Next:
        run = placed(self.checkpoints.caches, run)
        match next_step(observe(self.checkpoints.caches, run)):
            case Idle():
                pass
            case Wait() as wait:
                await self._tell(run, wait)
            case Fail(reason, message):
                if await self.checkpoints.save(run, checkpoint.refused(run, reason, message, self.clock())):
                    self.events.warning(TASK_RUNS, run, reason, message)
            case CreateCalls(missing):
                await asyncio.gather(*(self.checkpoints.ensure(run, name, spec) for name, spec in missing))
            case Ask() as ask:
                return await self._ask(run, ask)
        return Done()

    async def gone(self, last: TaskRun) -> None:
        self.retrying.left(last)

    async def _tell(self, run: TaskRun, wait: Wait) -> None:
        """Shows what the run waits for. Writes nothing if that is shown already."""
        status = checkpoint.waiting(run, wait, self.clock())
        if status != run.status:
            await self.checkpoints.put(run, status)
            _tell_of_wait(self.events, run, wait)

    async def _ask(self, run: TaskRun, ask: Ask) -> Next:
        caches = self.checkpoints.caches
        endpoint = await endpoint_of(ask.llm, caches.secrets, self.base_urls)
        if isinstance(endpoint, Missing):
            await self._tell(run, Wait(f"llm:{ask.llm.metadata.name} ({endpoint.detail})"))
            return Done()
        if not caches.runs.fresh(run, JUST_NOW):
            await self.checkpoints.api.confirm(TASK_RUNS, run)
        try:
            run, reply = await self.asking.reply(run, ask, endpoint)
        except Transient as error:
            return await self._keep(run, ask, await self.retrying.in_vain(run, ask, endpoint, error))
        except Terminal as error:
            self.retrying.left(run)
            return await self._keep(run, ask, checkpoint.failed(run, ask, error.reason, str(error), self.clock()))
        self.retrying.answered(run, endpoint)
        made = checkpoint.after(run, ask, reply, self.clock())
        if not isinstance(made, checkpoint.Checkpoint):
            useless = Transient(made.why, reason=made.reason)
            made = await self.retrying.in_vain(run, ask, endpoint, useless, reply.usage)
        return await self._keep(run, ask, made)

    async def _keep(self, run: TaskRun, ask: Ask, made: checkpoint.Checkpoint) -> Next:
        saved = await self.checkpoints.keep(run, ask, made, self.clock())
        if saved is None:
            return Done()
        _narrate(self.events, run, ask, saved.status)
        if not saved.status.finished and not transcript.names(saved):
            return After(0)  # its reply runs nothing, so the model is asked again
        return After(0) if missing_calls(self.checkpoints.caches, saved) else Done()


def _tell_of_wait(events: EventRecorder, run: TaskRun, wait: Wait) -> None:
    """Writes an Event only if a person has to do something."""
    if wait.reason == OUTCOME_UNKNOWN:
        events.warning(TASK_RUNS, run, OUTCOME_UNKNOWN, wait.on)


def _narrate(events: EventRecorder, run: TaskRun, ask: Ask, status: TaskRunStatus) -> None:
    """`run` as it was before `status` was saved."""
    condition = next(c for c in status.conditions if c.type == SUCCEEDED)
    if run.status.turns == 0 and status.turns:
        parent = run.status.parent
        task = f"task {run.spec.task}" if run.spec.task else "what it was asked"
        note = f"Agent {ask.agent.metadata.name} works on {task}" + (f", for {parent.task_run}" if parent else "")
        events.normal(TASK_RUNS, run, "Started", note)
    match condition.reason:
        case "ToolCallsRequested":
            names = ", ".join(call.function.name for call in status.messages[-1].tool_calls)
            events.normal(TASK_RUNS, run, TOOL_CALLS_REQUESTED, f"Turn {status.turns}: {names}", recurs=True)
        case "FinalAnswer":
            events.normal(TASK_RUNS, run, FINAL_ANSWER, answered(status))
        case reason:
            events.warning(TASK_RUNS, run, reason, condition.message)
