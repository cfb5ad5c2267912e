"""The objects that an agent's spec names, from the caches. The Agent controller and the TaskRun controller call
it."""

from __future__ import annotations

from kubechain.agents.toolbox import Surroundings
from kubechain.controllers.caches import Caches
from kubechain.resources.agent import AgentSpec
from kubechain.runtime.api import Key


def surroundings(caches: Caches, namespace: str, spec: AgentSpec) -> Surroundings:
    """The objects that exist; the others are left out."""
    tools = {r.name: caches.tools.get(Key(namespace, r.name)) for r in spec.tools}
    servers = {r.name: caches.servers.get(Key(namespace, r.name)) for r in spec.mcp_servers}
    agents = {r.name: caches.agents.get(Key(namespace, r.name)) for r in spec.sub_agents}
    return Surroundings(
        llm=caches.llms.get(Key(namespace, spec.llm_ref.name)),
        tools={name: tool for name, tool in tools.items() if tool},
        servers={name: server for name, server in servers.items() if server},
        agents={name: agent for name, agent in agents.items() if agent},
        offered=caches.tools.by("offered", namespace),
    )
