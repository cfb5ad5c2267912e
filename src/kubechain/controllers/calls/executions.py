"""The tools that run in this process. A pass of the ToolCall controller starts one; it runs outside the passes.

The outcome is kept here until a pass has saved it; every change wakes the ToolCall. A running tool is a task of
`run`, so it ends with the control loops. Nothing here outlives the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from traceback import format_exception

from kubechain.agents.call.outcome import Done, Failure, Interruption, Outcome, Parked, Unserved, without
from kubechain.agents.call.redaction import redacted
from kubechain.agents.call.scene import Execution
from kubechain.agents.ports.tool import InputRequired, Nature, NotStarted, ToolError
from kubechain.errors import ApiError, Terminal, Transient
from kubechain.logs import Logger
from kubechain.resources.taskrun import ROOT_LABEL
from kubechain.resources.toolcall import ToolCall
from kubechain.runtime.replicas.share import Share

Work = Callable[[], Awaitable[Done | Parked]]
Told = Callable[[ToolCall | None, ToolCall | None], None]
LASTING = 1.0
"""Seconds after which people should see that a tool is at work."""
AT_ONCE = datetime.fromtimestamp(0, UTC)
"""A time that has come."""
log = Logger(__name__)


class _Held:
    """One call's tool. `seen`: whether the ToolCall says that it is Running. `again`: whether to look again."""

    def __init__(self, call: ToolCall, nature: Nature, started: str, hidden: Sequence[str] = ()) -> None:
        self.call, self.nature, self.started, self.hidden = call, nature, started, hidden
        self.seen = call.status.phase == "Running"
        self.outcome: Outcome | None = None
        self.lasting = False
        self.doing = ""
        self.told_at = 0.0
        self.until: datetime | None = None
        self.again = False
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        self.began = False
        self.why_cut_off = ""

    def view(self) -> Execution:
        return Execution(self.nature, self.outcome, self.lasting, self.doing, self.until)


def shard_of(call: ToolCall) -> str:
    """The shard of its run, so that one replica works on a tree of runs."""
    return f"{call.metadata.namespace}/{call.metadata.labels.get(ROOT_LABEL, call.spec.task_run)}"


