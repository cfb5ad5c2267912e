"""What is due for one tool call: the pure, total decision behind the ToolCall controller.

It does not depend on the kind of tool. It is an ordered list of small gates; the first one with an answer decides.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias, assert_never

import msgspec

from kubechain.agents.call import arguments
from kubechain.agents.call.outcome import Done, Failure, Interruption, Parked, Unserved
from kubechain.agents.call.scene import ANYTHING, FREE, CallScene
from kubechain.agents.call.tries import next_try
from kubechain.agents.ports.tool import Nature
from kubechain.errors import ApiError
from kubechain.resources.model import moment
from kubechain.resources.toolcall import PARKED, CallRetry, ExternalWork

DEATHS = 3
"""How often a repeatable call is tried when the tool's process dies under it."""
INTERRUPTED = "Interrupted"


class CallIdle(msgspec.Struct, frozen=True, gc=False):
    """Nothing is due, before `until` if that is known."""

    until: datetime | None = None


class CallWait(msgspec.Struct, frozen=True, gc=False):
    """The tool cannot be started; `on` says why."""

    on: str


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """The call fails without being tried; `error` is told to the model, `reason` is one word for programs."""

    error: str
    reason: str


class Start(msgspec.Struct, frozen=True, gc=False):
    """Start the tool; `mark`: write Running first."""

    mark: bool


class Look(msgspec.Struct, frozen=True, gc=False):
    """Check the work elsewhere."""


class Show(msgspec.Struct, frozen=True, gc=False):
    """The tool has been at work for a while: write that it is Running, and how far it says it is."""


class Stop(msgspec.Struct, frozen=True, gc=False):
    """End what was started for the call, because it or its run is being deleted."""


class Abandon(msgspec.Struct, frozen=True, gc=False):
    """End what was started for the call, which fails: nobody reads its result."""

    error: str


class Park(msgspec.Struct, frozen=True, gc=False):
    """Write down what runs elsewhere."""

    parked: Parked


class Succeed(msgspec.Struct, frozen=True, gc=False):
    """The tool has ended with this result."""

    result: Done


class Fail(msgspec.Struct, frozen=True, gc=False):
    """The tool has ended, or was given up; `error` is told to the model, `reason` is one word for programs.

    `kept`: what is needed to go on later.
    """

    error: str
    reason: str = "ToolFailed"
    kept: ExternalWork | None = None


class TryAgain(msgspec.Struct, frozen=True, gc=False):
    """The call failed, and is tried again at the time in `retry`."""

    error: str
    retry: CallRetry
    at_most: int


class LoseTrack(msgspec.Struct, frozen=True, gc=False):
    """The tool was interrupted and must not be repeated; `why` it was interrupted."""

    why: str


class Repeat(msgspec.Struct, frozen=True, gc=False):
    """The tool's process died, and the call may be repeated: count the death, and try again after a while."""

    error: str


class Postpone(msgspec.Struct, frozen=True, gc=False):
    """Nothing has begun, because what runs the tool is away: start the call again later."""

    why: str


class GiveBack(msgspec.Struct, frozen=True, gc=False):
    """Let the worker deal with an error of the Kubernetes API: the tool is started again later."""

    error: ApiError


CallStep: TypeAlias = (
    CallIdle
    | CallWait
    | Refuse
    | Start
    | Look
    | Show
    | Stop
    | Abandon
    | Park
    | Succeed
    | Fail
    | TryAgain
    | LoseTrack
    | Repeat
    | Postpone
    | GiveBack
)
Gate: TypeAlias = Callable[[CallScene], CallStep | None]


def next_call_step(scene: CallScene) -> CallStep:
    """The one thing to do next for the call."""
    for gate in GATES:
        if (step := gate(scene)) is not None:
            return step
    return Start(_nature(scene).marked or scene.line.at_most is not None)


def _deleted(scene: CallScene) -> CallStep | None:
    """A call that is being deleted, or whose run is, is ended and not started."""
    run = scene.run
    if scene.call.metadata.deletion_timestamp is not None or (
        run is not None and run.metadata.deletion_timestamp is not None
    ):
        return Stop()
    if run is None and scene.call.spec.task_run and scene.execution is not None:
        return Stop()
    return None


def _over(scene: CallScene) -> CallStep | None:
    """The call is finished, or waits for a person."""
    status = scene.call.status
    if status.finished or status.phase == "OutcomeUnknown":
        return CallIdle() if scene.execution is None else Stop()
    return None


def _run_failed(scene: CallScene) -> CallStep | None:
    """The run has failed meanwhile, because what it was asked for is over. A result that is there is kept."""
    if scene.run is None or scene.run.status.phase != "Failed":
        return None
    if scene.execution is not None and scene.execution.outcome is not None:
        return None
    return Abandon(f"its TaskRun {scene.run.metadata.name} has failed")


