"""The Agent controller: is everything the agent refers to ready, and which tools will its model see?"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from kubechain.agents.toolbox import Surroundings, resolved_tools, verdict
from kubechain.controllers.caches import Caches
from kubechain.controllers.saving import save_status
from kubechain.controllers.setup.readiness import judged
from kubechain.resources.agent import AGENTS, Agent
from kubechain.resources.model import Clock
from kubechain.runtime.api import Api, Key
from kubechain.runtime.controller import Done, Next


class AgentController(Struct):
    api: Api
    caches: Caches
    clock: Clock
    kind = AGENTS

    async def reconcile(self, agent: Agent) -> Next:
        around = self._surroundings(agent)
        tools = resolved_tools(agent, around)
        status = judged(agent.status, verdict(agent, around), agent.metadata.generation, self.clock)
        status = replace(status, tools=tools, tool_count=len(tools))
        if status != agent.status:
            await save_status(self.api, self.caches.agents, agent, status)
        return Done()

    async def gone(self, last: Agent) -> None:
        """Nothing was begun for it."""

    def _surroundings(self, agent: Agent) -> Surroundings:
        namespace, caches = agent.metadata.namespace, self.caches
        tools = {r.name: caches.tools.get(Key(namespace, r.name)) for r in agent.spec.tools}
        servers = {r.name: caches.servers.get(Key(namespace, r.name)) for r in agent.spec.mcp_servers}
        return Surroundings(
            llm=caches.llms.get(Key(namespace, agent.spec.llm_ref.name)),
            tools={name: tool for name, tool in tools.items() if tool},
            servers={name: server for name, server in servers.items() if server},
            offered=caches.tools.by("offered", namespace),
        )
