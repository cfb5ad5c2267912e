"""Which tools an agent's model is given, and whether everything the agent needs is there. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from kubechain.agents.delegation.offer import PARAMETERS, told_of
from kubechain.agents.naming import mcp_tool_name, sub_agent_tool_name, tool_name
from kubechain.agents.ports.tool import nature_of
from kubechain.resources.agent import Agent, MCPServerReference, ResolvedTool, SubAgent, ToolOrigin
from kubechain.resources.choice import chosen
from kubechain.resources.llm import LLM
from kubechain.resources.mcpserver import MCPServer, MCPTool
from kubechain.resources.readiness import ReadyStatus, Summary
from kubechain.resources.tool import OfferedTool, Tool


class Surroundings(Struct, frozen=True):
    """What an agent refers to, by name, and the tools that offer themselves to it."""

    llm: LLM | None = None
    tools: Mapping[str, Tool] = {}
    servers: Mapping[str, MCPServer] = {}
    offered: Iterable[Tool] = ()
    agents: Mapping[str, Agent] = {}
    cycle: Sequence[str] = ()
    """The way on which it calls itself in the end, through its sub-agents; empty where it does not."""


class Assessment(Struct, frozen=True):
    """A readiness summary: `reason` is the condition's CamelCase word."""

    status: Summary
    reason: str
    detail: str


LARGEST = 1_000_000
"""Bytes of tools that an agent's status can hold beside the rest."""
SHOWN = 5
"""Tools that a sentence names."""
READY = Assessment("Ready", "DependenciesReady", "All dependencies validated successfully")


def assessment(agent: Agent, around: Surroundings) -> Assessment:
    """Whether everything the agent refers to is there and ready; else what is missing, in one sentence."""
    if around.cycle:
        return calls_itself(agent.metadata.name, around.cycle)
    llm = agent.spec.llm_ref.name
    if around.llm is None:
        return missing("LLM", llm)
    dependencies: list[tuple[str, str, ReadyStatus | None]] = [("LLM", llm, around.llm.status)]
    for reference in agent.spec.tools:
        tool = around.tools.get(reference.name)
        dependencies.append(("Tool", reference.name, tool.status if tool else None))
    for listed in agent.spec.mcp_servers:
        server = around.servers.get(listed.name)
        dependencies.append(("MCPServer", listed.name, server.status if server else None))
    for sub in agent.spec.sub_agents:
        called = around.agents.get(sub.name)
        dependencies.append(("Agent", sub.name, called.status if called else None))
    for kind, name, status in dependencies:
        if status is None:
            return missing(kind, name)
        if not status.ready:
            return not_ready(kind, name, status)
    for tool in _offers(agent, around):
        if tool.status.observed_generation != tool.metadata.generation:
            return Assessment(
                "Pending", "ToolNotReady", f'Tool "{tool.metadata.name}", offered to it, is being checked'
            )
    return READY


def missing(kind: str, name: str) -> Assessment:
    """A dependency that is not there yet: waited for, never an error."""
    return Assessment("Pending", f"{kind}NotFound", f'{kind} "{name}" not found')


def calls_itself(name: str, way: Sequence[str]) -> Assessment:
    """An agent that would wait for itself."""
    return Assessment(
        "Error",
        "SubAgentCycle",
        f'Agent "{name}" calls itself through its sub-agents ({" -> ".join(way)}); remove one of these calls',
    )


def not_ready(kind: str, name: str, status: ReadyStatus) -> Assessment:
    """A dependency that is there and not ready: its own sentence, passed on."""
    detail = f'{kind} "{name}" is not ready: {status.status_detail or "not checked yet"}'
    return Assessment("Error" if status.status == "Error" else "Pending", f"{kind}NotReady", detail)


def resolved_tools(agent: Agent, around: Surroundings) -> list[ResolvedTool]:
    """The ready tools: those listed, in order, those of MCP servers, sub-agents, then offered ones by name."""
    return named(_candidates(agent, around))[0]


def named(candidates: Iterable[ResolvedTool]) -> tuple[list[ResolvedTool], str]:
    """The tools under names that differ and that providers accept, and a sentence about those that clashed.

    The first tool of a name keeps it; a later one gets the name of its Tool or server before its own.
    """
    resolved: dict[str, ResolvedTool] = {}
    clashes: list[str] = []
    for tool in candidates:
        wanted, name = tool.name, tool_name(tool.name, resolved.keys())
        if wanted in resolved:
            origin = tool.origin
            name = tool_name(mcp_tool_name(origin.name, origin.tool or wanted), resolved.keys())
            clashes.append(f'"{wanted}" of {origin.kind} {origin.name} is called "{name}"')
        tool.name = name
        resolved[name] = tool
    return list(resolved.values()), _told_apart(clashes)


def _told_apart(clashes: Sequence[str]) -> str:
    if not clashes:
        return ""
    more = f" and {len(clashes) - SHOWN} more" if len(clashes) > SHOWN else ""
    return f"; tools with the name of another one are told apart: {', '.join(clashes[:SHOWN])}{more}"


