"""The interface between `runner` and `sessions`: requests to MCP servers.

Tests replace the servers here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Raw, Struct

from kubechain.resources.effect import Effect

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


class MCPSessions(Protocol):
    """Keeps one live session per server (`owner` is the MCPServer's namespace/name), reconnecting when it dies.

    A server that hangs, dies or sends garbage affects only its own calls.
    """

    on_change: Callable[[str], None]
    """Told the owner whose server says that its tools changed, or was stopped, has died or was started again."""

    async def discover(self, owner: str, command: ServerCommand, timeout: float) -> Discovery:
        """Starts the server where needed (a changed command replaces the old process) and lists its tools.

        One that was stopped because nobody used it is not started: what it offered last is what it offers.

        Raises Transient (died, hung) or Terminal (no such program) with what it wrote to stderr last.
        """
        ...

    async def call(
        self,
        owner: str,
        command: ServerCommand,
        tool: str,
        arguments: bytes,
        timeout: float,
        idempotency_key: str,
    ) -> str:
        """The result's text content joined by newlines. Raises ToolError (isError, unknown tool), Transient."""
        ...

    async def forget(self, owner: str) -> None:
        """Ends the server's process; a later call starts it again."""
        ...

    async def close(self) -> None:
        """Ends every server."""
        ...
