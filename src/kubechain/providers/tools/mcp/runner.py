"""`MCPRunner`: the tools of MCP servers. A call is one request to the session of its server and the answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec.structs import replace

from kubechain.agents.call.outcome import Done, Parked
from kubechain.agents.ports.tool import (
    Described,
    Description,
    Environment,
    NotStarted,
    Provider,
    ToolError,
    ToolRun,
    ToolRunner,
    secret_names,
)
from kubechain.agents.ports.tool import InputRequired as NeedsInput
from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.limits import bounds_of
from kubechain.providers.tools.mcp.questions import question
from kubechain.providers.tools.mcp.server import (
    IDLE_SECONDS,
    START_SECONDS,
    CallAnswer,
    DiscoveredTool,
    InputRequired,
    MCPSessions,
    RemoteTask,
    ServerAddress,
    ServerCommand,
    Target,
    ToolAnswer,
    ToolRequest,
)
from kubechain.providers.tools.mcp.tool_list import fitting, sentence, so_far
from kubechain.providers.tools.pods.manifest import PodCommand
from kubechain.providers.web.credentials import client_of, headers_of, spellings
from kubechain.resources.duration import seconds
from kubechain.resources.limits import Limits
from kubechain.resources.mcpserver import MCPServer, ServerInfo
from kubechain.resources.model import Clock, moment
from kubechain.resources.toolcall import ExternalWork
from kubechain.runtime.clock import now

BESIDE_START = 5.0
"""Seconds for what comes before the start: loading the SDK, and ending the process that was there."""
LOOK_TIMEOUT = 30.0
"""Seconds it gets to say how a task stands."""
AWAY = 30.0
"""Seconds until a server that did not say so is asked again."""
UNSENT = frozenset({"Unreachable", "RateLimited", "SessionLost"})
"""Reasons of errors after which it is known that the server has not begun a call."""


class MCPRunner(ToolRunner):
    """The tools of every MCPServer, through their sessions."""

    kind = "mcp"
    of_servers = True

    def __init__(self, sessions: MCPSessions, clock: Clock = now) -> None:
        self._sessions = sessions
        self._clock = clock

    def serves(self, provider: Provider | None) -> bool:
        return isinstance(provider, MCPServer)

    async def describe(self, provider: Provider, env: Environment) -> Described:
        server = _server(provider)
        target = target_of(server, env)
        found = await self._sessions.discover(owner(server), target, target.start_seconds + BESIDE_START)
        offered = [tool for tool in found.tools if server.offers(tool.name)]
        kept, left_out = fitting(replace(found, tools=offered))
        tools = [_described(server, tool) for tool in kept]
        detail = sentence(kept, left_out, len(found.tools) - len(offered)) + so_far(found)
        info = ServerInfo(name=found.server_name, version=found.server_version, protocol=found.protocol)
        return Described(tools, "Idle" if found.idle else "Connected", detail, info, found.held)

    async def start(self, run: ToolRun) -> Done | Parked:
        server = _server(run.provider)
        if not server.offers(run.tool):
            raise ToolError(f'MCPServer "{server.metadata.name}" does not offer {run.tool} to agents (spec.tools)')
        request = ToolRequest(run.tool, run.arguments, run.idempotency_key, run.told)
        target = target_of(server, run.env)
        try:
            answer = await self._sessions.call(owner(server), target, request, run.timeout)
        except Transient as error:
            if error.reason in UNSENT:
                raise NotStarted(str(error), reason=error.reason) from error
            raise
        return self._outcome(server, run, answer)

    async def look(self, run: ToolRun, handle: ExternalWork) -> Done | Parked:
        """A server that is away now does not change what became of the task."""
        server = _server(run.provider)
        target, due = target_of(server, run.env), deadline(server, run)
        if due is not None and self._clock() >= due:
            await self._sessions.cancel(owner(server), target, handle, LOOK_TIMEOUT)
            raise ToolError("the task took longer than the tool's timeout and was cancelled", trouble="Timeout")
        try:
            answer = await self._sessions.look(owner(server), target, handle, LOOK_TIMEOUT)
        except Transient as error:
            if error.reason == "TaskLost":
                raise
            return Parked(handle, self._until(AWAY, due), str(error))
        return self._outcome(server, run, answer)

    async def cancel(self, run: ToolRun, handle: ExternalWork) -> None:
        server = _server(run.provider)
        await self._sessions.cancel(owner(server), target_of(server, run.env), handle, LOOK_TIMEOUT)

    def _outcome(self, server: MCPServer, run: ToolRun, answer: CallAnswer) -> Done | Parked:
        match answer:
            case ToolAnswer(text, files=files):
                return Done(text, files)
            case RemoteTask(task, poll, message, session):
                where = f"task at MCPServer {server.metadata.name}"
                on = f"{where}: {message}" if message else where
                return Parked(ExternalWork(id=task, state=session), self._until(poll, deadline(server, run)), on)
            case InputRequired():
                raise NeedsInput(*question(answer))

    def _until(self, wait: float, due: datetime | None) -> datetime:
        """When to look at a task next."""
        then = self._clock() + timedelta(seconds=wait)
        return then if due is None else min(then, due)

    async def forget(self, provider: Provider) -> None:
        await self._sessions.forget(owner(_server(provider)))

    def on_change(self, told: Callable[[str], None]) -> None:
        self._sessions.on_change = told

    async def close(self) -> None:
        await self._sessions.close()


def owner(server: MCPServer) -> str:
    """The name of the session with this server."""
    return f"{server.metadata.namespace}/{server.metadata.name}"


def target_of(server: MCPServer, env: Environment) -> Target:
    """How the server is started, or where it is; secrets filled in. Raises Terminal."""
    spec, secret = server.spec, secret_names(server)
    start = seconds(spec.start_timeout) if spec.start_timeout else START_SECONDS
    if spec.transport == "stdio":
        return ServerCommand(
            spec.command or "",
            tuple(spec.args),
            tuple(sorted(env.items())),
            secret,
            spec.working_dir or "/",
            start,
            seconds(spec.idle_timeout) if spec.idle_timeout else IDLE_SECONDS,
            bounds_of(spec.resources),
            _pod(server),
        )
    headers = headers_of(spec.headers, spec.auth, env)
    return ServerAddress(
        spec.transport,
        spec.url or "",
        tuple(sorted(headers.items())),
        client_of(spec.auth, env),
        spec.allow_private,
        start,
        tuple(spellings(env[name] for name in secret)),
    )


def _pod(server: MCPServer) -> PodCommand | None:
    """The pod that the server runs in, if it has one of its own."""
    spec, pod = server.spec, server.spec.pod
    if pod is None:
        return None
    limits = spec.resources.limits if spec.resources and spec.resources.limits else Limits()
    bounds = (("cpu", limits.cpu), ("memory", limits.memory))
    return PodCommand(
        server.metadata.namespace,
        server.metadata.name,
        server.metadata.uid,
        pod.image,
        (spec.command,) if spec.command else (),
        tuple(spec.args),
        tuple(spec.env),
        tuple((name, quantity) for name, quantity in bounds if quantity),
        spec.working_dir or "",
        pod.run_as_user,
        tuple(reference.name for reference in pod.image_pull_secrets),
    )


def deadline(server: MCPServer, run: ToolRun) -> datetime | None:
    """When a task has taken too long; None where no timeout is stated: a task may take days."""
    stated = server.override(run.tool).timeout or server.spec.timeout
    begun = run.call.status.start_time
    return moment(begun) + timedelta(seconds=seconds(stated)) if stated and begun else None


def _described(server: MCPServer, tool: DiscoveredTool) -> Description:
    """The tool as the server describes it, corrected by the spec."""
    stated = server.override(tool.name)
    about = tool.description if stated.description is None else stated.description
    return Description(tool.name, about, tool.input_schema, stated.effect or tool.effect)


def _server(provider: Provider | None) -> MCPServer:
    if isinstance(provider, MCPServer):
        return provider
    raise Terminal("this tool belongs to no MCPServer", reason="UnknownKind")
