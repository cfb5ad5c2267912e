"""The Agent controller: is everything ready that the agent names, and which tools will its model get?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from kubechain.agents.delegation import reach
from kubechain.agents.toolbox import Surroundings, offer, usable_tools
from kubechain.controllers.caches import Caches
from kubechain.controllers.parts import Parts
from kubechain.controllers.setup.readiness import Readiness
from kubechain.controllers.setup.surroundings import surroundings
from kubechain.resources.agent import AGENTS, Agent
from kubechain.resources.tool import Tool
from kubechain.runtime.api import Key
from kubechain.runtime.controller import Next
from kubechain.runtime.wakes import Wake, referred


class AgentController:
    kind = AGENTS

    def __init__(self, parts: Parts) -> None:
        self._caches = parts.caches
        self._readiness = Readiness(parts.api, parts.caches.agents, parts.clock)

    async def reconcile(self, agent: Agent) -> Next:
        around = surroundings(self._caches, agent.metadata.namespace, agent.spec)
        around = replace(around, cycle=self._cycle(agent, around))
        tools, judgement = offer(agent, around)
        found = replace(agent.status, tools=tools, tool_count=len(tools))
        return await self._readiness.say(agent, agent.status, found, judgement)

    def _cycle(self, agent: Agent, around: Surroundings) -> list[str]:
        """The way on which the agent calls itself in the end."""
        namespace = agent.metadata.namespace

        def called_by(name: str) -> list[str]:
            seen = agent if name == agent.metadata.name else self._caches.agents.get(Key(namespace, name))
            if seen is None:
                return []
            tools = usable_tools(
                seen, around if seen is agent else surroundings(self._caches, namespace, seen.spec)
            )
            return reach.named_by(seen.spec.sub_agents, tools)

        return reach.cycle(agent.metadata.name, called_by)

    async def gone(self, last: Agent) -> None:
        """Nothing to end: nothing was started for it."""


def wakes(caches: Caches) -> tuple[Wake[Any], ...]:
    """Everything that an agent names, and the tools that are offered."""
    return (
        referred(caches.llms, caches.agents, "llm"),
        referred(caches.tools, caches.agents, "tool"),
        referred(caches.servers, caches.agents, "server"),
        referred(caches.agents, caches.agents, "agent"),
        _offered(caches),
    )


def _offered(caches: Caches) -> Wake[Tool]:
    """A tool that is offered, or was, wakes every agent of its namespace."""

    def keys(old: Tool | None, new: Tool | None) -> Iterable[Key]:
        offering = [t for t in (old, new) if t is not None and t.spec.agent_selector is not None]
        return [a for t in offering[:1] for a in caches.agents.keys_by("namespace", t.metadata.namespace)]

    return Wake(caches.tools, keys)
