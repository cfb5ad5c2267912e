"""Objects as the decisions see them, built short for tables of (scene) -> step."""

from __future__ import annotations

from kubechain.agents.run.scene import Ask, Scene
from kubechain.resources.agent import Agent, AgentSpec, AgentStatus, ResolvedTool, ToolOrigin
from kubechain.resources.llm import LLM, LLMSpec, LLMStatus
from kubechain.resources.message import FunctionCall, Message, RequestedCall
from kubechain.resources.model import ObjectMeta
from kubechain.resources.reference import Reference
from kubechain.resources.task import Task, TaskSpec
from kubechain.resources.taskrun import TaskRun, TaskRunSpec, TaskRunStatus
from kubechain.resources.toolcall import ToolCall, ToolCallSpec, ToolCallStatus

ECHO = ResolvedTool(name="echo", description="Echoes.", origin=ToolOrigin(kind="Tool", name="echo"))


def meta(name: str, uid: str = "") -> ObjectMeta:
    return ObjectMeta(name=name, namespace="default", uid=uid or f"uid-{name}", generation=1)


def llm(ready: bool = True) -> LLM:
    status = LLMStatus(ready=ready, observed_generation=1, status_detail="" if ready else 'Secret "s" not found')
    return LLM(metadata=meta("gpt"), spec=LLMSpec(provider="openai"), status=status)


def agent(ready: bool = True, system: str = "Be kind.", generation: int = 1) -> Agent:
    spec = AgentSpec(llm_ref=Reference(name="gpt"), system=system)
    status = AgentStatus(ready=ready, observed_generation=1, tools=[ECHO])
    made = Agent(metadata=meta("helper"), spec=spec, status=status)
    made.metadata.generation = generation
    return made


def task(question: str | None = "Hello?", context: list[Message] | None = None) -> Task:
    return Task(metadata=meta("t"), spec=TaskSpec(agent="helper", user_message=question, context_window=context))


def run(*messages: Message, turns: int = 0, phase: str = "Running", question: str | None = None) -> TaskRun:
    status = TaskRunStatus(messages=list(messages), turns=turns)
    status.phase = phase  # type: ignore[assignment]
    return TaskRun(metadata=meta("r", "run-uid"), spec=TaskRunSpec(task="t", user_message=question), status=status)


def scene(of: TaskRun, *calls: ToolCall, **changed: object) -> Scene:
    parts: dict[str, object] = {"task": task(), "agent": agent(), "llm": llm(), **changed}
    return Scene(of, calls={c.metadata.name: c for c in calls}, **parts)  # type: ignore[arg-type]


def asks_for(*names: str) -> Message:
    calls = [
        RequestedCall(id=f"call_{i}", function=FunctionCall(name=n, arguments="{}"))
        for i, n in enumerate(names, 1)
    ]
    return Message(role="assistant", tool_calls=calls)


def call(name: str, phase: str = "Pending", **status: object) -> ToolCall:
    spec = ToolCallSpec(tool_call_id="call_1", task_run="r", tool="echo", origin=ECHO.origin)
    made = ToolCallStatus(**status)  # type: ignore[arg-type]
    made.phase = phase  # type: ignore[assignment]
    return ToolCall(metadata=meta(name), spec=spec, status=made)


def ask(*unsaved: Message, stored: int = 0, max_tokens: int | None = None) -> Ask:
    """The question that a reply answers."""
    model = llm()
    model.spec.parameters.max_tokens = max_tokens
    return Ask(model, agent(), [ECHO], list(unsaved), stored)
