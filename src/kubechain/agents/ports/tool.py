"""The port `ToolRunner`: one per kind of tool, listed in `providers/tools/table.py`. The controllers know no kind.

Of a tool they know its `Nature`: what has to be known to call it safely. A tool that fails is a `ToolError`, the
text of which is for the model; an environment that fails (a tool process that died, a server that hangs) is
Transient or Terminal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from msgspec import Raw, Struct

from kubechain.agents.call.outcome import Done, Parked
from kubechain.agents.delegation.offer import PARAMETERS
from kubechain.errors import KubechainError, Transient
from kubechain.resources.agent import Agent
from kubechain.resources.duration import seconds
from kubechain.resources.effect import Effect, Interrupt, Trouble
from kubechain.resources.mcpserver import MCPServer, ServerInfo
from kubechain.resources.tool import Tool
from kubechain.resources.toolcall import ExternalWork, ToolCall

DEFAULT_TIMEOUT = 300.0
"""Seconds one call may take where nothing is stated."""
Provider = Tool | MCPServer | Agent
"""What offers tools to models; an Agent, as the sub-agent of others."""
Environment = Mapping[str, str]


class Nature(Struct, frozen=True, gc=False):
    """`effect`: what a repeated call does; `on_interrupt`: what follows when it is interrupted; `timeout`:
    seconds."""

    effect: Effect
    on_interrupt: Interrupt
    timeout: float

    @property
    def marked(self) -> bool:
        """Whether Running is written before it starts, because a second start would be harmful or is not
        wanted."""
        return self.effect == "NonIdempotent" or self.on_interrupt != "Retry"


def interrupt_policy(effect: Effect, stated: Interrupt | None) -> Interrupt:
    """What happens to a call cut off in its middle, from the tool's nature unless stated."""
    if stated is not None:
        return stated
    return "Ask" if effect == "NonIdempotent" else "Retry"


def nature_of(provider: Provider, tool: str = "") -> Nature:
    """The nature of a Tool, or of one of the tools that a provider offers."""
    if isinstance(provider, Agent):
        return Nature("ReadOnly", "Retry", inf)
    stated = provider.spec if isinstance(provider, Tool) else provider.override(tool)
    effect = stated.effect or _effect(provider, tool)
    timeout = seconds(stated.timeout) if stated.timeout else call_timeout(provider)
    return Nature(effect, stated.on_interrupt or _on_interrupt(effect), timeout)


def _effect(provider: Tool | MCPServer, tool: str) -> Effect:
    """What is known of the tool, else what its kind mostly does."""
    found = next((t.effect for t in provider.status.tools if t.name == tool), None)
    if found is not None:
        return found
    kind = provider.kind_of_tool if isinstance(provider, Tool) else None
    return kind.default_effect if kind is not None else "NonIdempotent"


def _on_interrupt(effect: Effect) -> Interrupt:
    """What happens to a call cut off in its middle, where nothing is stated."""
    return "Ask" if effect == "NonIdempotent" else "Retry"


def schema_of(provider: Provider, tool: str = "") -> Raw:
    """The JSON Schema of the arguments of a Tool, or of one of the tools that a provider offers."""
    if isinstance(provider, Agent):
        return PARAMETERS
    found = next((t.input_schema for t in provider.status.tools if t.name == tool), None)
    if found is not None:
        return found
    return provider.status.parameters if isinstance(provider, Tool) else Raw(b"{}")


def call_timeout(provider: Provider) -> float:
    """Seconds one call may take. A sub-agent takes as long as its own limits let it."""
    if isinstance(provider, Agent):
        return inf
    if provider.spec.timeout:
        return seconds(provider.spec.timeout)
    return inf if isinstance(provider, Tool) and provider.spec.agent else DEFAULT_TIMEOUT


