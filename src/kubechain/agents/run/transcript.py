"""The conversation as data: how it opens, what its last reply asked for, how a tool's answer reads in it.

Pure. Knows nothing of providers' wires and nothing of time.
"""

from __future__ import annotations

from collections.abc import Sequence

from kubechain.agents.call.offload import cut_note
from kubechain.agents.run.history import NO_TEXT
from kubechain.resources.agent import Agent
from kubechain.resources.message import Message, RequestedCall
from kubechain.resources.task import Task
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCall


def opening(run: TaskRun, task: Task, agent: Agent) -> list[Message]:
    """What stands before the first reply: system prompt as written, conversation so far, question."""
    messages = list(task.spec.context_window or [])
    if agent.spec.system and not any(m.role == "system" for m in messages):
        messages.insert(0, Message(role="system", content=agent.spec.system))
    question = run.spec.user_message
    if question is None:
        question = task.spec.user_message
    if question is not None:
        messages.append(Message(role="user", content=question))
    return messages


def requested_calls(messages: Sequence[Message]) -> list[RequestedCall]:
    """The tool calls of the last message, where it is a reply that asks for any."""
    if not messages or messages[-1].role != "assistant":
        return []
    return messages[-1].tool_calls


def result_message(request: RequestedCall, call: ToolCall) -> Message:
    """What the model is told of a finished call: its result, or its error as text."""
    if call.status.phase != "Succeeded":
        text = f"Error: {call.status.error}"
    elif call.status.stored is None:
        text = call.status.result
    else:
        note = cut_note(call.metadata.name, len(call.status.result), call.status.stored.characters)
        text = call.status.result + note
    return Message(role="tool", tool_call_id=request.id, content=text if text.strip() else NO_TEXT)
