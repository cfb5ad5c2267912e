"""The interface between `runner` and `sessions`: requests to MCP servers.

Tests replace the servers here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Raw, Struct

from kubechain.resources.effect import Effect


@dataclass(frozen=True, slots=True)
class ServerCommand:
    """How an MCP server is started. Two equal commands are the same server."""

    command: str
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = field(repr=False)
    hidden: frozenset[str] = frozenset()
    """Names of the variables whose values come from Secrets, and are shown to nobody."""


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
    """What an MCP server says about itself."""

    server_name: str
    server_version: str
    protocol: str
    tools: Sequence[DiscoveredTool]
    left_out: Sequence[LeftOut] = ()


class MCPSessions(Protocol):
    """Keeps one live session per server (`owner` is the MCPServer's namespace/name), reconnecting when it dies.

    A server that hangs, dies or sends garbage affects only its own calls.
    """

    on_change: Callable[[str], None]
    """Told the owner whose server says that its tools changed."""

    async def discover(self, owner: str, command: ServerCommand, timeout: float) -> Discovery:
        """Starts the server where needed (a changed command replaces the old process) and lists its tools.

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