class ToolError(KubechainError):
    """The tool failed; the text becomes its result for the model.

    `trouble` says why, where the same call may succeed later: no answer in time, no connection, too many requests,
    an error of the server. The Tool's `retries` go by it. `retry_after`: seconds, if the other side named a time.
    Raise it only if the outcome is known; a call whose outcome is unknown is Transient.
    """

    def __init__(self, message: str, *, trouble: Trouble | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.retry_after = retry_after


class InputRequired(ToolError):
    """The tool asks for something that it cannot get yet. `work` is what it needs to go on, and is kept."""

    def __init__(self, message: str, work: ExternalWork) -> None:
        super().__init__(message)
        self.work = work


class NotStarted(Transient):
    """It is known that the tool has not begun: what runs it is away. The call waits and is started again."""


def _unheard(_: str) -> None:
    """Ignores progress."""


class Description(Struct, frozen=True):
    """A tool as a model is told about it; `parameters` is a JSON Schema document."""

    name: str
    description: str
    parameters: Raw
    effect: Effect = "NonIdempotent"


class Held(Struct, frozen=True):
    """Who holds the processes of a provider to their limits: the condition LimitsEnforced."""

    enforced: bool
    reason: str
    detail: str


class Described(Struct, frozen=True):
    """What a provider offers: one tool, or many. `reason` and `detail` are its condition Ready.

    `held` is None where it has no limits.
    """

    tools: Sequence[Description]
    reason: str
    detail: str
    server: ServerInfo | None = None
    held: Held | None = None


@dataclass(frozen=True, slots=True)
class ToolRun:
    """One call as its runner sees it. `timeout` in seconds; `env`: the provider's variables, secrets filled in."""

    call: ToolCall
    provider: Provider | None
    timeout: float
    env: Environment = field(repr=False, default_factory=dict)
    told: Callable[[str], None] = _unheard
    """Hears in a few words how far the tool is, as often as it says so."""

    @property
    def tool(self) -> str:
        """Its name where it is provided."""
        origin = self.call.spec.origin
        return (origin.tool if origin else "") or self.call.spec.tool

    @property
    def arguments(self) -> bytes:
        """A JSON object."""
        return (self.call.spec.arguments.strip() or "{}").encode()

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt."""
        return self.call.metadata.uid


def secret_names(provider: Provider | None) -> frozenset[str]:
    """Names of a provider's variables whose values come from Secrets. They are never shown."""
    variables = provider.env if provider is not None else []
    return frozenset(variable.name for variable in variables if variable.value_from is not None)


class ToolRunner(ABC):
    """Runs one kind of tool. A subclass defines `serves`, `describe` and `start`, and other methods if needed.

    `start` and `look` run outside the passes, as long as they take. When cancelled, they end what they started.
    """

    kind: str
    """The word for it: `status.type` of a Tool."""
    of_servers: bool = False
    """Whether it runs the tools of MCPServers, not those of Tools."""
    looks: bool = True
    """Whether `look` can tell how work elsewhere stands; else someone writes the result into the ToolCall."""

    @abstractmethod
    def serves(self, provider: Provider | None) -> bool:
        """Whether it runs the tools of this provider. None: tools that KubeChain itself offers."""

    def nature(self, provider: Provider | None, tool: str) -> Nature:
        """What must be known to call the tool safely."""
        if provider is None:
            raise ValueError(f"{self.kind}: no provider")
        return nature_of(provider, tool)

    @abstractmethod
    async def describe(self, provider: Provider, env: Environment) -> Described:
        """Whether the provider can be used, and what it offers. Raises Terminal, Transient or ToolError."""

    @abstractmethod
    async def start(self, run: ToolRun) -> Done | Parked:
        """Runs the tool, or starts what runs elsewhere. Raises ToolError, Terminal or Transient."""

    def foresee(self, run: ToolRun) -> Parked | None:
        """What `start` is about to return, if its handle is known before.

        It is saved with the mark Running, so that a crash while the work begins loses nothing.
        """
        return None

    async def look(self, run: ToolRun, handle: ExternalWork) -> Done | Parked:
        """Checks the work elsewhere: after a wake, at a known time, after a restart. Raises as `start`."""
        raise NotImplementedError(f"{self.kind}: nothing runs elsewhere")

    def ended(self, run: ToolRun, handle: ExternalWork) -> bool:
        """Whether the work elsewhere is known to have ended, so that it is looked at without being told again."""
        return False

    async def cancel(self, run: ToolRun, handle: ExternalWork) -> None:  # noqa: B027
        """Ends the work elsewhere. Does nothing if it has ended."""

    def release(self, run: ToolRun, handle: ExternalWork) -> None:  # noqa: B027
        """The outcome of the work elsewhere is saved: removes what is left of it. Returns at once."""

    async def forget(self, provider: Provider) -> None:  # noqa: B027
        """The provider was deleted: ends what was kept for it."""

    def on_change(self, told: Callable[[str], None]) -> None:  # noqa: B027
        """Registers `told`, which is called with the `namespace/name` of a provider whose tools have changed."""

    def on_end(self, told: Callable[[str], None]) -> None:  # noqa: B027
        """Registers `told`, which is called with the uid of a ToolCall whose work elsewhere is to be looked at."""

    async def close(self) -> None:  # noqa: B027
        """Ends everything it started."""
