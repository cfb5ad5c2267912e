"""The MCPServer controller: does the server start and speak, and which tools does it offer?"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from kubechain.agents.ports.tool import Described, ToolError, ToolRunner
from kubechain.agents.toolbox import Verdict
from kubechain.controllers.caches import Caches
from kubechain.controllers.calls.executions import Executions
from kubechain.controllers.saving import save_status
from kubechain.controllers.secrets import Missing, named_values
from kubechain.controllers.setup.readiness import judged, same
from kubechain.errors import Terminal, Transient
from kubechain.resources.mcpserver import MCP_SERVERS, MCPServer, MCPServerStatus, MCPTool, ServerInfo
from kubechain.resources.model import Clock
from kubechain.resources.readiness import settled
from kubechain.runtime.api import Api, Key
from kubechain.runtime.controller import Done, Next
from kubechain.runtime.ownership import key_of


class MCPServerController(Struct):
    api: Api
    caches: Caches
    runners: Sequence[ToolRunner]
    executions: Executions
    clock: Clock
    seen: set[Key] = set()
    """Servers that this process has looked at: a Ready from an earlier life is looked at again, once."""
    kind = MCP_SERVERS

    async def reconcile(self, server: MCPServer) -> Next:
        env = await named_values(server.metadata.namespace, server.spec.env, self.caches.secrets)
        if isinstance(env, Missing):
            await self._write(server, Verdict("Pending", env.reason, env.detail), server.status)
            return Done()
        key = key_of(server)
        if key in self.seen and settled(server.status, server.metadata.generation):
            return Done()
        self.seen.add(key)
        try:
            described = await self._runner(server).describe(server, env)
        except Terminal as error:
            await self._write(server, Verdict("Error", error.reason, str(error)), server.status)
        except ToolError as error:
            await self._write(server, Verdict("Error", "Refused", str(error)), server.status)
        except Transient as error:
            await self._write(server, Verdict("Error", error.reason, str(error)), server.status)
            raise
        else:
            ready = Verdict("Ready", described.reason, described.detail)
            await self._write(server, ready, _found(server.status, described))
        return Done()

    async def gone(self, last: MCPServer) -> None:
        """Its process ends, and what its tools have at work is cut off."""
        key = key_of(last)
        self.seen.discard(key)
        for call in self.caches.calls.by("origin", f"MCPServer/{key}"):
            self.executions.interrupt(call, f'MCPServer "{key.name}" was deleted')
        await self._runner(last).forget(last)

    def _runner(self, server: MCPServer) -> ToolRunner:
        return next(r for r in self.runners if r.serves(server))

    async def _write(self, server: MCPServer, verdict: Verdict, found: MCPServerStatus) -> None:
        status = judged(found, verdict, server.metadata.generation, self.clock)
        if not same(server.status, status):
            await save_status(self.api, self.caches.servers, server, status)


def _found(status: MCPServerStatus, described: Described) -> MCPServerStatus:
    tools = [
        MCPTool(name=t.name, description=t.description, input_schema=t.parameters, effect=t.effect)
        for t in described.tools
    ]
    return replace(status, tools=tools, tool_count=len(tools), server=described.server or ServerInfo())