def _in_hand(scene: CallScene) -> CallStep | None:
    """This process has started the tool."""
    execution = scene.execution
    if execution is None or execution.until is not None:
        return None
    match execution.outcome:
        case None:
            status = scene.call.status
            shown = status.phase == "Running" and status.progress == execution.doing
            return Show() if execution.lasting and not shown else CallIdle()
        case Done() as done:
            return Succeed(done)
        case Failure() as failure:
            return _failed(scene, failure)
        case Parked() as parked:
            return Park(parked)
        case Interruption() as cut:
            return _cut_off(scene, cut)
        case Unserved(error):
            return GiveBack(error)
        case _:
            assert_never(execution.outcome)


def _cut_off(scene: CallScene, cut: Interruption) -> CallStep:
    """The tool died or hung. The model is told of a timeout; after a death, onInterrupt applies."""
    if not cut.started:
        return Postpone(cut.error)
    policy = _nature(scene).on_interrupt
    if cut.timed_out:
        return _failed(scene, Failure(cut.error, "Timeout"))
    if policy == "Fail":
        return Fail(cut.error, reason=INTERRUPTED)
    if policy == "Ask":
        return LoseTrack(cut.error)
    if scene.call.status.deaths + 1 >= DEATHS:
        return Fail(f"{cut.error} (tried {DEATHS} times)", reason=INTERRUPTED)
    return Repeat(cut.error)


def _failed(scene: CallScene, failure: Failure) -> CallStep:
    """The tool failed: the model is told, unless the Tool's `retries` have the call tried again."""
    if (again := next_try(scene, failure)) is not None:
        return TryAgain(failure.error, *again)
    error, before = failure.error, scene.call.status.retry
    if before is not None:
        error = f"{error} (tried {before.failures + 1} times)"
    return Fail(error, failure.trouble or "ToolFailed", failure.kept)


def _unknown_tool(scene: CallScene) -> CallStep | None:
    """The model invented a tool."""
    spec = scene.call.spec
    if spec.origin is not None:
        return None
    return Refuse(f'there is no tool "{spec.tool}"; use one of the tools you were given', reason="NoSuchTool")


def _absent(scene: CallScene) -> CallStep | None:
    """The run or the tool does not exist."""
    spec = scene.call.spec
    if scene.run is None and spec.task_run:
        return CallWait(f'TaskRun "{spec.task_run}" not found')
    if scene.tool is None and spec.origin is not None:
        return CallWait(f'{spec.origin.kind} "{spec.origin.name}" not found')
    return None


def _elsewhere(scene: CallScene) -> CallStep | None:
    """The work continues outside this process, and is looked at when it is time."""
    status, execution = scene.call.status, scene.execution
    if status.phase not in PARKED or status.external is None or scene.tool is None:
        return None
    if not scene.tool.looks:
        return CallIdle()
    until = execution.until if execution is not None else None
    return CallIdle(until) if until is not None and scene.now < until else Look()


def _found_running(scene: CallScene) -> CallStep | None:
    """No process is working on the call: it was interrupted, and follows the onInterrupt of its tool."""
    if scene.call.status.phase != "Running":
        return None
    match _nature(scene).on_interrupt:
        case "Fail":
            return Refuse("the call was interrupted and is not repeated (onInterrupt: Fail)", reason=INTERRUPTED)
        case "Ask":
            return LoseTrack("it was interrupted")
        case "Retry":
            return None


def _not_ready(scene: CallScene) -> CallStep | None:
    origin, tool = scene.call.spec.origin, scene.tool
    if tool is None or origin is None or tool.ready:
        return None
    return CallWait(f"{origin.kind} {origin.name}: {tool.detail or 'not ready yet'}")


def _unfit(scene: CallScene) -> CallStep | None:
    """The arguments are not what the tool's parameters ask for."""
    parameters = scene.tool.parameters if scene.tool is not None else ANYTHING
    wrong = arguments.problem(scene.call.spec.arguments, parameters)
    return Refuse(wrong, reason="InvalidArguments") if wrong else None


def _resting(scene: CallScene) -> CallStep | None:
    """The call failed, and it is not yet time to try it again."""
    retry = scene.call.status.retry
    if retry is None or not retry.next_time:
        return None
    until = moment(retry.next_time)
    return CallIdle(until) if scene.now < until else None


def _busy(scene: CallScene) -> CallStep | None:
    """As many calls of the tool run as may run at the same time, or one before it in its run is not done."""
    line, tool = scene.line, scene.call.spec.tool
    if line is FREE:
        return None
    if line.before:
        return CallWait(f"tool:{tool} (one call at a time in a run; waits for toolcall {line.before})")
    if line.full:
        return CallWait(f"tool:{tool} is busy ({line.running} of {line.at_most})")
    return None


GATES: tuple[Gate, ...] = (
    _deleted,
    _over,
    _run_failed,
    _in_hand,
    _unknown_tool,
    _absent,
    _elsewhere,
    _found_running,
    _not_ready,
    _unfit,
    _resting,
    _busy,
)
"""After `_unfit` the arguments are known to fit. What else has to be so before a tool starts is one more gate."""


def _nature(scene: CallScene) -> Nature:
    """The nature with which it was started, otherwise that of the tool now.

    One of them exists after the other gates.
    """
    if scene.execution is not None:
        return scene.execution.nature
    if scene.tool is None:
        raise ValueError("a call without a tool has no nature")
    return scene.tool.nature
