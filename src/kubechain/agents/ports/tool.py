"""The ports behind which tools run: `FunctionRunner` and `MCPSessions`.

Controllers call them; `providers/tools` implements them. A tool that fails is a `ToolError` whose text is
for the model; an environment that fails (a worker that died, a server that hangs) is Transient or Terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Raw, Struct

from kubechain.errors import KubechainError
from kubechain.resources.tool import Effect

Environment = Mapping[str, str]


class ToolError(KubechainError):
    """The tool ran and said no: the text becomes the tool's result for the model."""


class FunctionSignature(Struct, frozen=True):
    """What a function's docstring and type hints say: a description and a JSON Schema document."""

    description: str
    parameters: Raw


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """One call of `module:function`. `arguments` is a JSON object document; `env` the worker's environment.

    `idempotency_key` is the ToolCall's uid, the same for every attempt; a function that has a parameter
    `idempotency_key` without a schema entry gets it, others never see it.
    """

    entrypoint: str
    arguments: bytes
    timeout: float
    env: Environment = field(repr=False, default_factory=dict)
    idempotency_key: str = ""
    hidden: frozenset[str] = frozenset()
    """Names of the variables whose values come from Secrets, and are shown to nobody."""
    about: Mapping[str, str] = field(default_factory=dict)
    """Whose call it is, for the log: `tool`, `task_run`."""


class FunctionRunner(Protocol):
    """Runs Python functions in worker processes that outlive a call and die with the program."""

    async def inspect(self, entrypoint: str, env: Environment) -> FunctionSignature:
        """Raises Terminal (no such module or function, with the import error's text)."""
        ...

    async def call(self, call: FunctionCall) -> str:
        """The result as text (a str as it is, anything else as JSON).

        Raises ToolError (the function raised, or arguments do not fit), Transient (worker died, timed out).
        """
        ...

    async def close(self) -> None:
        """Ends every worker process."""
        ...


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

    A server that hangs, dies or talks garbage costs its own calls a deadline and nobody else anything.
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
        """Ends the server's process; a later call starts it anew."""
        ...

    async def close(self) -> None:
        """Ends every server."""
        ...
