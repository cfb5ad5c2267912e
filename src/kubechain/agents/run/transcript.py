"""The conversation as data: its opening, the ToolCalls that its last reply asks for, and tool results as messages.

The checkpoint that saves a reply creates its ToolCalls in the same write, and a later pass creates those that are
missing. Both compute names and specs here, so both get the same ones.

The transcript is never changed. If a model or a user wrote something that strict model servers refuse, only the
request is corrected (`mended`); `status.mended` says whether a run needs that, so a valid conversation costs
nothing. Pure. Does not depend on providers or time.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Raw, json
from msgspec.structs import replace

from kubechain.agents.builtin.read_result import cut_note
from kubechain.agents.builtin.table import origin_of
from kubechain.agents.call.artifact import line
from kubechain.agents.naming import tool_call_name, tool_name
from kubechain.agents.run.scene import Due
from kubechain.resources.agent import Agent, ToolOrigin
from kubechain.resources.message import FunctionCall, Message, RequestedCall
from kubechain.resources.task import Task
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCall, ToolCallSpec

NO_TEXT = "(the tool returned nothing)"
"""What stands for a result without text: servers refuse an empty one."""
NO_RESULT = "(no result of this call is known)"
"""What stands for the result of a call that was never answered."""
QUOTED = 1_000
"""Characters of unreadable arguments that the model sees again."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OBJECT = json.Decoder(dict[str, Raw])


def opening(run: TaskRun, task: Task | None, agent: Agent) -> list[Message]:
    """The messages before the first reply: system prompt as written, conversation so far, question."""
    messages = list((task.spec.context_window if task else None) or [])
    if agent.spec.system and not any(m.role == "system" for m in messages):
        messages.insert(0, Message(role="system", content=agent.spec.system))
    question = run.spec.user_message
    if question is None and task is not None:
        question = task.spec.user_message
    if question is not None:
        messages.append(Message(role="user", content=question))
    return messages


def requested(run: TaskRun) -> list[RequestedCall]:
    """The tool calls that the last reply of the run asks for, in its order."""
    messages = run.status.messages
    if not run.status.turns or not messages or messages[-1].role != "assistant":
        return []
    return messages[-1].tool_calls


def names(run: TaskRun) -> list[str]:
    """The names of the ToolCalls that the last reply asks for, in its order, whether they exist or not."""
    meta, turn = run.metadata, run.status.turns
    return [tool_call_name(meta.name, meta.uid, turn, at) for at in range(1, len(requested(run)) + 1)]


def due(run: TaskRun, agent: Agent | None, existing: Collection[str] = ()) -> Due:
    """The ToolCalls that the last reply asks for, made by `agent`, beside those that exist."""
    asked = zip(names(run), requested(run), strict=True)
    return [(name, _spec(run, agent, request)) for name, request in asked if name not in existing]


def at_work(requests: Sequence[RequestedCall], origins: Mapping[str, ToolOrigin]) -> str:
    """What a run waits on while its calls run: `tool:a, agent:b`. `origins`: by the name that the model calls."""
    return ", ".join(_work(request.function.name, origins.get(request.function.name)) for request in requests)


def _work(name: str, origin: ToolOrigin | None) -> str:
    return f"agent:{origin.agent}" if origin is not None and origin.agent else f"tool:{name}"


def _spec(run: TaskRun, agent: Agent | None, request: RequestedCall) -> ToolCallSpec:
    """The ToolCall for one call; without an origin if the model invented the name."""
    name = request.function.name
    return ToolCallSpec(
        tool_call_id=request.id,
        task_run=run.metadata.name,
        tool=name,
        arguments="{}" if _is_empty(request.function.arguments) else request.function.arguments,
        origin=_origin(agent, name) or origin_of(name, run),
    )


def _origin(agent: Agent | None, name: str) -> ToolOrigin | None:
    tools = agent.status.tools if agent else []
    return next((tool.origin for tool in tools if tool.name == name), None)


def result_message(request: RequestedCall, call: ToolCall) -> Message:
    """What the model is told of a finished call: its result, or its error as text."""
    if call.status.phase != "Succeeded":
        text = f"Error: {call.status.error}"
    elif call.status.stored is None:
        text = call.status.result
    else:
        note = cut_note(call.metadata.name, len(call.status.result), call.status.stored.characters)
        text = call.status.result + note
    if call.status.artifacts:
        text = "\n".join([*([text] if text else []), *(line(artifact) for artifact in call.status.artifacts)])
    return Message(role="tool", tool_call_id=request.id, content=text if text.strip() else NO_TEXT)


def is_fit(reply: Message, before: Iterable[Message] = ()) -> bool:
    """Whether a reply can be sent back as it is, after the messages `before`."""
    if not reply.tool_calls:
        return True
    taken = {call.id for message in before for call in message.tool_calls}
    return _unique(reply, taken) and all(
        _NAME.fullmatch(call.function.name) and _is_object(call.function.arguments) for call in reply.tool_calls
    )


def _unique(reply: Message, taken: set[str]) -> bool:
    ids = {call.id for call in reply.tool_calls}
    return len(ids) == len(reply.tool_calls) and "" not in ids and ids.isdisjoint(taken)


def mended(messages: Sequence[Message]) -> list[Message]:
    """The messages so that every server can read them.

    Arguments are JSON objects, names legal, ids unique, results not empty; each call has one result right behind
    its reply, and no result stands without its call.
    """
    made: list[Message] = []
    taken: set[str] = set()
    unanswered: list[tuple[str, str]] = []
    """Calls of the last reply: the id that was given, and the one that is sent."""
    for message in messages:
        if message.role == "tool":
            sent = next((pair for pair in unanswered if pair[0] == message.tool_call_id), None)
            if sent is not None:
                unanswered.remove(sent)
                made.append(_result(sent[1], message))
            continue
        made += _unanswered(unanswered)
        unanswered = []
        if message.role != "assistant":
            made.append(message)
        elif message.tool_calls:
            calls = [_call(call, taken) for call in message.tool_calls]
            unanswered = [(old.id, new.id) for old, new in zip(message.tool_calls, calls, strict=True)]
            made.append(replace(message, tool_calls=calls))
        elif (message.content or "").strip() or message.opaque:
            made.append(message)
    return [*made, *_unanswered(unanswered)]


def _result(id_: str, message: Message) -> Message:
    text = message.content if (message.content or "").strip() else NO_TEXT
    return replace(message, tool_call_id=id_, content=text)


def _unanswered(calls: Iterable[tuple[str, str]]) -> list[Message]:
    return [Message(role="tool", tool_call_id=sent, content=NO_RESULT) for _, sent in calls]


def _call(call: RequestedCall, taken: set[str]) -> RequestedCall:
    id_, count = call.id or "call", 1
    while id_ in taken:
        count += 1
        id_ = f"{call.id or 'call'}_{count}"
    taken.add(id_)
    function = call.function
    name = function.name if _NAME.fullmatch(function.name) else tool_name(function.name)
    return RequestedCall(id=id_, function=FunctionCall(name=name, arguments=_arguments(function.arguments)))


def _arguments(text: str) -> str:
    if _is_empty(text):
        return "{}"
    if _is_object(text):
        return text
    shown = text[:QUOTED].encode(errors="replace").decode()
    return json.encode({"INVALID_JSON": shown}).decode()


def _is_empty(text: str) -> bool:
    """`null` and nothing at all are no arguments."""
    return text.strip() in ("", "null")


def _is_object(text: str) -> bool:
    try:
        _OBJECT.decode(text)
    except (ValueError, RecursionError):
        return False
    return True
