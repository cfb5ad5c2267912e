"""A run that calls one tool once, over a store in memory: what tests of single kinds of tools need around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.agents.ports.tool import ToolRunner
from kubechain.app.loops import ControlLoops, control_loops
from kubechain.controllers.assembly import Outside
from kubechain.resources.agent import AGENTS, Agent, AgentSpec, MCPServerReference, ToolReference
from kubechain.resources.kind import Kind
from kubechain.resources.llm import LLM, LLMS, LLMSpec
from kubechain.resources.message import FunctionCall, Message, RequestedCall
from kubechain.resources.model import ObjectMeta
from kubechain.resources.reference import Reference
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunSpec
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Api, Change, WatchOptions

RUN = "r"


def meta(name: str, **annotations: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace="default", annotations=annotations)


class CallsOnce:
    """A model that calls the first tool it is offered, once, and then answers with the result."""

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        if messages[-1].role == "tool":
            return Reply(Message(role="assistant", content=messages[-1].content))
        function = FunctionCall(name=tools[0].name, arguments="{}")
        return Reply(Message(role="assistant", tool_calls=[RequestedCall(id="call_1", function=function)]))

    async def check(self, endpoint: Endpoint) -> str:
        return "ready"

    async def close(self) -> None:
        return None


@asynccontextmanager
async def looping(api: Api, tools: Sequence[ToolRunner]) -> AsyncIterator[ControlLoops]:
    """One life of the program."""
    async with control_loops(api, Outside(CallsOnce(), tools, {})) as loops:
        yield loops


async def ask(api: Api, *, tool: str = "", server: str = "") -> None:
    """Creates the run and all it needs but its tool."""
    spec = AgentSpec(
        llm_ref=Reference(name="m"),
        tools=[ToolReference(name=tool)] if tool else [],
        mcp_servers=[MCPServerReference(name=server)] if server else [],
    )
    await api.create(LLMS, LLM(metadata=meta("m"), spec=LLMSpec(provider="ollama")))
    await api.create(AGENTS, Agent(metadata=meta("a"), spec=spec))
    await api.create(TASKS, Task(metadata=meta("t"), spec=TaskSpec(agent="a", user_message="Call it.")))
    await api.create(TASK_RUNS, TaskRun(metadata=meta(RUN), spec=TaskRunSpec(task="t")))


async def call_that(api: Api, phase: str) -> ToolCall:
    """The run's ToolCall, once it is in that phase."""
    async with aclosing(api.watch(TOOL_CALLS, "default", WatchOptions())) as events:
        async for event in events:
            if isinstance(event, Change) and event.object.status.phase == phase:
                return event.object
    raise AssertionError("the watch ended")


async def parked_call(api: Api) -> ToolCall:
    """The run's ToolCall, once its work goes on elsewhere."""
    async with aclosing(api.watch(TOOL_CALLS, "default", WatchOptions())) as events:
        async for event in events:
            if isinstance(event, Change) and event.object.status.external is not None:
                return event.object
    raise AssertionError("the watch ended")


async def none_left(api: Api, kind: Kind[Any], namespace: str = "default") -> None:
    """Returns once no object of the kind is left."""
    async with aclosing(api.watch(kind, namespace, WatchOptions(initial_events=True))) as events:
        there: set[str] = set()
        known = False
        async for event in events:
            if isinstance(event, Change):
                (there.discard if event.type == "DELETED" else there.add)(event.key.name)
            known = known or not isinstance(event, Change)
            if known and not there:
                return


async def ended_run(api: Api) -> TaskRun:
    """The run, once it is finished."""
    async with aclosing(api.watch(TASK_RUNS, "default", WatchOptions())) as events:
        async for event in events:
            if isinstance(event, Change) and event.object.status.finished:
                return event.object
    raise AssertionError("the watch ended")
