"""`ExternalRunner`: the tool kind `external`. A person or program outside does the work and writes the result
into the ToolCall."""

from __future__ import annotations

from msgspec import Raw

from kubechain.agents.call.outcome import Parked
from kubechain.agents.ports.tool import (
    DEFAULT_TIMEOUT,
    Described,
    Description,
    Environment,
    Nature,
    Provider,
    ToolRun,
    ToolRunner,
)
from kubechain.resources.tool import Tool
from kubechain.resources.toolcall import ExternalWork

WAITING_ON = "a result from outside, written into this status"


class ExternalRunner(ToolRunner):
    """Starts nothing. Whoever does the work finds the call in the API."""

    kind = "external"
    looks = False

    def serves(self, provider: Provider | None) -> bool:
        return isinstance(provider, Tool) and provider.spec.external is not None

    def nature(self, provider: Provider | None, tool: str) -> Nature:
        """Starting such a call has no effect, so it can be repeated."""
        return Nature("ReadOnly", "Retry", DEFAULT_TIMEOUT)

    async def describe(self, provider: Provider, env: Environment) -> Described:
        tool = Description(provider.metadata.name, "", Raw(b'{"type":"object"}'))
        return Described([tool], "External", "Its calls wait for a result from outside")

    async def start(self, run: ToolRun) -> Parked:
        return Parked(ExternalWork(id=run.idempotency_key), waiting_on=WAITING_ON)
