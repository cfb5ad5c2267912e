"""The status of a run after a reply, while it waits, and when it fails. Pure; the controller writes it.

Runs stay small: at a checkpoint, once window and unsaved messages together exceed WINDOW, all of them move to
segments and only what is new stays; a reply that is LARGE by itself moves too, unless its tool calls are still to
be made. A segment's name is computed from its content, so that a checkpoint repeated after a crash makes the same
segments, and one that saw other messages makes others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct, json
from msgspec.structs import replace

from kubechain.agents.naming import segment_name
from kubechain.agents.ports.model import Reply, TokenCount
from kubechain.agents.run.outcome import CutCalls, Failure, InVain, Kept, bytes_of, outcome
from kubechain.agents.run.scene import Ask, Wait
from kubechain.agents.run.step import TOOL_CALLS_REQUESTED
from kubechain.agents.run.transcript import at_work, is_fit
from kubechain.agents.run.tries import cut_off
from kubechain.agents.run.version import version_of
from kubechain.resources.message import Message
from kubechain.resources.model import Condition, timestamp, with_condition
from kubechain.resources.segment import TranscriptSegmentSpec
from kubechain.resources.taskrun import History, Retry, TaskRun, TaskRunStatus, Usage

SUCCEEDED = "Succeeded"
FINAL_ANSWER = "FinalAnswer"
ANSWER_CUT_OFF = "AnswerCutOff"
REPLY_CUT_OFF = "ReplyCutOff"
LONGEST_ERROR = 16 * 1024
"""Characters of an error that a status holds twice, as its error and in its condition."""
WINDOW = 16 * 1024
"""Characters of conversation that a run's status may hold before they move out."""
SEGMENT = 96 * 1024
"""Characters that one segment holds at the most, unless a single message is larger."""
LARGE = 256 * 1024
"""Bytes of a reply that stay in the window: a final answer is in the status a second time, as its output."""

Segments: TypeAlias = Sequence[tuple[str, TranscriptSegmentSpec]]
"""Names and contents of segments."""


class Conversation(Struct, frozen=True, gc=False):
    """The conversation after a checkpoint: the messages of the status, and the segments to create before."""

    window: list[Message]
    history: History
    moved: Segments = ()


class Checkpoint(Struct, frozen=True, gc=False):
    """A status, and the segments that have to be there before it is written."""

    status: TaskRunStatus
    segments: Segments = ()


def after(run: TaskRun, ask: Ask, reply: Reply, now: datetime) -> Checkpoint | InVain:
    """The result of a reply: a status to save, or nothing that can be kept."""
    judged = outcome(reply, ask.llm, run.status.retry)
    return judged if isinstance(judged, InVain) else after_reply(run, ask, reply, judged, now)


def after_reply(
    run: TaskRun, ask: Ask, reply: Reply, outcome: Kept | CutCalls | Failure, now: datetime
) -> Checkpoint:
    """Transcript and reply in one status. Final if the reply asks for no tool, or the run fails because of it."""
    message = reply.message
    if not ask.mended and not is_fit(message, run.status.messages):
        ask = replace(ask, mended=True)
    match outcome:
        case Kept() if message.tool_calls:
            conversation = continued(run, ask.unsaved, [message], pending=True)
            status = replace(
                _turn(run, ask, conversation, reply.usage, now), retry=None, waiting_on=_at_work(ask, message)
            )
            status = _condition(replace(status, phase="Running"), "Unknown", TOOL_CALLS_REQUESTED, "", now)
        case Kept(cut):
            conversation = continued(run, ask.unsaved, [message])
            status = _answered(_turn(run, ask, conversation, reply.usage, now), message, cut, now)
        case CutCalls(why, told):
            conversation = continued(run, ask.unsaved, [message, *_told(message, told)])
            status = replace(_turn(run, ask, conversation, reply.usage, now), retry=cut_off(run.status.retry))
            status = _condition(replace(status, phase="Running"), "Unknown", REPLY_CUT_OFF, why, now)
        case Failure(reason, why, too_large):
            says = message.content or message.tool_calls or message.opaque
            new = [message, *_told(message, f"Error: nothing was run: {why}")] if says and not too_large else []
            conversation = continued(run, ask.unsaved, new)
            status = _failed(_turn(run, ask, conversation, reply.usage, now), reason, why, now)
    return Checkpoint(status, conversation.moved)


def _turn(run: TaskRun, ask: Ask, conversation: Conversation, used: TokenCount, now: datetime) -> TaskRunStatus:
    """What every turn adds to the status."""
    status = _paid(_talked(run, ask, conversation, now), used)
    return replace(status, turns=run.status.turns + 1, waiting_on="")


def _talked(run: TaskRun, ask: Ask, conversation: Conversation, now: datetime) -> TaskRunStatus:
    """The run with what is known before any reply."""
    return replace(
        run.status,
        agent=ask.agent.metadata.name,
        version=run.status.version or version_of(ask.agent),
        start_time=run.status.start_time or timestamp(now),
        history=conversation.history,
        messages=conversation.window,
        stored_results=ask.stored,
        mended=ask.mended,
        observed_generation=run.metadata.generation,
    )


def _at_work(ask: Ask, message: Message) -> str:
    """As `calls_open` shows it later, so that nothing is written twice."""
    return at_work(message.tool_calls, {tool.name: tool.origin for tool in ask.tools})


def _told(message: Message, text: str) -> list[Message]:
    """A result for each call of a reply whose calls are not run."""
    return [Message(role="tool", tool_call_id=call.id, content=text) for call in message.tool_calls]


