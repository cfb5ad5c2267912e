"""`MCPRunner`: the tools of MCP servers. A call is one request to the session of its server and the answer."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from kubechain.agents.call.outcome import Done
from kubechain.agents.ports.tool import (
    Described,
    Description,
    Environment,
    Provider,
    ToolError,
    ToolRun,
    ToolRunner,
    secret_names,
)
from kubechain.errors import Terminal
from kubechain.providers.tools.mcp.server import (
    IDLE_SECONDS,
    START_SECONDS,
    DiscoveredTool,
    MCPSessions,
    ServerCommand,
)
from kubechain.providers.tools.mcp.tool_list import fitting, sentence, so_far
from kubechain.resources.duration import seconds
from kubechain.resources.mcpserver import MCPServer, ServerInfo

BESIDE_START = 5.0
"""Seconds for what comes before the start: loading the SDK, and ending the process that was there."""


class MCPRunner(ToolRunner):
    """The tools of every MCPServer, through their sessions."""

    kind = "mcp"
    of_servers = True

    def __init__(self, sessions: MCPSessions) -> None:
        self._sessions = sessions

    def serves(self, provider: Provider | None) -> bool:
        return isinstance(provider, MCPServer)

    async def describe(self, provider: Provider, env: Environment) -> Described:
        server = _server(provider)
        command = command_of(server, env)
        found = await self._sessions.discover(owner(server), command, command.start_seconds + BESIDE_START)
        offered = [tool for tool in found.tools if server.offers(tool.name)]
        kept, left_out = fitting(replace(found, tools=offered))
        tools = [_described(server, tool) for tool in kept]
        detail = sentence(kept, left_out, len(found.tools) - len(offered)) + so_far(found)
        info = ServerInfo(name=found.server_name, version=found.server_version, protocol=found.protocol)
        return Described(tools, "Idle" if found.idle else "Connected", detail, info)

    async def start(self, run: ToolRun) -> Done:
        server = _server(run.provider)
        if not server.offers(run.tool):
            raise ToolError(f'MCPServer "{server.metadata.name}" does not offer {run.tool} to agents (spec.tools)')
        command = command_of(server, run.env)
        given = (run.tool, run.arguments, run.timeout, run.idempotency_key)
        return Done(await self._sessions.call(owner(server), command, *given))

    async def forget(self, provider: Provider) -> None:
        await self._sessions.forget(owner(_server(provider)))

    def on_change(self, told: Callable[[str], None]) -> None:
        self._sessions.on_change = told

    async def close(self) -> None:
        await self._sessions.close()


def owner(server: MCPServer) -> str:
    """The name of the session with this server."""
    return f"{server.metadata.namespace}/{server.metadata.name}"


def command_of(server: MCPServer, env: Environment) -> ServerCommand:
    """How the server is started, secrets filled in."""
    variables = tuple(sorted(env.items()))
    spec = server.spec
    return ServerCommand(
        spec.command,
        tuple(spec.args),
        variables,
        secret_names(server),
        spec.working_dir or "/",
        seconds(spec.start_timeout) if spec.start_timeout else START_SECONDS,
        seconds(spec.idle_timeout) if spec.idle_timeout else IDLE_SECONDS,
    )


def _described(server: MCPServer, tool: DiscoveredTool) -> Description:
    """The tool as the server describes it, corrected by the spec."""
    stated = server.override(tool.name)
    about = tool.description if stated.description is None else stated.description
    return Description(tool.name, about, tool.input_schema, stated.effect or tool.effect)


def _server(provider: Provider | None) -> MCPServer:
    if isinstance(provider, MCPServer):
        return provider
    raise Terminal("this tool belongs to no MCPServer", reason="UnknownKind")
