"""Asks a runner what a Tool or an MCPServer offers. Nothing that is said of it has the value of a Secret in it.

The controllers of both call it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from kubechain.agents.call.arguments import unusable
from kubechain.agents.call.redaction import hidden_values, redacted
from kubechain.agents.ports.tool import (
    Described,
    Description,
    Environment,
    Held,
    Provider,
    ToolRunner,
    secret_names,
)
from kubechain.errors import KubechainError
from kubechain.resources.model import Condition, timestamp, with_condition
from kubechain.resources.toolkind import CONFIG_VERSION

LIMITS = "LimitsEnforced"
SHOWN = 5
"""Tools that a sentence names."""


async def described_by(runner: ToolRunner, provider: Provider, env: Environment) -> Described:
    """What the provider offers. Raises as `ToolRunner.describe` does."""
    hidden = hidden_values(env, secret_names(provider))
    try:
        described = await runner.describe(provider, env)
    except KubechainError as error:
        error.args = tuple(redacted(str(part), hidden) for part in error.args)
        raise
    return replace(described, detail=redacted(described.detail, hidden) + unchecked(described.tools))


def limits_in(
    conditions: Sequence[Condition], held: Held | None, generation: int, now: datetime
) -> list[Condition]:
    """The conditions with the one that says who holds the limits; without it where there are none."""
    if held is None:
        return [condition for condition in conditions if condition.type != LIMITS]
    condition = Condition(
        type=LIMITS,
        status="True" if held.enforced else "False",
        reason=held.reason,
        message=held.detail,
        last_transition_time=timestamp(now),
        observed_generation=generation,
    )
    return with_condition(conditions, condition)


def config_version(env: Environment) -> str:
    """The version of the ConfigMaps that the values are from; "" where they are from none."""
    return env.get(CONFIG_VERSION, "")


def unchecked(tools: Sequence[Description]) -> str:
    """What is said of tools whose schemas cannot be used; nothing where all can."""
    found = [(tool.name, why) for tool in tools if (why := unusable(tool.parameters))]
    if not found:
        return ""
    named = "; ".join(f"{name}: {why}" for name, why in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"; arguments are not checked where the schema cannot be used ({named}{more})"