def _answered(status: TaskRunStatus, message: Message, cut: str, now: datetime) -> TaskRunStatus:
    status = replace(
        status,
        phase="FinalAnswer",
        output=message.content or "",
        retry=None,
        completion_time=timestamp(now),
    )
    if cut:
        return _condition(status, "True", ANSWER_CUT_OFF, f"{answered(status)}; {cut}", now)
    return _condition(status, "True", FINAL_ANSWER, f"{answered(status)}.", now)


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
    """The status with what the run waits for, in one line; the phase stays. The same object if nothing changes."""
    status = replace(run.status, waiting_on=wait.on, phase=run.status.phase or "Pending")
    if not wait.reason:
        return status
    message = "" if wait.reason == TOOL_CALLS_REQUESTED else wait.on
    return _condition(status, "Unknown", wait.reason, message, now)


def in_vain(run: TaskRun, ask: Ask, retry: Retry, why: str, used: TokenCount) -> TaskRunStatus:
    """The status after a request without a usable reply: the count so far, and the time of the next request."""
    asked = {0: "", 1: "asked once"}.get(retry.attempts, f"asked {retry.attempts} times")
    again = f"next at {retry.next_time}" if retry.next_time else ""
    told = ", ".join(filter(None, (asked, again)))
    return replace(
        run.status if used == TokenCount() else _paid(run.status, used),
        phase=run.status.phase or "Pending",
        agent=ask.agent.metadata.name,
        retry=retry,
        waiting_on=f"llm:{ask.llm.metadata.name} ({why}; {told})",
    )


def failed(run: TaskRun, ask: Ask, reason: str, message: str, now: datetime) -> Checkpoint:
    """The run failed, and trying again would not help. It keeps everything that led to the request."""
    conversation = continued(run, ask.unsaved)
    return Checkpoint(_failed(_talked(run, ask, conversation, now), reason, message, now), conversation.moved)


def refused(run: TaskRun, reason: str, message: str, now: datetime) -> TaskRunStatus:
    """The run failed before anything was asked."""
    status = replace(
        run.status,
        start_time=run.status.start_time or timestamp(now),
        observed_generation=run.metadata.generation,
    )
    return _failed(status, reason, message, now)


def too_large(run: TaskRun, ask: Ask, message: str, now: datetime) -> TaskRunStatus:
    """The run failed because its conversation is too large for an object. It keeps what it had before."""
    kept = Conversation(run.status.messages, run.status.history)
    return _failed(_talked(run, ask, kept, now), "RunTooLarge", message, now)


def _failed(status: TaskRunStatus, reason: str, message: str, now: datetime) -> TaskRunStatus:
    message = message[:LONGEST_ERROR]
    status = replace(status, phase="Failed", error=message, waiting_on="", completion_time=timestamp(now))
    return _condition(status, "False", reason, message, now)


def _paid(status: TaskRunStatus, used: TokenCount) -> TaskRunStatus:
    """Adds the tokens of a reply. What a provider did not report is unknown, not zero."""
    usage = status.usage or Usage()
    total = Usage(
        input_tokens=_plus(usage.input_tokens, used.input),
        output_tokens=_plus(usage.output_tokens, used.output),
        cached_tokens=_plus(usage.cached_tokens, used.cached),
    )
    return replace(status, usage=total, tokens=status.tokens + (used.input or 0) + (used.output or 0))


def _plus(told: int | None, more: int | None) -> int | None:
    """Adds two counts; unknown if both are unknown."""
    return told if more is None else (told or 0) + more


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


def size(messages: Iterable[Message]) -> int:
    """Characters that people and models wrote: close enough to bytes to limit an object."""
    total = 0
    for message in messages:
        total += len(message.content or "") + len(message.opaque) + 60
        for call in message.tool_calls:
            total += len(call.function.arguments) + 80
    return total


def continued(
    run: TaskRun, unsaved: Sequence[Message], new: Sequence[Message] = (), *, pending: bool = False
) -> Conversation:
    """The run's conversation with the `unsaved` messages that led to a reply, and the `new` ones: the reply.

    `pending`: the reply's tool calls are still to be made, so it stays in the window.
    """
    before = [*run.status.messages, *unsaved]
    if not pending and sum(map(bytes_of, new)) > LARGE:
        return _moved(run, [*before, *new], [])
    if size(before) > WINDOW:
        return _moved(run, before, new)
    return Conversation([*before, *new], run.status.history)


def _moved(run: TaskRun, messages: Sequence[Message], rest: Sequence[Message]) -> Conversation:
    history = run.status.history
    previous, first = history.last, history.messages
    made: list[tuple[str, TranscriptSegmentSpec]] = []
    for stretch in _stretches(messages):
        spec = TranscriptSegmentSpec(task_run=run.metadata.name, previous=previous, first=first, messages=stretch)
        previous = segment_name(run.metadata.name, run.metadata.uid, json.encode(spec))
        first += len(stretch)
        made.append((previous, spec))
    return Conversation(
        list(rest), History(last=previous, segments=history.segments + len(made), messages=first), made
    )


def _stretches(messages: Sequence[Message]) -> Iterable[list[Message]]:
    """The messages in stretches of at most SEGMENT."""
    stretch: list[Message] = []
    length = 0
    for message in messages:
        more = size([message])
        if stretch and length + more > SEGMENT:
            yield stretch
            stretch, length = [], 0
        stretch.append(message)
        length += more
    if stretch:
        yield stretch
