"""What is due for one tool call: the pure, total decision behind the ToolCall controller.

It does not depend on the kind of tool. It is an ordered list of small gates; the first one with an answer decides.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias, assert_never

import msgspec
from msgspec import json

from kubechain.agents.call.outcome import Done, Failure, Interruption, Parked, Unserved
from kubechain.agents.call.scene import CallScene
from kubechain.agents.ports.tool import Nature
from kubechain.errors import ApiError
from kubechain.resources.toolcall import PARKED, ExternalWork

DEATHS = 3
"""How often a repeatable call is tried when the tool's process dies under it."""


class CallIdle(msgspec.Struct, frozen=True, gc=False):
    """Nothing is due, before `until` if that is known."""

    until: datetime | None = None


class CallWait(msgspec.Struct, frozen=True, gc=False):
    """The tool cannot be started; `on` says why."""

    on: str


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """The call fails without being tried; `error` is told to the model."""

    error: str


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

    result: str


class Fail(msgspec.Struct, frozen=True, gc=False):
    """The tool has ended, or was given up; `error` is told to the model. `kept`: what is needed to go on later."""

    error: str
    kept: ExternalWork | None = None


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
    return Start(_nature(scene).marked)


def _deleted(scene: CallScene) -> CallStep | None:
    """A call that is being deleted, or whose run is, is ended and not started."""
    run = scene.run
    if scene.call.metadata.deletion_timestamp is not None or (
        run is not None and run.metadata.deletion_timestamp is not None
    ):
        return Stop()
    if run is None and scene.execution is not None:
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
        case Done(text):
            return Succeed(text)
        case Failure(error, kept=kept):
            return Fail(error, kept)
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
    if cut.timed_out or policy == "Fail":
        return Fail(cut.error)
    if policy == "Ask":
        return LoseTrack(cut.error)
    if scene.call.status.deaths + 1 >= DEATHS:
        return Fail(f"{cut.error} (tried {DEATHS} times)")
    return Repeat(cut.error)


def _unfit(scene: CallScene) -> CallStep | None:
    """The model invented a tool, or the arguments are not a JSON object."""
    spec = scene.call.spec
    if spec.origin is None:
        return Refuse(f'there is no tool "{spec.tool}"; use one of the tools you were given')
    problem = bad_arguments(spec.arguments)
    return Refuse(problem) if problem else None


def _absent(scene: CallScene) -> CallStep | None:
    """The run or the tool does not exist."""
    spec = scene.call.spec
    if scene.run is None:
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
            return Refuse("the call was interrupted and is not repeated (onInterrupt: Fail)")
        case "Ask":
            return LoseTrack("it was interrupted")
        case "Retry":
            return None


def _not_ready(scene: CallScene) -> CallStep | None:
    origin, tool = scene.call.spec.origin, scene.tool
    if tool is None or origin is None or tool.ready:
        return None
    return CallWait(f"{origin.kind} {origin.name}: {tool.detail or 'not ready yet'}")


GATES: tuple[Gate, ...] = (
    _deleted,
    _over,
    _run_failed,
    _in_hand,
    _unfit,
    _absent,
    _elsewhere,
    _found_running,
    _not_ready,
)


def _nature(scene: CallScene) -> Nature:
    """The nature with which it was started, otherwise that of the tool now.

    One of them exists after the other gates.
    """
    if scene.execution is not None:
        return scene.execution.nature
    if scene.tool is None:
        raise ValueError("a call without a tool has no nature")
    return scene.tool.nature


def bad_arguments(arguments: str) -> str | None:
    """What the model is told when its arguments are not a JSON object; None when they are."""
    if not arguments.strip():
        return None
    try:
        value = json.decode(arguments.encode())
    except RecursionError:
        return "the arguments are nested too deeply; send one JSON object"
    except ValueError as error:
        return f"the arguments are not valid JSON ({error}); send one JSON object"
    return None if isinstance(value, dict) else "the arguments are not a JSON object; send one JSON object"
