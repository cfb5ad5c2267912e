"""The ToolCalls that a reply asks for: their names, their specs. Pure.

The checkpoint that saves a reply creates them in the same write, and a later pass creates those that are missing.
Both use this module, so both get the same names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from kubechain.agents.builtin.table import origin_of
from kubechain.agents.naming import tool_call_name
from kubechain.agents.run.scene import Due
from kubechain.agents.run.transcript import requested_calls
from kubechain.resources.agent import Agent, ToolOrigin
from kubechain.resources.message import RequestedCall
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCallSpec


def requested(run: TaskRun) -> list[RequestedCall]:
    """The calls that the last reply of the run asks for, in its order."""
    return requested_calls(run.status.messages) if run.status.turns else []


def names(run: TaskRun) -> list[str]:
    """The names of the ToolCalls that the last reply asks for, in its order, whether they exist or not."""
    meta, turn = run.metadata, run.status.turns
    return [tool_call_name(meta.name, meta.uid, turn, at) for at in range(1, len(requested(run)) + 1)]


def due(run: TaskRun, agent: Agent | None, existing: Collection[str] = ()) -> Due:
    """The ToolCalls that the last reply asks for, made by `agent`, beside those that exist."""
    asked = zip(names(run), requested(run), strict=True)
    return [(name, _spec(run, agent, request)) for name, request in asked if name not in existing]


def at_work(requests: Sequence[RequestedCall]) -> str:
    """What a run waits on while its calls run: `tool:a, tool:b`."""
    return ", ".join(f"tool:{request.function.name}" for request in requests)


def _spec(run: TaskRun, agent: Agent | None, request: RequestedCall) -> ToolCallSpec:
    """The ToolCall for one call; without an origin if the model invented the name."""
    name = request.function.name
    return ToolCallSpec(
        tool_call_id=request.id,
        task_run=run.metadata.name,
        tool=name,
        arguments=_arguments(request.function.arguments),
        origin=_origin(agent, name) or origin_of(name, run),
    )


def _arguments(text: str) -> str:
    """As the model wrote them; `null` and nothing at all are no arguments."""
    return "{}" if text.strip() in ("", "null") else text


def _origin(agent: Agent | None, name: str) -> ToolOrigin | None:
    tools = agent.status.tools if agent else []
    return next((tool.origin for tool in tools if tool.name == name), None)
