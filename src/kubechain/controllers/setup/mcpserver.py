"""The MCPServer controller: does the server start and answer, and which tools does it offer?"""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from kubechain.agents.ports.tool import Described, Environment
from kubechain.agents.toolbox import Assessment
from kubechain.controllers.caches import Caches
from kubechain.controllers.parts import Parts
from kubechain.controllers.setup.providing import ProviderController
from kubechain.controllers.setup.readiness import Found
from kubechain.resources.mcpserver import MCP_SERVERS, MCPServer, MCPServerStatus, MCPTool, ServerInfo
from kubechain.runtime.wakes import Wake, referred

QUIET_SECONDS = 2.0
"""After how long people see that a server is starting."""
STARTING = Assessment("Pending", "Starting", "It was started, and has not answered yet (see spec.startTimeout)")


class MCPServerController(ProviderController[MCPServer, MCPServerStatus]):
    kind = MCP_SERVERS

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts, parts.caches.servers)

    async def _describe(self, provider: MCPServer, env: Environment, anew: bool) -> Found[MCPServerStatus]:
        """As any provider; of one that is seen for the first time and takes long, it says that it starts."""
        look = asyncio.ensure_future(super()._describe(provider, env, anew))
        try:
            if provider.status.observed_generation != provider.metadata.generation:
                await asyncio.wait({look}, timeout=QUIET_SECONDS)
                if not look.done():
                    await self._readiness.say(provider, provider.status, provider.status, STARTING)
            return await look
        finally:
            look.cancel()

    def status_of(self, provider: MCPServer) -> MCPServerStatus:
        return provider.status

    def unreachable(self, provider: MCPServer) -> str:
        """A server elsewhere may be away for a while; a process of our own that does not start is an Error."""
        return "" if provider.spec.transport == "stdio" else "ServerUnreachable"

    def told(self, provider: MCPServer, described: Described) -> MCPServerStatus:
        tools = [
            MCPTool(name=t.name, description=t.description, input_schema=t.parameters, effect=t.effect)
            for t in described.tools
        ]
        server = described.server or ServerInfo()
        return replace(provider.status, tools=tools, tool_count=len(tools), server=server)


def wakes(caches: Caches) -> tuple[Wake[Any], ...]:
    """Its Secrets."""
    return (referred(caches.secrets, caches.servers, "secret"),)
