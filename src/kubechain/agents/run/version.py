"""One version of the agent for each run: the one with which it first asked its model. Pure.

The system prompt is in the transcript from then on; this keeps the rest of the agent's spec beside it, so that a
run whose agent is changed never goes on with the prompt of one version and the tools of another. The objects that
the spec names (LLM, Tools, MCPServers) are used as they are now.
"""

from __future__ import annotations

from msgspec.structs import replace

from kubechain.agents.toolbox import Surroundings, resolved_tools
from kubechain.resources.agent import Agent, AgentSpec, MCPServerReference, ToolReference
from kubechain.resources.reference import Reference
from kubechain.resources.taskrun import AgentVersion, ChoiceVersion, TaskRun


def version_of(agent: Agent) -> AgentVersion:
    """What a run keeps of its agent."""
    spec = agent.spec
    return AgentVersion(
        uid=agent.metadata.uid,
        generation=agent.metadata.generation,
        llm=spec.llm_ref.name,
        tools=[reference.name for reference in spec.tools],
        mcp_servers=[reference.name for reference in spec.mcp_servers],
        tool_choices=[ChoiceVersion(name=r.name, include=r.include) for r in spec.tools if r.include],
        server_choices=[
            ChoiceVersion(name=r.name, include=r.include, exclude=r.exclude)
            for r in spec.mcp_servers
            if r.include or r.exclude
        ],
        sub_agents=spec.sub_agents,
        offered_tools=spec.offered_tools,
    )


def is_current(run: TaskRun, agent: Agent) -> bool:
    """Whether the agent is unchanged since the run began."""
    begun, meta = run.status.version, agent.metadata
    return begun is None or (begun.generation == meta.generation and begun.uid == meta.uid)


def spec_of(begun: AgentVersion, agent: Agent) -> AgentSpec:
    """The agent's spec as it was, but for what the transcript holds."""
    nothing = ChoiceVersion(name="")
    tools = {choice.name: choice for choice in begun.tool_choices}
    servers = {choice.name: choice for choice in begun.server_choices}
    return replace(
        agent.spec,
        llm_ref=Reference(name=begun.llm),
        tools=[ToolReference(name=name, include=tools.get(name, nothing).include) for name in begun.tools],
        mcp_servers=[
            MCPServerReference(name=name, include=one.include, exclude=one.exclude)
            for name in begun.mcp_servers
            for one in (servers.get(name, nothing),)
        ],
        sub_agents=begun.sub_agents,
        offered_tools=begun.offered_tools,
    )


def as_begun(begun: AgentVersion, agent: Agent, around: Surroundings) -> Agent:
    """The agent as the run knows it. `around` is what its spec of then names."""
    earlier = replace(agent, spec=spec_of(begun, agent))
    return replace(earlier, status=replace(agent.status, tools=resolved_tools(earlier, around)))
