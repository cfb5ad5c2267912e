"""The ToolCall controller: runs one tool once, as safely as its nature asks.

What must not repeat is marked Running before it starts; a call found Running was cut off and follows its tool's
onInterrupt: the worker hands none over that another living replica holds. A tool that fails has its error as its
result: the model is told, the run goes on.
"""

from __future__ import annotations

from msgspec import Struct, field
from msgspec.structs import replace

from kubechain.agents.builtin.read_result import Reading
from kubechain.agents.call.step import (
    CallIdle,
    CallWait,
    Execute,
    HandOut,
    LoseTrack,
    ReadBack,
    Refuse,
    next_call_step,
)
from kubechain.agents.ports.tool import Environment, ToolError
from kubechain.controllers.caches import Caches
from kubechain.controllers.calls.execution import Tools
from kubechain.controllers.calls.results import Results
from kubechain.controllers.progress import Lasting, Progress
from kubechain.controllers.saving import put_status, save_status
from kubechain.controllers.secrets import Missing
from kubechain.controllers.trouble import through_trouble
from kubechain.errors import Conflict, Terminal, Transient
from kubechain.resources.mcpserver import MCPServer
from kubechain.resources.model import Clock, timestamp
from kubechain.resources.tool import Tool
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall, ToolCallStatus
from kubechain.runtime.api import Api, Key
from kubechain.runtime.controller import Done, Next
from kubechain.runtime.recorder import EventRecorder
from kubechain.runtime.replicas.share import Share, alone

ERROR = 16 * 1024
"""Characters of an error that are kept."""
ATTEMPTS = 3
"""How often a repeatable call is tried when the tool's process dies under it."""