class Executions:
    """A source of changes like an informer: handlers get (None, call) when a call should be looked at."""

    def __init__(self, share: Share, lasting: float = LASTING) -> None:
        self.synced = asyncio.Event()
        self.synced.set()
        self._share = share
        self._lasting = lasting
        self._held: dict[str, _Held] = {}
        self._told: list[Told] = []
        self._group: asyncio.TaskGroup | None = None
        self._closing = False

    def __len__(self) -> int:
        """Tools that run, or have ended and whose outcome is not saved yet."""
        return len(self._held)

    def at_work(self) -> list[ToolCall]:
        """The calls whose tools are at work in this process."""
        return [held.call for held in self._held.values() if held.until is None]

    def on_change(self, handler: Told) -> None:
        self._told.append(handler)

    async def run(self) -> None:
        """Runs the tools until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._closing = True

    def of(self, call: ToolCall) -> Execution | None:
        """What this process does for the call; None if nothing."""
        held = self._held.get(call.metadata.uid)
        return None if held is None else held.view()

    def holds(self, call: ToolCall) -> bool:
        """Whether a tool runs for the call, or has ended and its outcome is not saved yet."""
        held = self._held.get(call.metadata.uid)
        return held is not None and held.until is None

    def started(self, call: ToolCall) -> str:
        """When its tool was started, for the status; "" if there is none."""
        held = self._held.get(call.metadata.uid)
        return "" if held is None else held.started

    def seen(self, call: ToolCall) -> bool:
        """Whether the ToolCall already shows this start of its tool as Running."""
        held = self._held.get(call.metadata.uid)
        return held is not None and held.seen

    def show(self, call: ToolCall) -> None:
        """Called when the ToolCall shows that it is Running."""
        if held := self._held.get(call.metadata.uid):
            held.seen = True

    def begin(self, call: ToolCall, nature: Nature, started: str, work: Work, hidden: Sequence[str] = ()) -> None:
        """Starts the tool, or a look at it, outside the passes; nothing while the program ends.

        `hidden` values are taken out of what it says.
        """
        if self._group is None:
            raise RuntimeError("no tool can start before the control loops run")
        if self._closing:
            return
        self.end(call)
        held = self._held[call.metadata.uid] = _Held(call, nature, started, hidden)
        self._share.begun(shard_of(call))
        held.timer = asyncio.get_running_loop().call_later(self._lasting, self._last, held)
        held.task = self._group.create_task(self._work(held, work))

    def progress(self, call: ToolCall, text: str) -> None:
        """How far the tool says it is. The call is looked at because of it at most once per `lasting` seconds."""
        held = self._held.get(call.metadata.uid)
        text = redacted(text, held.hidden) if held is not None else text
        if held is None or held.task is None or held.outcome is not None or held.doing == text:
            return
        held.doing = text
        if held.lasting and held.timer is None:
            loop = asyncio.get_running_loop()
            held.timer = loop.call_at(max(held.told_at + self._lasting, loop.time()), self._last, held)

    def doing(self, call: ToolCall) -> str:
        """How far the tool says it is; "" if it does not say."""
        held = self._held.get(call.metadata.uid)
        return "" if held is None else held.doing

    def park(self, call: ToolCall, until: datetime | None) -> datetime | None:
        """The work continues elsewhere. Only the time of the next look is kept, and returned."""
        was = self._held[call.metadata.uid]
        until = AT_ONCE if was.again else until
        self.end(call)
        if until is not None:
            held = self._held[call.metadata.uid] = _Held(call, was.nature, "")
            held.until = until
        return until

    def look_at(self, uid: str) -> None:
        """The work elsewhere of this call has ended or changed: look at it now."""
        held = self._held.get(uid)
        if held is None:
            return
        held.again = True
        if held.until is not None:
            held.until = AT_ONCE
            self._tell(held)

    def end(self, call: ToolCall) -> None:
        """Forgets the tool, because its outcome is saved or not needed. Cancels it if it is running."""
        held = self._held.pop(call.metadata.uid, None)
        if held is None:
            return
        if held.task is not None:
            if held.timer is not None:
                held.timer.cancel()
            if held.outcome is None:
                held.task.cancel()
            self._share.ended(shard_of(held.call))

    def interrupt(self, call: ToolCall, why: str) -> None:
        """Interrupts the tool if it is running. The call then follows its onInterrupt."""
        held = self._held.get(call.metadata.uid)
        if held is not None and held.task is not None and held.outcome is None:
            held.why_cut_off = why
            if held.began:  # a task that is cancelled before its first step says nothing
                held.task.cancel()

    def _last(self, held: _Held) -> None:
        held.lasting, held.timer, held.told_at = True, None, asyncio.get_running_loop().time()
        self._tell(held)

    async def _work(self, held: _Held, work: Work) -> None:
        held.began = True
        try:
            held.outcome = Interruption(held.why_cut_off) if held.why_cut_off else await work()
        except InputRequired as error:
            held.outcome = Failure(str(error), kept=error.work)
        except ToolError as error:
            held.outcome = Failure(str(error), error.trouble, error.retry_after)
        except Terminal as error:
            held.outcome = Failure(str(error))
        except NotStarted as error:
            held.outcome = Interruption(str(error), started=False)
        except Transient as error:
            held.outcome = Interruption(str(error), error.reason == "Timeout")
        except ApiError as error:
            held.outcome = Unserved(error)
        except asyncio.CancelledError:
            if self._closing or self._held.get(held.call.metadata.uid) is not held:
                raise
            held.outcome = Interruption(held.why_cut_off or "the tool was cancelled")
        except Exception as error:
            trace = redacted("".join(format_exception(error)), held.hidden)
            log.error("bug: a tool's runner failed", tool=held.call.spec.tool, exception=trace)
            held.outcome = Interruption(f"its runner failed with {type(error).__name__}")
        except BaseException:  # the program ends
            self._closing = True
            raise
        if held.hidden:
            held.outcome = without(held.outcome, held.hidden)
        if held.timer is not None:
            held.timer.cancel()
        self._tell(held)

    def _tell(self, held: _Held) -> None:
        if self._held.get(held.call.metadata.uid) is held and not self._closing:
            for told in self._told:
                told(None, held.call)
