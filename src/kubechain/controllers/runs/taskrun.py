"""The TaskRun controller: carries a conversation from question to answer, one checkpoint at a time.

Observe -> `next_step` -> one effect. A reply is paid for, so the version held is confirmed right before the
model is asked, if it is not what the API told us a moment ago; and the reply is saved even when somebody labelled
the run meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from kubechain.agents.builtin.table import offers
from kubechain.agents.ports.model import Endpoint, ModelProvider, Reply, TokenCount, ToolOffer
from kubechain.agents.run import calls, checkpoint, tries
from kubechain.agents.run.checkpoint import Checkpoint
from kubechain.agents.run.gates import OUTCOME_UNKNOWN
from kubechain.agents.run.outcome import CutCalls, Failure, InVain, Kept, outcome
from kubechain.agents.run.scene import Ask, Call, Idle, Scene, Wait
from kubechain.agents.run.step import next_step
from kubechain.controllers.caches import Caches
from kubechain.controllers.progress import Lasting, Progress
from kubechain.controllers.runs.children import child_meta
from kubechain.controllers.runs.narration import narrate
from kubechain.controllers.runs.outages import Outages
from kubechain.controllers.runs.transcripts import Transcripts
from kubechain.controllers.saving import put_status, remembered, save_status
from kubechain.controllers.secrets import Missing, endpoint_of
from kubechain.controllers.trouble import through_trouble
from kubechain.errors import ApiError, Terminal, TooLarge, Transient
from kubechain.resources.agent import Agent
from kubechain.resources.model import Clock, timestamp
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall, ToolCallSpec
from kubechain.runtime.api import Api, Key
from kubechain.runtime.controller import After, Done, Next
from kubechain.runtime.ownership import key_of
from kubechain.runtime.recorder import EventRecorder

JUST_NOW = 1.0
"""Seconds for which the answer to a write of ours needs no second look before the model is asked."""
NOTHING = TokenCount()


def no_line(endpoint: Endpoint) -> str:
    """Nobody waits for a turn."""
    return ""


class TaskRunController(Struct):
    """`base_urls` (by provider) stand in where an LLM names none; `line` tells of those who wait their turn."""

    api: Api
    caches: Caches
    models: ModelProvider
    transcripts: Transcripts
    base_urls: Mapping[str, str]
    events: EventRecorder
    clock: Clock
    line: Callable[[Endpoint], str] = no_line
    outages: Outages = field(default_factory=Outages)
    _lasting: Lasting = field(default_factory=Lasting)
    kind = TASK_RUNS

    async def reconcile(self, run: TaskRun) -> Next:
        match next_step(self._observe(run)):
            case Idle():
                pass
            case Wait() as wait:
                await self._tell(run, wait)
            case Call(missing):
                await asyncio.gather(*(self._ensure(run, name, spec) for name, spec in missing))
            case Ask() as ask:
                return await self._ask(run, ask)
        return Done()

    async def gone(self, last: TaskRun) -> None:
        self.outages.left(key_of(last))

    def _observe(self, run: TaskRun) -> Scene:
        namespace, caches = run.metadata.namespace, self.caches
        task = caches.tasks.get(Key(namespace, run.spec.task))
        agent = caches.agents.get(Key(namespace, task.spec.agent)) if task else None
        llm = caches.llms.get(Key(namespace, agent.spec.llm_ref.name)) if agent else None
        found = (caches.calls.get(Key(namespace, name)) for name in calls.names(run))
        return Scene(run, task, agent, llm, {call.metadata.name: call for call in found if call is not None})

    async def _tell(self, run: TaskRun, wait: Wait) -> None:
        """Shows why the run is not moving; nothing is written that stands there already."""
        status = checkpoint.waiting(run, wait, self.clock())
        if status == run.status:
            return
        await put_status(self.api, self.caches.runs, replace(run, status=status))
        if wait.reason == OUTCOME_UNKNOWN:
            self.events.warning(TASK_RUNS, run, OUTCOME_UNKNOWN, wait.on)

    async def _ensure(self, run: TaskRun, name: str, spec: ToolCallSpec) -> None:
        """The child under its computed name; that it exists already is success."""
        self.caches.calls.remember(await self.api.ensure(TOOL_CALLS, _child(run, name, spec)))

    async def _ask(self, run: TaskRun, ask: Ask) -> Next:
        endpoint = await endpoint_of(ask.llm, self.caches.secrets, self.base_urls)
        if isinstance(endpoint, Missing):
            await self._tell(run, Wait(f"llm:{ask.llm.metadata.name} ({endpoint.detail})"))
            return Done()
        if not self.caches.runs.fresh(run, JUST_NOW):
            await self.api.confirm(TASK_RUNS, run)
        try:
            run, reply = await self._reply(run, ask, endpoint)
        except Transient as error:
            return await self._in_vain(run, ask, endpoint, error)
        except Terminal as error:
            return await self._fail(run, ask, error.reason, str(error))
        self.outages.answered(key_of(run), endpoint)
        match outcome(reply, ask.llm, run.status.retry):
            case InVain(reason, why):
                return await self._in_vain(run, ask, endpoint, Transient(why, reason=reason), reply.usage)
            case Kept() | CutCalls() | Failure() as kept:
                return await self._save(run, ask, checkpoint.after_reply(run, ask, reply, kept, self.clock()))

    async def _reply(self, run: TaskRun, ask: Ask, endpoint: Endpoint) -> tuple[TaskRun, Reply]:
        """One reply, and the run as it is by then: a wait of over a second shows as phase Running."""
        tools = [ToolOffer(t.name, t.description, t.parameters) for t in ask.tools]
        tools += offers(run, ask.stored, [tool.name for tool in tools])
        waiting_on = f"llm:{ask.llm.metadata.name}"

        async def show() -> TaskRun:
            on = f"{waiting_on}{self.line(endpoint)}"
            status = checkpoint.running(run, ask.agent.metadata.name, on, self.clock())
            return await put_status(self.api, self.caches.runs, replace(run, status=status))

        earlier = await self.transcripts.before_window(run)
        async with Progress(self._lasting, show) as progress:
            reply = await self.models.ask(endpoint, [*earlier, *run.status.messages, *ask.unsaved], tools)
        return progress.shown or run, reply

    async def _in_vain(
        self, run: TaskRun, ask: Ask, endpoint: Endpoint, error: Transient, used: TokenCount = NOTHING
    ) -> Next:
        """No usable reply came: counted in the run, which fails where that was enough, and else tried again."""
        run = self.caches.runs.get(key_of(run)) or run
        retry = tries.counted(run.status.retry, error.reason)
        if times := tries.spent(retry):
            return await self._fail(run, ask, error.reason, f"{error} (asked {times} times in a row)")
        wait = self.outages.failed(key_of(run), endpoint, error, retry.attempts)
        retry.next_time = timestamp(self.clock() + timedelta(seconds=wait))
        status = checkpoint.in_vain(run, ask, retry, str(error), used)
        # Nothing that goes wrong in the telling may hide when the model wants to be asked again.
        with suppress(ApiError):
            await save_status(self.api, self.caches.runs, run, status, over=partial(_goes_on, run))
        raise Transient(str(error), reason=error.reason, wait=wait) from error

    async def _fail(self, run: TaskRun, ask: Ask, reason: str, message: str) -> Next:
        self.outages.left(key_of(run))
        return await self._save(run, ask, checkpoint.failed(run, ask, reason, message, self.clock()))

    async def _save(self, run: TaskRun, ask: Ask, made: Checkpoint) -> Next:
        """The segments, the status, and the calls that it asks for. What does not fit into an object is said."""
        over = partial(_goes_on, run)
        put = self._saving_with_calls(ask.agent)
        try:
            if made.segments:
                await through_trouble(partial(self.transcripts.seal, run, made.segments))
            status = made.status
            saved = await save_status(self.api, self.caches.runs, run, status, over=over, put=put)
        except TooLarge as error:
            status = checkpoint.too_large(run, ask, f"its conversation cannot be saved: {error}", self.clock())
            saved = await save_status(self.api, self.caches.runs, run, status, over=over)
        if saved is None:
            return Done()
        narrate(self.events, run, ask, status)
        if not status.finished and not calls.names(saved):
            return After(0)  # its reply runs nothing, so the model is asked again
        return After(0) if self._missing(saved) else Done()

    def _saving_with_calls(self, agent: Agent) -> Callable[[TaskRun], Awaitable[TaskRun]]:
        """A write of the checkpoint that takes along the calls which its last reply, made by `agent`, asks for."""

        async def put(wanted: TaskRun) -> TaskRun:
            due = [_child(wanted, name, spec) for name, spec in calls.due(wanted, agent)]
            written, made = await self.api.checkpoint(TASK_RUNS, wanted, TOOL_CALLS, due)
            for call in made:
                self.caches.calls.remember(call)
            return remembered(self.caches.runs, written)

        return put

    def _missing(self, run: TaskRun) -> bool:
        """Whether a call that the run asks for is not there yet."""
        namespace = run.metadata.namespace
        return any(self.caches.calls.get(Key(namespace, name)) is None for name in calls.names(run))


def _child(run: TaskRun, name: str, spec: ToolCallSpec) -> ToolCall:
    return ToolCall(metadata=child_meta(run, name), spec=spec)


def _goes_on(run: TaskRun, newest: TaskRun) -> bool:
    """Whether the newest version of a run is still at the same place of its conversation."""
    return (
        newest.status.turns == run.status.turns
        and not newest.status.finished
        and newest.metadata.deletion_timestamp is None
    )