class ToolCallController(Struct):
    api: Api
    caches: Caches
    tools: Tools
    results: Results
    events: EventRecorder
    clock: Clock
    share: Share = field(default_factory=alone)
    _deaths: dict[str, int] = {}
    _lasting: Lasting = field(default_factory=Lasting)
    kind = TOOL_CALLS

    async def reconcile(self, call: ToolCall) -> Next:
        if call.metadata.deletion_timestamp is not None:
            return Done()
        match next_call_step(call, self._provider(call)):
            case CallIdle():
                self._deaths.pop(call.metadata.uid, None)
            case CallWait(on):
                await self._wait(call, on)
            case Refuse(error):
                await self._finish(call, "Failed", error=error)
            case LoseTrack():
                await self._lose_track(call, "it was cut off in its middle")
            case HandOut():
                await self._hand_out(call)
            case ReadBack(what):
                await self._read_back(call, what)
            case Execute() as step:
                env = await self.tools.environment(step.provider)
                if isinstance(env, Missing):
                    await self._wait(call, f"tool:{call.spec.tool} ({env.detail})")
                else:
                    await self._execute(call, step, env)
        return Done()

    async def gone(self, last: ToolCall) -> None:
        self._deaths.pop(last.metadata.uid, None)

    def _provider(self, call: ToolCall) -> Tool | MCPServer | None:
        origin = call.spec.origin
        if origin is None or origin.kind == "Builtin":
            return None
        key = Key(call.metadata.namespace, origin.name)
        return self.caches.tools.get(key) if origin.kind == "Tool" else self.caches.servers.get(key)

    async def _wait(self, call: ToolCall, on: str) -> None:
        """Shows why the call does not start; one write per change of the reason."""
        if call.status.waiting_on != on:
            await self._save(call, replace(call.status, waiting_on=on))

    async def _hand_out(self, call: ToolCall) -> None:
        due = replace(
            call.status,
            phase="Running",
            attempts=1,
            start_time=timestamp(self.clock()),
            waiting_on="a result from outside, written into this status",
        )
        await self._save(call, due)

    async def _read_back(self, call: ToolCall, what: Reading) -> None:
        try:
            text = await self.results.read(call, what)
        except ToolError as error:
            await self._finish(call, "Failed", error=str(error))
        else:
            await self._finish(call, "Succeeded", result=text)

    async def _execute(self, call: ToolCall, step: Execute, env: Environment) -> None:
        started = timestamp(self.clock())
        running = replace(
            call.status,
            phase="Running",
            attempts=call.status.attempts + 1,
            start_time=started,
            waiting_on="",
            error="",
            result="",
            holder=self.share.holder,
        )
        if step.mark:
            call = await self._put(call, running)
            if not self.share.good():
                raise Conflict(f"ToolCall {call.metadata.name}: its replica was held up, and is taken for dead")
        try:
            call, result = await self._call(call, step, env, running)
        except (ToolError, Terminal) as error:
            await self._finish(replace(call, status=running), "Failed", error=str(error), ran=True)
        except Transient as error:
            await self._interrupted(call, step, running, error)
        else:
            await self._finish(replace(call, status=running), "Succeeded", result=result, ran=True)

    async def _call(
        self, call: ToolCall, step: Execute, env: Environment, running: ToolCallStatus
    ) -> tuple[ToolCall, str]:
        async def show() -> ToolCall:
            return await self._put(call, running)

        async with Progress(self._lasting, show) as progress:
            result = await self.tools.call(call, step, env)
        return progress.shown or call, result

    async def _interrupted(self, call: ToolCall, step: Execute, running: ToolCallStatus, error: Transient) -> None:
        """The tool's process died or hung: a timeout is told to the model, a death follows onInterrupt."""
        uid = call.metadata.uid
        if error.reason == "Timeout" or step.nature.on_interrupt == "Fail":
            await self._finish(replace(call, status=running), "Failed", error=str(error), ran=True)
        elif step.nature.on_interrupt == "Ask":
            await self._lose_track(replace(call, status=running), str(error), ran=True)
        elif self._deaths.get(uid, 0) + 1 >= ATTEMPTS:
            error_text = f"{error} (tried {ATTEMPTS} times)"
            await self._finish(replace(call, status=running), "Failed", error=error_text, ran=True)
        else:
            self._deaths[uid] = self._deaths.get(uid, 0) + 1
            raise error

    async def _lose_track(self, call: ToolCall, why: str, *, ran: bool = False) -> None:
        error = f"the outcome of {call.spec.tool} is unknown: {why}, and it must not be repeated unasked"
        lost = replace(call.status, phase="OutcomeUnknown", error=error, holder="")
        if not await self._save(call, lost, ran=ran):
            return
        way_on = (
            f"Look what it did, then say so: kubechain settle toolcall/{call.metadata.name} with --result, "
            "--error or --repeat (or set its phase with kubectl patch --subresource=status)"
        )
        self.events.warning(TOOL_CALLS, call, "OutcomeUnknown", f"{error}. {way_on}")

    async def _finish(
        self, call: ToolCall, phase: str, *, result: str = "", error: str = "", ran: bool = False
    ) -> None:
        kept = await through_trouble(lambda: self.results.store(call, result))
        status = replace(
            call.status,
            phase="Succeeded" if phase == "Succeeded" else "Failed",
            result=kept.inline,
            stored=kept.stored,
            error=error[:ERROR],
            waiting_on="",
            completion_time=timestamp(self.clock()),
            holder="",
        )
        saved = await self._save(call, status, ran=ran)
        if saved and phase == "Failed":  # of a success the status says all there is to say
            self.events.warning(TOOL_CALLS, call, "Failed", f"{call.spec.tool}: {error}")

    async def _save(self, call: ToolCall, status: ToolCallStatus, *, ran: bool = False) -> bool:
        """Writes the status, whoever labelled the call meanwhile; False where the call is gone.

        Where somebody else has gone on with the call, only what came of a tool that `ran` is written over it: a
        mark that it is running is not to be wiped out.
        """

        def over(newest: ToolCall) -> bool:
            return not newest.status.finished and (ran or newest.status == call.status)

        return await save_status(self.api, self.caches.calls, call, status, over=over) is not None

    async def _put(self, call: ToolCall, status: ToolCallStatus) -> ToolCall:
        return await put_status(self.api, self.caches.calls, replace(call, status=status))
