"""What is due for a run: the pure, total decision behind the TaskRun controller.

The scene holds everything that was observed; the step says the one thing to do next. No I/O, no clock, no await.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from kubechain.agents.builtin.table import origin_of
from kubechain.agents.naming import tool_call_name
from kubechain.agents.run.transcript import opening, requested_calls, result_message
from kubechain.resources.agent import Agent, ResolvedTool
from kubechain.resources.llm import LLM
from kubechain.resources.message import Message, RequestedCall
from kubechain.resources.readiness import settled
from kubechain.resources.task import Task
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import ToolCall, ToolCallSpec


class Scene(msgspec.Struct, frozen=True, gc=False):
    """A run and what it depends on; None where an object is not there. `calls` holds the `children` that exist."""

    run: TaskRun
    task: Task | None = None
    agent: Agent | None = None
    llm: LLM | None = None
    calls: Mapping[str, ToolCall] = {}


class Idle(msgspec.Struct, frozen=True, gc=False):
    """The run is finished: nothing is due."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Ask the model. `unsaved` are the messages not in the run yet; they are saved with the reply.

    `stored` is how many results of the run so far were too big to be shown whole.
    """

    llm: LLM
    agent: Agent
    tools: list[ResolvedTool]
    unsaved: list[Message]
    stored: int = 0


class Call(msgspec.Struct, frozen=True, gc=False):
    """Make sure that these children exist: computed name and spec."""

    missing: list[tuple[str, ToolCallSpec]]


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Wait for another object to change; `on` says in one line which and why.

    `expected` waits are part of the plan (a tool is at work): the run says so already.
    """

    on: str
    expected: bool = False


Step: TypeAlias = Idle | Ask | Call | Wait


def next_step(scene: Scene) -> Step:
    """The one thing to do next for the run."""
    if scene.run.status.finished:
        return Idle()
    requested = requested_calls(scene.run.status.messages) if scene.run.status.turns else []
    if not requested:
        return _ask(scene, _opening(scene) if scene.run.status.turns == 0 else [])
    names = expected_calls(scene.run, requested)
    missing = [
        (name, _spec(scene, r)) for name, r in zip(names, requested, strict=True) if name not in scene.calls
    ]
    if missing:
        return Call(missing)
    calls = [scene.calls[name] for name in names]
    if any(not call.status.finished for call in calls):
        open_calls = [c for c in calls if not c.status.finished]
        planned = scene.run.status.waiting_on == ", ".join(f"tool:{r.function.name}" for r in requested)
        return Wait(waiting_on_tools(open_calls), expected=planned and not any(map(_unknown, open_calls)))
    stored = sum(call.status.stored is not None for call in calls)
    return _ask(scene, [result_message(r, c) for r, c in zip(requested, calls, strict=True)], stored)


def children(run: TaskRun) -> list[str]:
    """The names of the ToolCalls that the last reply asks for, whether they exist or not."""
    return expected_calls(run, requested_calls(run.status.messages)) if run.status.turns else []


def expected_calls(run: TaskRun, requested: list[RequestedCall]) -> list[str]:
    """The names of the children that the last reply asks for, in call order."""
    meta, turn = run.metadata, run.status.turns
    return [tool_call_name(meta.name, meta.uid, turn, position) for position in range(1, len(requested) + 1)]


def waiting_on_tools(calls: list[ToolCall]) -> str:
    """`tool:a, tool:b`, with the calls that need a person first."""
    unknown = [
        f"tool:{c.spec.tool} (outcome unknown: see toolcall {c.metadata.name})" for c in calls if _unknown(c)
    ]
    return ", ".join([*unknown, *(f"tool:{c.spec.tool}" for c in calls if not _unknown(c))])


def _unknown(call: ToolCall) -> bool:
    return call.status.phase == "OutcomeUnknown"


def _opening(scene: Scene) -> list[Message]:
    return opening(scene.run, scene.task, scene.agent) if scene.task and scene.agent else []


def _ask(scene: Scene, unsaved: list[Message], stored: int = 0) -> Step:
    """Ask, once everything that the question depends on is there and ready."""
    run, task, agent, llm = scene.run, scene.task, scene.agent, scene.llm
    if task is None:
        return Wait(f'task:{run.spec.task} (not found; create Task "{run.spec.task}")')
    if agent is None:
        return Wait(f'agent:{task.spec.agent} (not found; create Agent "{task.spec.agent}")')
    if not settled(agent.status, agent.metadata.generation):
        return Wait(f"agent:{agent.metadata.name} ({agent.status.status_detail or 'not ready yet'})")
    if llm is None:
        return Wait(f"llm:{agent.spec.llm_ref.name} (not found)")
    if not settled(llm.status, llm.metadata.generation):
        return Wait(f"llm:{llm.metadata.name} ({llm.status.status_detail or 'not ready yet'})")
    return Ask(llm, agent, agent.status.tools, unsaved, run.status.stored_results + stored)


def _spec(scene: Scene, requested: RequestedCall) -> ToolCallSpec:
    """The child for one requested call; without an origin where the model made a name up."""
    tools = scene.agent.status.tools if scene.agent else []
    name = requested.function.name
    tool = next((t for t in tools if t.name == name), None)
    origin = tool.origin if tool else origin_of(name, scene.run)
    return ToolCallSpec(
        tool_call_id=requested.id,
        task_run=scene.run.metadata.name,
        tool=name,
        arguments=requested.function.arguments,
        origin=origin,
    )
