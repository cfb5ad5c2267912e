"""Agent: LLM + system prompt + tools."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Raw

from kubechain.resources.choice import Glob
from kubechain.resources.effect import Effect, Interrupt
from kubechain.resources.kind import Column, our_kind
from kubechain.resources.model import Model, Resource, doc
from kubechain.resources.readiness import DETAIL, READY, STATUS, ReadyStatus
from kubechain.resources.reference import EnvVar, Reference
from kubechain.resources.run_limits import Limits


class ToolReference(Reference, kw_only=True, gc=False):
    """A Tool that the agent may use, and which of its tools where it provides several."""

    include: Annotated[list[Glob], doc("Names or globs of its tools to use; default: all.", max_length=500)] = []


class MCPServerReference(Reference, kw_only=True, gc=False):
    """An MCP server that the agent may use, and which of its tools."""

    include: Annotated[
        list[Glob], doc("Names or globs of its tools to use, as on the server; default: all.", max_length=500)
    ] = []
    exclude: Annotated[
        list[Glob], doc("Names or globs of its tools not to use, even if included.", max_length=500)
    ] = []


class SubAgent(Model, kw_only=True, gc=False):
    """Another agent that this one may call, as a tool with the argument `message`."""

    name: Annotated[
        str,
        doc(
            "Name of the Agent, in the same namespace. A missing one is waited for.", min_length=1, max_length=253
        ),
    ]
    as_: (
        Annotated[
            str, doc("Name of the tool that calls it; default delegate_to_NAME.", min_length=1, max_length=64)
        ]
        | None
    ) = None
    description: Annotated[
        str, doc("What the model is told about it; default: the description of that Agent.")
    ] = ""


class AgentSpec(Model, kw_only=True, gc=False):
    """What the agent thinks with, how it is instructed, what it may use."""

    llm_ref: Annotated[Reference, doc("The LLM that the agent uses.")]
    system: Annotated[str, doc("System prompt; reaches the model exactly as written here.")] = ""
    description: Annotated[str, doc("What the agent is for, for people and for other agents.")] = ""
    tools: Annotated[list[ToolReference], doc("Tools it may use.")] = []
    mcp_servers: Annotated[list[MCPServerReference], doc("MCP servers whose tools it may use.")] = []
    sub_agents: Annotated[
        list[SubAgent], doc("Agents that it may call. Each call is a TaskRun of its own.", max_length=100)
    ] = []
    limits: Annotated[Limits, doc("Limits of its runs.")] | None = None
    offered_tools: (
        Annotated[
            Literal["Accept", "Ignore"],
            doc("Whether it also gets tools whose agentSelector selects it; default Accept."),
        ]
        | None
    ) = None


class ToolOrigin(Model, kw_only=True, gc=False):
    """Where a tool comes from."""

    kind: Annotated[
        Literal["Tool", "MCPServer", "Agent", "Builtin"],
        doc(
            "Kind of the object that provides the tool; Agent for a sub-agent, Builtin for those of KubeChain "
            "itself."
        ),
    ]
    name: Annotated[str, doc("Name of that object.")]
    tool: Annotated[str, doc("The tool's name there, for an MCP server.")] = ""
    agent: Annotated[str, doc("The agent that a call runs, where the tool is another agent.")] = ""
    offered: Annotated[bool, doc("True when it came through the tool's agentSelector.")] = False


class ResolvedTool(Model, kw_only=True, gc=False):
    """One tool as the model sees it."""

    name: Annotated[str, doc("The name the model calls it by.")]
    description: Annotated[str, doc("What the model is told about it.")] = ""
    parameters: Annotated[Raw, doc("JSON Schema of its arguments.")] = Raw(b"{}")
    origin: Annotated[ToolOrigin, doc("The object that provides it.")]
    effect: Annotated[Effect, doc("What a repeated call does.")] = "NonIdempotent"
    on_interrupt: Annotated[Interrupt, doc("What happens to a call that a crash interrupts.")] = "Ask"
    timeout: Annotated[str, doc("Longest time one call may take.")] = ""


class AgentStatus(ReadyStatus, omit_defaults=False, kw_only=True, gc=False):
    """Readiness, and what the model will really see."""

    tools: Annotated[
        list[ResolvedTool],
        doc(
            "The tools the model is given, in order.",
            schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    tool_count: Annotated[int, doc("How many tools the model is given.")] = 0


class Agent(Resource, kw_only=True, gc=False):
    """An Agent is a system prompt, the LLM it runs on and the tools it may use."""

    spec: Annotated[AgentSpec, doc("Desired state.")]
    status: Annotated[AgentStatus, doc("Observed state.")] = msgspec.field(default_factory=AgentStatus)

    @property
    def env(self) -> list[EnvVar]:
        """None: as a sub-agent it has no tool process."""
        return []


AGENTS = our_kind(
    Agent,
    "agents",
    columns=(
        Column("LLM", ".spec.llmRef.name", description="The LLM that the agent uses"),
        READY,
        STATUS,
        DETAIL,
        Column(
            "Tools",
            ".status.toolCount",
            "integer",
            wide=True,
            description="How many tools the model is given",
        ),
    ),
)