def offer(agent: Agent, around: Surroundings) -> tuple[list[ResolvedTool], Assessment]:
    """The tools that the agent's model gets, and whether the agent is ready."""
    tools, told_apart = named(_candidates(agent, around))
    judgement = assessment(agent, around)
    if too_many := too_large(tools):
        return [], too_many
    if told_apart and judgement.status == "Ready":
        judgement = replace(judgement, detail=judgement.detail + told_apart)
    return tools, judgement


def _candidates(agent: Agent, around: Surroundings) -> Iterable[ResolvedTool]:
    """Every tool under the name that it would have alone."""
    for reference in agent.spec.tools:
        if (known := around.tools.get(reference.name)) and known.status.ready:
            yield from _of_tool(known, reference.include)
    for listed in agent.spec.mcp_servers:
        if (server := around.servers.get(listed.name)) and server.status.ready:
            yield from _of_server(server, listed)
    for sub in agent.spec.sub_agents:
        if (called := around.agents.get(sub.name)) and called.status.ready:
            yield _of_agent(sub, called)
    for tool in _offers(agent, around):
        if tool.status.ready:
            yield from _of_tool(tool, offered=True)


def too_large(tools: Sequence[ResolvedTool]) -> Assessment | None:
    """An agent whose tools do not fit into its status cannot use any of them."""
    total = sum(len(bytes(t.parameters)) + len(t.description.encode()) + 300 for t in tools)
    if total <= LARGEST:
        return None
    by_origin: Counter[str] = Counter()
    for tool in tools:
        by_origin[f"{tool.origin.kind} {tool.origin.name}"] += len(bytes(tool.parameters)) + len(tool.description)
    name, most = by_origin.most_common(1)[0]
    return Assessment(
        "Error",
        "ToolsTooLarge",
        f"the descriptions of its {len(tools)} tools have {total:,} bytes, and an agent can hold {LARGEST:,}; "
        f"give it fewer tools (those of {name} have {most:,})",
    )


def _offers(agent: Agent, around: Surroundings) -> list[Tool]:
    """The tools that offer themselves to the agent, by name; those it lists anyway left out.

    One that cannot be used is not missed; one that nobody has looked at yet is waited for.
    """
    if agent.spec.offered_tools == "Ignore":
        return []
    listed = {r.name for r in agent.spec.tools}
    offers = (t for t in around.offered if t.metadata.name not in listed and _selects(t, agent))
    return sorted(offers, key=lambda t: t.metadata.name)


def usable_tools(agent: Agent, around: Surroundings) -> list[Tool]:
    """The Tools that the agent lists, and those that offer themselves to it, ready or not."""
    listed = (around.tools.get(reference.name) for reference in agent.spec.tools)
    return [*(tool for tool in listed if tool is not None), *_offers(agent, around)]


def _selects(tool: Tool, agent: Agent) -> bool:
    selector = tool.spec.agent_selector
    return selector is not None and selector.matches(agent.metadata.labels)


def _of_tool(tool: Tool, include: Sequence[str] = (), *, offered: bool = False) -> Iterable[ResolvedTool]:
    """The tool itself, or the tools that it offers."""
    name, status = tool.metadata.name, tool.status
    if tool.many:
        for one in status.tools:
            if chosen(one.name, include):
                origin = ToolOrigin(kind="Tool", name=name, tool=one.name, offered=offered)
                yield _resolved(tool, one.name, one, origin)
        return
    if not chosen(name, include):
        return
    agent = tool.spec.agent.name if tool.spec.agent else ""
    itself = OfferedTool(name=name, description=status.description, input_schema=status.parameters)
    yield _resolved(tool, name, itself, ToolOrigin(kind="Tool", name=name, agent=agent, offered=offered))


def _of_agent(sub: SubAgent, called: Agent) -> ResolvedTool:
    nature = nature_of(called)
    return ResolvedTool(
        name=sub.as_ or sub_agent_tool_name(sub.name),
        description=told_of(called, sub.name, sub.description),
        parameters=PARAMETERS,
        origin=ToolOrigin(kind="Agent", name=sub.name, agent=sub.name),
        effect=nature.effect,
        on_interrupt=nature.on_interrupt,
    )


def _of_server(server: MCPServer, listed: MCPServerReference) -> Iterable[ResolvedTool]:
    name, prefix = server.metadata.name, server.spec.tools.prefix if server.spec.tools else None
    for one in server.status.tools:
        if not (server.offers(one.name) and chosen(one.name, listed.include, listed.exclude)):
            continue
        origin, stated = ToolOrigin(kind="MCPServer", name=name, tool=one.name), server.override(one.name)
        known = _resolved(server, mcp_tool_name(name, one.name, prefix), one, origin)
        if stated.description is not None:
            known.description = stated.description
        known.timeout = stated.timeout or known.timeout
        yield known


def _resolved(
    provider: Tool | MCPServer, name: str, tool: OfferedTool | MCPTool, origin: ToolOrigin
) -> ResolvedTool:
    nature = nature_of(provider, origin.tool)
    return ResolvedTool(
        name=name,
        description=tool.description,
        parameters=tool.input_schema,
        origin=origin,
        effect=nature.effect,
        on_interrupt=nature.on_interrupt,
        timeout=provider.spec.timeout or "",
    )
