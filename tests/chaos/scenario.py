"""What a world is made of: a few runs, agents and tools, drawn from the seed, and what each model is to say.

Plain data. `objects` gives what a user would apply; the model and the tools look their parts up by name.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Raw, convert

from kubechain.resources.agent import AGENTS, Agent, AgentSpec, MCPServerReference, ToolReference
from kubechain.resources.builtin import SECRETS, Secret
from kubechain.resources.effect import Effect, Interrupt
from kubechain.resources.kind import Kind
from kubechain.resources.llm import LLM, LLMS, LLMSpec, Parameters
from kubechain.resources.mcpserver import MCP_SERVERS, MCPServer, MCPServerSpec
from kubechain.resources.model import ObjectMeta, Resource
from kubechain.resources.reference import Reference, SecretKeyRef, SecretSource
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunSpec
from kubechain.resources.tool import TOOLS, Tool, ToolSpec
from kubechain.resources.tool_external import ExternalTool
from kubechain.resources.tool_function import FunctionTool

NAMESPACE = "default"
LLM_NAME, SECRET_NAME, SERVER_NAME = "model", "key", "server"
EFFECTS: tuple[Effect, ...] = ("ReadOnly", "Idempotent", "NonIdempotent")
ENDLESS = frozenset({"model down", "model busy", "no task"})
"""Dooms under which a run waits for ever."""
BAD_ARGUMENTS = ("{not json", "[1, 2]", '"text"', "", "null")


@dataclass(frozen=True)
class ToolPlan:
    """A tool of the world; `model_name` is how models call it."""

    name: str
    type: Literal["function", "external", "mcp"]
    effect: Effect
    on_interrupt: Interrupt | None
    timeout: float

    @property
    def model_name(self) -> str:
        return f"{SERVER_NAME}__{self.name}" if self.type == "mcp" else self.name

    @property
    def may_repeat(self) -> bool:
        """Whether its maker said that it may be run again unasked."""
        if self.type == "function" and self.on_interrupt is not None:
            return self.on_interrupt == "Retry"
        return self.effect != "NonIdempotent"


@dataclass(frozen=True)
class CallPlan:
    tool: str
    arguments: str


@dataclass(frozen=True)
class TurnPlan:
    """What the model says in one turn: `size` characters of text (0: none) and tool calls (none: the end)."""

    size: int
    calls: tuple[CallPlan, ...] = ()
    same_ids: bool = False


@dataclass(frozen=True)
class RunPlan:
    name: str
    task: str
    agent: str
    turns: tuple[TurnPlan, ...]


@dataclass(frozen=True)
class Meddling:
    """Somebody changes something: what, and when (seconds into the world)."""

    what: Literal[
        "label run",
        "label call",
        "label agent",
        "renew secret",
        "touch tool",
        "touch llm",
        "new tools",
        "replace run",
        "replace tool",
    ]
    at: float


@dataclass(frozen=True)
class Scenario:
    seed: int
    tools: tuple[ToolPlan, ...]
    agents: dict[str, tuple[str, ...]]
    """Tools by agent; an agent with an MCP tool has them all."""
    runs: tuple[RunPlan, ...]
    ends: dict[int, float]
    """See `Fate.ends`."""
    meddlings: tuple[Meddling, ...]
    arrivals: tuple[float, ...]
    """When each of `objects`, in the order of `order`, is applied."""
    order: tuple[int, ...]
    doomed: Literal[
        "", "model down", "model refuses", "no task", "silent outsider", "mute model", "model busy"
    ] = ""
    wire: Literal["", "whole", "stream"] = ""
    """How the model is reached: by the port itself, or over HTTP."""

    def tool(self, model_name: str) -> ToolPlan | None:
        return next((t for t in self.tools if t.model_name == model_name), None)

    def run(self, question: str) -> RunPlan:
        """The plan of a run, by what it asks: its name, and `, again` for each time it was replaced."""
        return next(r for r in self.runs if r.name == question.partition(",")[0])


def scenario(seed: int) -> Scenario:
    """The world of a seed."""
    chance = random.Random(f"{seed}/scenario")
    tools = tuple(_tool(chance, number) for number in range(chance.randint(1, 4)))
    agents = {}
    for number in range(chance.randint(1, 2)):
        picked = [t.name for t in tools if chance.random() < 0.8] or [tools[0].name]
        agents[f"agent-{number}"] = tuple(picked)
    runs = tuple(_run(chance, number, agents, tools) for number in range(chance.choice((1, 1, 2, 3))))
    count = 3 + len(tools) + 2 * len(agents) + len(runs) + 1
    order = list(range(count))
    if chance.random() < 0.5:
        chance.shuffle(order)
    span = chance.choice((0.0, 0.0, 1.0, 10.0))
    arrivals = tuple(sorted(chance.uniform(0, span) for _ in order))
    kills = chance.choice((0, 0, 0, 1, 2, 4))
    ends = {int(20 + chance.expovariate(1 / 120)): chance.choice(_STOPS) for _ in range(kills)}
    meddlings = tuple(
        Meddling(chance.choice(_MEDDLINGS), chance.choice((chance.uniform(0, 3), chance.uniform(0, 100))))
        for _ in range(chance.choice((0, 0, 1, 3, 8)))
    )
    doomed: Any = chance.choice(_DOOMS) if chance.random() < 0.06 else ""
    wire: Any = chance.choice(("whole", "stream")) if chance.random() < 0.12 else ""
    return Scenario(seed, tools, agents, runs, ends, meddlings, arrivals, tuple(order), doomed, wire)


_STOPS = (0.0, 0.0, 0.0, 0.0, 0.5, 20.0)
_MEDDLINGS: Any = (
    "label run", "label run", "label call", "label agent", "renew secret", "touch tool", "touch llm", "new tools",
    "replace run", "replace tool",
)  # fmt: skip
_DOOMS: Any = ("model down", "model refuses", "no task", "silent outsider", "mute model", "model busy")


def _tool(chance: random.Random, number: int) -> ToolPlan:
    type_: Any = chance.choice(("function", "function", "function", "external", "mcp"))
    policy: Any = chance.choice((None, None, None, "Retry", "Fail", "Ask"))
    return ToolPlan(f"tool-{number}", type_, chance.choice(EFFECTS), policy, chance.choice((5.0, 60.0)))


def _run(
    chance: random.Random, number: int, agents: dict[str, tuple[str, ...]], tools: tuple[ToolPlan, ...]
) -> RunPlan:
    agent = chance.choice(list(agents))
    usable = [t.model_name for t in tools if t.name in agents[agent]]
    turns = [_turn(chance, usable) for _ in range(chance.choice((0, 1, 1, 2, 3, 5)))]
    turns.append(TurnPlan(size=chance.choice((1, 20, 2_000))))
    return RunPlan(f"run-{number}", f"task-{agent}", agent, tuple(turns))


def _turn(chance: random.Random, usable: list[str]) -> TurnPlan:
    calls = []
    for _ in range(chance.choice((1, 1, 2, 4))):
        name, arguments = chance.choice(usable), '{"x": 1}'
        if chance.random() < 0.06:
            name = "no_such_tool"
        if chance.random() < 0.08:
            arguments = chance.choice(BAD_ARGUMENTS)
        calls.append(CallPlan(name, arguments))
    return TurnPlan(chance.choice((0, 0, 30, 9_000)), tuple(calls), same_ids=chance.random() < 0.1)


def objects(world: Scenario) -> list[tuple[Kind[Any], Resource]]:
    """What the user applies, in the order in which a tidy user would."""
    made: list[tuple[Kind[Any], Resource]] = [(SECRETS, secret("1")), (LLMS, _llm(stream=world.wire == "stream"))]
    mcp = any(t.type == "mcp" for t in world.tools)
    if mcp:
        made.append((MCP_SERVERS, MCPServer(metadata=_meta(SERVER_NAME), spec=_server_spec())))
    made += [(TOOLS, Tool(metadata=_meta(t.name), spec=_tool_spec(t))) for t in world.tools if t.type != "mcp"]
    for name, tools in world.agents.items():
        listed = [ToolReference(name=t.name) for t in world.tools if t.name in tools and t.type != "mcp"]
        servers = [MCPServerReference(name=SERVER_NAME)] if mcp and any(_is_mcp(world, t) for t in tools) else []
        spec = AgentSpec(
            llm_ref=Reference(name=LLM_NAME), system=f"I am {name}.", tools=listed, mcp_servers=servers
        )
        made.append((AGENTS, Agent(metadata=_meta(name), spec=spec)))
        if world.doomed != "no task":
            made.append((TASKS, Task(metadata=_meta(f"task-{name}"), spec=TaskSpec(agent=name, user_message="?"))))
    for run in world.runs:
        made.append(
            (TASK_RUNS, TaskRun(metadata=_meta(run.name), spec=TaskRunSpec(task=run.task, user_message=run.name)))
        )
    return made


def secret(value: str) -> Secret:
    return convert(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET_NAME, "namespace": NAMESPACE},
            "data": {"KEY": "MTIzNDU2" + "MTIz" * int(value)},
            "type": "Opaque",
        },
        Secret,
    )


def _is_mcp(world: Scenario, name: str) -> bool:
    return any(t.name == name and t.type == "mcp" for t in world.tools)


def _meta(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace=NAMESPACE)


def _llm(*, stream: bool) -> LLM:
    source = SecretSource(secret_key_ref=SecretKeyRef(name=SECRET_NAME, key="KEY"))
    return LLM(
        metadata=_meta(LLM_NAME),
        spec=LLMSpec(
            provider="openai", api_key_from=source, parameters=Parameters(timeout="90s", stream=stream or None)
        ),
    )


def _server_spec() -> MCPServerSpec:
    return MCPServerSpec(transport="stdio", command="a-server", timeout="60s")


def _tool_spec(tool: ToolPlan) -> ToolSpec:
    if tool.type == "external":
        return ToolSpec(external=ExternalTool(), description="done outside", parameters=Raw(b'{"type":"object"}'))
    return ToolSpec(
        function=FunctionTool(entrypoint=f"world:{tool.name.replace('-', '_')}"),
        effect=tool.effect,
        on_interrupt=tool.on_interrupt,
        timeout=f"{tool.timeout:g}s",
    )
