"""The status a run is left with: after a reply, while it waits, when it fails. Pure; the controller writes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from msgspec.structs import replace

from kubechain.agents.ports.model import Reply, TokenCount
from kubechain.agents.run.calls import at_work
from kubechain.agents.run.gates import TOOL_CALLS_REQUESTED
from kubechain.agents.run.scene import Wait
from kubechain.resources.message import Message
from kubechain.resources.model import Condition, timestamp, with_condition
from kubechain.resources.segment import TranscriptSegmentSpec
from kubechain.resources.taskrun import History, TaskRun, TaskRunStatus, Usage

Sealed: TypeAlias = Sequence[tuple[str, TranscriptSegmentSpec]]
SUCCEEDED = "Succeeded"


def after_reply(
    run: TaskRun,
    agent: str,
    unsaved: list[Message],
    reply: Reply,
    now: datetime,
    moved: Sealed = (),
    stored: int = 0,
) -> TaskRunStatus:
    """The checkpoint: transcript and reply in one status, final when the reply asks for no tool.

    `moved` are the segments that hold everything before the reply, where the window had grown too large;
    `stored` counts the results so far that were too big to be shown whole.
    """
    old, message = run.status, reply.message
    window = [message] if moved else [*old.messages, *unsaved, message]
    status = replace(
        old,
        agent=agent,
        start_time=old.start_time or timestamp(now),
        history=_lengthened(old.history, moved),
        messages=window,
        stored_results=stored,
        turns=old.turns + 1,
        usage=_sum(old.usage or Usage(), reply.usage),
        tokens=old.tokens + reply.usage.input + reply.usage.output,
        observed_generation=run.metadata.generation,
    )
    if message.tool_calls:
        status = replace(status, phase="Running", waiting_on=at_work(message.tool_calls))
        return _condition(status, "Unknown", TOOL_CALLS_REQUESTED, "", now)
    status = replace(
        status, phase="FinalAnswer", output=message.content or "", waiting_on="", completion_time=timestamp(now)
    )
    cut = " The reply was cut off at its token limit." if reply.finish == "length" else ""
    return _condition(status, "True", "FinalAnswer", f"{answered(status)}.{cut}", now)


def _lengthened(history: History, moved: Sealed) -> History:
    if not moved:
        return history
    last, spec = moved[-1]
    return History(last=last, segments=history.segments + len(moved), messages=spec.first + len(spec.messages))


def answered(status: TaskRunStatus) -> str:
    """`Answered after 2 turns`."""
    return f"Answered after {status.turns} {'turn' if status.turns == 1 else 'turns'}"


def running(run: TaskRun, agent: str, waiting_on: str, now: datetime) -> TaskRunStatus:
    """The run is being worked on, with nothing to save yet."""
    status = replace(
        run.status,
        phase="Running",
        agent=agent or run.status.agent,
        start_time=run.status.start_time or timestamp(now),
        waiting_on=waiting_on,
        observed_generation=run.metadata.generation,
    )
    return _condition(status, "Unknown", "Running", "", now)


def waiting(run: TaskRun, wait: Wait, now: datetime) -> TaskRunStatus:
    """Why it is not moving, in one line; the phase stays. The same as before where that is known already."""
    status = replace(run.status, waiting_on=wait.on, phase=run.status.phase or "Pending")
    if not wait.reason:
        return status
    message = "" if wait.reason == TOOL_CALLS_REQUESTED else wait.on
    return _condition(status, "Unknown", wait.reason, message, now)


def failed(run: TaskRun, reason: str, message: str, now: datetime) -> TaskRunStatus:
    """The run failed for a reason that trying again will not cure."""
    status = replace(
        run.status,
        phase="Failed",
        error=message,
        waiting_on="",
        start_time=run.status.start_time or timestamp(now),
        completion_time=timestamp(now),
        observed_generation=run.metadata.generation,
    )
    return _condition(status, "False", reason, message, now)


def _sum(usage: Usage, more: TokenCount) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens + more.input,
        output_tokens=usage.output_tokens + more.output,
        cached_tokens=usage.cached_tokens + more.cached,
    )


def _condition(status: TaskRunStatus, value: str, reason: str, message: str, now: datetime) -> TaskRunStatus:
    condition = Condition(
        type=SUCCEEDED,
        status="True" if value == "True" else "False" if value == "False" else "Unknown",
        reason=reason,
        message=message,
        last_transition_time=timestamp(now),
        observed_generation=status.observed_generation,
    )
    return replace(status, conditions=with_condition(status.conditions, condition))
