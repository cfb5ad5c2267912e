"""The MCPServer controller: does the server start and speak, and which tools does it offer?"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from kubechain.agents.call.step import DEFAULT_TIMEOUT
from kubechain.agents.ports.tool import DiscoveredTool, Discovery, Environment, MCPSessions, ServerCommand
from kubechain.agents.toolbox import Verdict
from kubechain.controllers.caches import Caches
from kubechain.controllers.saving import save_status
from kubechain.controllers.secrets import Missing, named_values
from kubechain.controllers.setup.readiness import judged, same
from kubechain.controllers.setup.tool_list import fitting, sentence
from kubechain.errors import Terminal, Transient
from kubechain.resources.duration import seconds
from kubechain.resources.mcpserver import MCP_SERVERS, MCPServer, MCPServerStatus, MCPTool, ServerInfo
from kubechain.resources.model import Clock
from kubechain.resources.readiness import settled
from kubechain.runtime.api import Api, Key
from kubechain.runtime.controller import Done, Next
from kubechain.runtime.ownership import key_of

HANDSHAKE_TIMEOUT = 30.0
"""Seconds a server gets to start and list its tools."""


class MCPServerController(Struct):
    api: Api
    caches: Caches
    sessions: MCPSessions
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
        limit = min(HANDSHAKE_TIMEOUT, call_timeout(server))
        try:
            discovery = await self.sessions.discover(owner(server), command_of(server, env), limit)
        except Terminal as error:
            await self._write(server, Verdict("Error", error.reason, str(error)), server.status)
        except Transient as error:
            await self._write(server, Verdict("Error", error.reason, str(error)), server.status)
            raise
        else:
            kept, left_out = fitting(discovery)
            verdict = Verdict("Ready", "Connected", sentence(kept, left_out))
            await self._write(server, verdict, _found(server.status, discovery, kept))
        return Done()

    async def gone(self, last: MCPServer) -> None:
        """Its process ends, with the secrets that it was given."""
        self.seen.discard(key_of(last))
        await self.sessions.forget(owner(last))

    async def _write(self, server: MCPServer, verdict: Verdict, found: MCPServerStatus) -> None:
        status = judged(found, verdict, server.metadata.generation, self.clock)
        if not same(server.status, status):
            await save_status(self.api, self.caches.servers, server, status)


def owner(server: MCPServer) -> str:
    """The session's name for this server."""
    return f"{server.metadata.namespace}/{server.metadata.name}"


def command_of(server: MCPServer, env: Environment) -> ServerCommand:
    """How the server is started, secrets filled in."""
    hidden = frozenset(variable.name for variable in server.spec.env if variable.value_from is not None)
    return ServerCommand(server.spec.command, tuple(server.spec.args), tuple(sorted(env.items())), hidden)


def call_timeout(server: MCPServer) -> float:
    """Seconds one call may take."""
    return seconds(server.spec.timeout) if server.spec.timeout else DEFAULT_TIMEOUT


def _found(status: MCPServerStatus, discovery: Discovery, kept: Sequence[DiscoveredTool]) -> MCPServerStatus:
    tools = [
        MCPTool(name=t.name, description=t.description, input_schema=t.input_schema, effect=t.effect) for t in kept
    ]
    info = ServerInfo(name=discovery.server_name, version=discovery.server_version, protocol=discovery.protocol)
    return replace(status, tools=tools, tool_count=len(tools), server=info)
