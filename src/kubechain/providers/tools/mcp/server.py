"""The interface between `runner` and `sessions`: where MCP servers are, what they are asked, what they answer.

Tests replace the servers here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from msgspec import Raw, Struct

from kubechain.agents.call.outcome import Artifact
from kubechain.agents.ports.tool import Held
from kubechain.providers.tools.limits import NO_BOUNDS, Bounds
from kubechain.providers.tools.pods.manifest import PodCommand
from kubechain.providers.web.credentials import Client
from kubechain.resources.effect import Effect
from kubechain.resources.json import JsonObject
from kubechain.resources.toolcall import ExternalWork

START_SECONDS = 60.0
IDLE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """How an MCP server is started. Two equal commands are the same server."""

    command: str
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = field(repr=False)
    hidden: frozenset[str] = frozenset()
    """Names of the variables whose values come from Secrets, and are shown to nobody."""
    folder: str = "/"
    """Where it is started."""
    start_seconds: float = START_SECONDS
    """How long it may take to agree on a protocol."""
    idle_seconds: float = IDLE_SECONDS
    """After how long without a request it is stopped; 0: never."""
    bounds: Bounds = NO_BOUNDS
    pod: PodCommand | None = None
    """The pod that it runs in, instead of beside the program."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where an MCP server is, and what is sent with each request. Two equal addresses are the same server.

    `client`: whose token is sent, where one is. `secret`: values that come from Secrets, and are shown to nobody.
    """

    transport: Literal["http", "sse"]
    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    client: Client | None = None
    allow_private: bool = False
    start_seconds: float = START_SECONDS
    secret: tuple[str, ...] = field(default=(), repr=False)


Target: TypeAlias = ServerCommand | ServerAddress


def _unheard(_: str) -> None:
    """Ignores progress."""


class ToolRequest(Struct, frozen=True):
    """One call: `arguments` is a JSON object; `told` hears in a few words how far the call is."""

    tool: str
    arguments: bytes
    key: str
    told: Callable[[str], None] = _unheard


class ToolAnswer(Struct, frozen=True):
    """What a call came to; `failed`: whether the tool says that it failed."""

    text: str
    failed: bool = False
    files: tuple[Artifact, ...] = ()


class RemoteTask(Struct, frozen=True):
    """A call that goes on at the server as a task. `poll`: seconds until it may be asked about again.

    `session`: the session that the task belongs to, where the server has sessions.
    """

    id: str
    poll: float
    message: str = ""
    session: str = ""


class InputRequired(Struct, frozen=True):
    """A call that goes on when a person has answered `asks`. `state` and `task` are what the server needs then."""

    asks: JsonObject
    state: str = ""
    task: str = ""
    session: str = ""


CallAnswer: TypeAlias = ToolAnswer | RemoteTask | InputRequired


class DiscoveredTool(Struct, frozen=True):
    """One tool of an MCP server; `input_schema` is a JSON Schema document."""

    name: str
    description: str
    input_schema: Raw
    effect: Effect


class LeftOut(Struct, frozen=True):
    """A tool that a server lists and that cannot be offered; `why` completes "it is left out because"."""

    name: str
    why: str


class Discovery(Struct, frozen=True):
    """What an MCP server says about itself, and how its process fares.

    `restarts` counts the ends of its process, unasked, since it last ran for a while.
    """

    server_name: str
    server_version: str
    protocol: str
    tools: Sequence[DiscoveredTool]
    left_out: Sequence[LeftOut] = ()
    idle: bool = False
    """Whether it was stopped because nobody used it; the next call starts it again."""
    restarts: int = 0
    last_end: str = ""
    """How its process ended the last time, with what it printed last."""
    held: Held | None = None


class MCPSessions(Protocol):
    """Keeps one live session per server (`owner` is the MCPServer's namespace/name), reconnecting when it dies.

    A server that hangs, dies or sends garbage affects only its own calls.
    """

    on_change: Callable[[str], None]
    """Told the owner whose server says that its tools changed, or was stopped, has died or was started again."""

    async def discover(self, owner: str, target: Target, timeout: float) -> Discovery:
        """What the server offers. Starts it or connects to it where needed; another target replaces the session.

        One that was stopped because nobody used it is not started: what it offered last is what it offers.

        Raises Transient (died, hung, away) or Terminal (no such program, not authorized).
        """
        ...

    async def call(self, owner: str, target: Target, request: ToolRequest, timeout: float) -> CallAnswer:
        """What the call came to, or the task that it became. Raises ToolError, Transient, Terminal."""
        ...

    async def look(self, owner: str, target: Target, work: ExternalWork, timeout: float) -> CallAnswer:
        """How a task stands: its answer, or the task. Raises as `call`."""
        ...

    async def cancel(self, owner: str, target: Target, work: ExternalWork, timeout: float) -> None:
        """Cancels a task. Raises Transient."""
        ...

    async def forget(self, owner: str) -> None:
        """Ends the session; a later call begins another."""
        ...

    async def close(self) -> None:
        """Ends every session."""
        ...
