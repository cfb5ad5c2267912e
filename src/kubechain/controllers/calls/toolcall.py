"""The ToolCall controller: runs the tool of a call once, as its effect allows. It knows no kind of tool.

A pass starts the tool, looks at it, or saves its outcome, and ends; the tool runs outside the passes
(`executions`). A call that must not be repeated is marked Running before it starts. A Running call without a live
holder was interrupted, and follows the onInterrupt of its tool; the worker skips calls that another live replica
holds. The error of a tool that fails is its result: the model is told, and the run continues.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from kubechain.agents.call import step as due
from kubechain.agents.call.outcome import Parked
from kubechain.agents.call.scene import FREE, CallScene
from kubechain.agents.call.step import next_call_step
from kubechain.agents.ports.tool import Environment, ToolRun
from kubechain.controllers.calls.lines import Lines
from kubechain.controllers.calls.results import Kept, Results
from kubechain.controllers.calls.tools import Tool, Tools
from kubechain.controllers.parts import Parts
from kubechain.controllers.saving import put_status, save_status, through_trouble
from kubechain.controllers.secrets import Missing
from kubechain.errors import ApiError, Conflict, Transient
from kubechain.resources.model import moment, timestamp
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall, ToolCallStatus
from kubechain.runtime.controller import After, Done, Next

NOTHING: Environment = {}
ERROR = 16 * 1024
"""Characters of an error that are kept."""
SHOWN = 200
"""Characters of an error that are shown where a call waits."""


def shortened(error: str) -> str:
    """The error in one line."""
    line = " ".join(error.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."


class ToolCallController(Struct):
    parts: Parts
    tools: Tools
    results: Results
    lines: Lines
    kind = TOOL_CALLS

    async def reconcile(self, call: ToolCall) -> Next:
        tool = self.tools.of(call)
        state, run = tool.state if tool is not None else None, self.tools.run_of(call)
        line = self.lines.of(call, tool.provider) if tool is not None and tool.limited else FREE
        scene = CallScene(call, run, state, self.parts.clock(), self.parts.executions.of(call), line)
        step = next_call_step(scene)
        if isinstance(step, due.CallWait) and line.waits:
            self.lines.wait(call, line)
        elif self.lines.waiting:
            self.lines.leave(call)
        match step:
            case due.CallIdle(until):
                return self._look_again(until)
            case due.CallWait(on):
                await self._wait(call, on)
            case due.Refuse(error, reason):
                await self._finish(call, due.Fail(error, reason))
            case due.Start(mark) if tool is not None and line.at_most is not None:
                with self.lines.starting(call):
                    return await self._start(call, tool, mark=mark)
            case due.Start(mark) if tool is not None:
                return await self._start(call, tool, mark=mark)
            case due.Look() if tool is not None:
                await self._look(call, tool)
            case due.Show():
                await self._show(call)
            case due.Stop():
                await self._stop(call, tool)
            case due.Abandon(error):
                await self._stop(call, tool)
                await self._finish(call, due.Fail(error, reason="RunFailed"))
            case due.Park(parked):
                return await self._park(call, parked, tool)
            case due.Succeed() | due.Fail() as end:
                await self._finish(call, end)
            case due.TryAgain() as again:
                return await self._try_again(call, again)
            case due.LoseTrack(why):
                await self._lose_track(call, why)
            case due.Repeat(error):
                await self._repeat(call, error)
            case due.Postpone(why):
                await self._postpone(call, why)
            case due.GiveBack(refusal):
                self.parts.executions.end(call)
                raise refusal
        return Done()

    async def gone(self, last: ToolCall) -> None:
        """Ends what was started for the deleted call."""
        if self.lines.waiting:
            self.lines.leave(last)
        await self._stop(last, self.tools.of(last))

    async def _stop(self, call: ToolCall, tool: Tool | None) -> None:
        execution, handle = self.parts.executions.of(call), call.status.external
        if execution is not None and isinstance(execution.outcome, Parked):
            handle = execution.outcome.handle
        self.parts.executions.end(call)
        if tool is not None and handle is not None and not call.status.finished:
            env = await self.tools.environment(tool)
            await tool.runner.cancel(self._run(call, tool, {} if isinstance(env, Missing) else env), handle)

    def _run(self, call: ToolCall, tool: Tool, env: Environment = NOTHING) -> ToolRun:
        """The call for a runner that looks at work elsewhere, or ends it."""
        return ToolRun(call, tool.provider, tool.state.nature.timeout, env)

    async def _wait(self, call: ToolCall, on: str) -> None:
        """Shows why the call does not start; one write per change of the reason."""
        if call.status.waiting_on != on:
            await self._save(call, replace(call.status, waiting_on=on))

    async def _start(self, call: ToolCall, tool: Tool, *, mark: bool) -> Next:
        env = await self.tools.environment(tool)
        if isinstance(env, Missing):
            await self._wait(call, f"tool:{call.spec.tool} ({env.detail})")
            return Done()
        started, nature = timestamp(self.parts.clock()), tool.state.nature
        run = ToolRun(call, tool.provider, nature.timeout, env)
        if mark:
            foreseen = tool.runner.foresee(run)
            call = await self._put(call, self._running(call, started, foreseen))
            if not self.parts.share.good():
                raise Conflict(f"ToolCall {call.metadata.name}: its replica was held up and is considered dead")
        run = ToolRun(call, tool.provider, nature.timeout, env, partial(self.parts.executions.progress, call))
        self.parts.executions.begin(call, nature, started, partial(tool.runner.start, run), tool.hidden(env))
        if mark:
            self.parts.executions.show(call)
        return Done()

    async def _look(self, call: ToolCall, tool: Tool) -> None:
        env, handle = await self.tools.environment(tool), call.status.external
        if isinstance(env, Missing):
            await self._wait(call, f"tool:{call.spec.tool} ({env.detail})")
        elif handle is not None:
            run = ToolRun(call, tool.provider, tool.state.nature.timeout, env)
            work = partial(tool.runner.look, run, handle)
            self.parts.executions.begin(call, tool.state.nature, call.status.start_time, work, tool.hidden(env))
            self.parts.executions.show(call)

    async def _show(self, call: ToolCall) -> None:
        """Shows that the tool runs, and how far it is. A failure of this write does not affect the call."""
        try:
            await self._put(call, replace(self._at_work(call), progress=self.parts.executions.doing(call)))
        except ApiError:
            return
        self.parts.executions.show(call)

    async def _park(self, call: ToolCall, parked: Parked, tool: Tool | None) -> Next:
        status = replace(
            self._at_work(call),
            phase=parked.phase,
            external=parked.handle,
            waiting_on=parked.waiting_on,
            holder="",
        )
        if status != call.status:
            await self._save(call, status, ran=True)
        until = self.parts.executions.park(call, parked.until)
        if tool is not None and tool.runner.ended(self._run(call, tool), parked.handle):
            return After(0)  # it ended before the call said what it waits for
        return self._look_again(until)

    def _look_again(self, until: datetime | None) -> Next:
        """Looks again at that time; if it is unknown, when something changes."""
        return Done() if until is None else After(max(0.0, (until - self.parts.clock()).total_seconds()))

    async def _repeat(self, call: ToolCall, error: str) -> None:
        """Counts the death of the tool process. The worker tries the call again after a while."""
        status = self._at_work(call)
        on = f"tool:{call.spec.tool} ({error}; tried {status.deaths + 1} of {due.DEATHS} times)"
        left = replace(status, phase="Pending", deaths=status.deaths + 1, waiting_on=on, holder="", external=None)
        await self._save(call, left, ran=True)
        self.parts.executions.end(call)
        self._release(call)
        raise Transient(error, reason="Interrupted")

    async def _postpone(self, call: ToolCall, why: str) -> None:
        """Nothing has begun: the call is started again when what runs it is back."""
        on = f"tool:{call.spec.tool} ({why})"
        left = replace(self._at_work(call), phase="Pending", waiting_on=on, holder="")
        await self._save(call, left, ran=True)
        self.parts.executions.end(call)
        raise Transient(why, reason="ServerUnreachable")

    async def _try_again(self, call: ToolCall, again: due.TryAgain) -> Next:
        """Shows why it failed and when it is tried again. The time is in the ToolCall, for a restart."""
        status, retry = self._at_work(call), again.retry
        times = f"tried {retry.failures} of {again.at_most + 1} times, next at {retry.next_time}"
        left = replace(
            status,
            phase="Pending",
            retry=retry,
            waiting_on=f"tool:{call.spec.tool} ({shortened(again.error)}; {times})",
            holder="",
            external=None,
        )
        await self._save(call, left, ran=True)
        self.parts.executions.end(call)
        return self._look_again(moment(retry.next_time))

    async def _lose_track(self, call: ToolCall, why: str) -> None:
        error = (
            f"the outcome of {call.spec.tool} is unknown: {why}, and it must not be repeated without asking you"
        )
        ran = self.parts.executions.holds(call)
        status = replace(self._at_work(call), phase="OutcomeUnknown", error=error, holder="")
        saved = await self._save(call, status, ran=ran)
        self.parts.executions.end(call)
        if not saved:
            return
        way_on = (
            f"Check what it did, then record it: kubechain settle toolcall/{call.metadata.name} with --result, "
            "--error or --repeat (or set its phase with kubectl patch --subresource=status)"
        )
        self.parts.events.warning(TOOL_CALLS, call, "OutcomeUnknown", f"{error}. {way_on}")

    async def _finish(self, call: ToolCall, end: due.Succeed | due.Fail) -> None:
        ran = self.parts.executions.holds(call)
        status = replace(
            self._at_work(call),
            progress="",
            waiting_on="",
            completion_time=timestamp(self.parts.clock()),
            holder="",
            retry=None,
        )
        match end:
            case due.Succeed(done):
                limit = self.tools.result_limit(call)
                kept = Kept(done.text)
                if self.tools.is_large(done, limit):
                    kept = await through_trouble(lambda: self.results.store(call, done, limit))
                status = replace(
                    status, phase="Succeeded", result=kept.inline, stored=kept.stored, artifacts=kept.artifacts
                )
            case due.Fail(error, reason, external):
                external = external or status.external
                status = replace(status, phase="Failed", error=error[:ERROR], reason=reason, external=external)
        saved = await self._save(call, status, ran=ran)
        self.parts.executions.end(call)
        self._release(call)
        if saved and isinstance(end, due.Fail):  # of a success the status says all there is to say
            self.parts.events.warning(TOOL_CALLS, call, "Failed", f"{call.spec.tool}: {end.error}")

    def _release(self, call: ToolCall) -> None:
        """Tells the runner that the outcome of work elsewhere is saved."""
        tool, handle = self.tools.of(call), call.status.external
        if tool is not None and handle is not None:
            tool.runner.release(self._run(call, tool), handle)

    def _at_work(self, call: ToolCall) -> ToolCallStatus:
        """The status with the start of the tool in it, which may not have been worth a write of its own."""
        started = self.parts.executions.started(call)
        if not started or self.parts.executions.seen(call):
            return call.status
        return self._running(call, started)

    def _running(self, call: ToolCall, started: str, foreseen: Parked | None = None) -> ToolCallStatus:
        """`foreseen`: what the tool is going to return. No replica holds work that goes on elsewhere."""
        return replace(
            call.status,
            phase="Running",
            attempts=call.status.attempts + 1,
            start_time=started,
            waiting_on=foreseen.waiting_on if foreseen else "",
            external=foreseen.handle if foreseen else None,
            error="",
            reason="",
            result="",
            progress="",
            holder="" if foreseen else self.parts.share.holder,
        )

    async def _save(self, call: ToolCall, status: ToolCallStatus, *, ran: bool = False) -> bool:
        """Writes the status, even if metadata changed meanwhile. False if the call was deleted.

        If another replica has continued the call, only the outcome of a tool that `ran` replaces its status; a
        mark that the call is running is kept.
        """

        def over(newest: ToolCall) -> bool:
            return not newest.status.finished and (ran or newest.status == call.status)

        return await save_status(self.parts.api, self.parts.caches.calls, call, status, over=over) is not None

    async def _put(self, call: ToolCall, status: ToolCallStatus) -> ToolCall:
        return await put_status(self.parts.api, self.parts.caches.calls, replace(call, status=status))
