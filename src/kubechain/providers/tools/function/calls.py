"""The interface between `runner` and `functions`: requests to the processes that run Python functions.

Tests replace the processes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Raw, Struct

from kubechain.agents.ports.tool import Environment, Held
from kubechain.providers.tools.limits import NO_BOUNDS, Bounds


class FunctionSignature(Struct, frozen=True):
    """What a function's docstring and type hints say: a description and a JSON Schema document."""

    description: str
    parameters: Raw
    held: Held | None = None


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """One call of `module:function`. `arguments` is a JSON object document; `env` the process's environment.

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
    bounds: Bounds = NO_BOUNDS


class FunctionProcesses(Protocol):
    """Runs Python functions in tool processes that outlive a call and end with the program."""

    async def inspect(self, entrypoint: str, env: Environment, bounds: Bounds = NO_BOUNDS) -> FunctionSignature:
        """Raises Terminal (no such module or function, with the import error's text)."""
        ...

    async def call(self, call: FunctionCall) -> str:
        """The result as text (a str as it is, anything else as JSON).

        Raises ToolError (the function raised, or arguments do not fit), Transient (the process died, timed out).
        """
        ...

    async def close(self) -> None:
        """Ends every process."""
        ...
