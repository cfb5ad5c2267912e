"""A conversation handed in by a Task (`spec.contextWindow`): what of it no model server would take. Pure.

The Task's controller shows it when the Task is applied; a run of such a Task fails. What can be made fit (a call
without a result, blank arguments) is no problem: transcript.py sees to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubechain.resources.message import Message

INVALID = "InvalidContextWindow"
FIELD = "spec.contextWindow"


def problem(messages: Sequence[Message]) -> str | None:
    """The first field that cannot be sent, and why: `spec.contextWindow[2].toolCallId: ...`; None if all can."""
    calls: set[str] = set()
    for at, message in enumerate(messages):
        where = f"{FIELD}[{at}]"
        if message.role != "assistant" and message.tool_calls:
            return f"{where}.toolCalls: only a message of role assistant can call tools"
        if message.role == "tool":
            if not message.tool_call_id:
                return f"{where}.toolCallId: a message of role tool has to name the call that it answers"
            if message.tool_call_id not in calls:
                return f'{where}.toolCallId: no call "{message.tool_call_id}" that is still open stands before it'
            calls.discard(message.tool_call_id)
        elif message.role == "assistant":
            calls = {call.id for call in message.tool_calls}
        elif not (message.content or "").strip():
            return f"{where}.content: a message of role {message.role} needs a text"
        else:
            calls = set()
    if not any(message.role != "system" for message in messages):
        return f"{FIELD}: it holds no message that a model could answer; add one of role user"
    return None
