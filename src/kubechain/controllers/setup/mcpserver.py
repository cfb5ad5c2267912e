"""The MCPServer controller: does the server start and answer, and which tools does it offer?"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from kubechain.agents.ports.tool import Described
from kubechain.controllers.caches import Caches
from kubechain.controllers.parts import Parts
from kubechain.controllers.setup.providing import ProviderController
from kubechain.resources.mcpserver import MCP_SERVERS, MCPServer, MCPServerStatus, MCPTool, ServerInfo
from kubechain.runtime.wakes import Wake, referred


class MCPServerController(ProviderController[MCPServer, MCPServerStatus]):
    kind = MCP_SERVERS

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts, parts.caches.servers)

    def status_of(self, provider: MCPServer) -> MCPServerStatus:
        return provider.status

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
