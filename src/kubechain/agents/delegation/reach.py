"""Which agents may call which others: how deep, how many at a time, and never back to one that waits. Pure.

The runner of sub-agents (`controllers/calls/delegation`) asks before it starts one, the Agent controller before an
agent is ready. It knows no API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from kubechain.resources.agent import SubAgent
from kubechain.resources.run_limits import DEPTH, FAN_OUT, Limits
from kubechain.resources.tool import Tool


class Level(Struct, frozen=True):
    """One run above a call: the one that calls, the one that called that, and so on up to the top."""

    run: str
    agent: str
    limits: Sequence[Limits] = ()


def too_deep(above: Sequence[Level]) -> str | None:
    """Why a call of the first of these runs may start no sub-agent: told to the model; else None."""
    for below, level in enumerate(above, 1):
        allowed = strictest((limits.sub_agent_depth for limits in level.limits), DEPTH)
        if below > allowed:
            levels = "no level" if allowed == 0 else f"{allowed} {'level' if allowed == 1 else 'levels'}"
            return (
                f"sub-agents may be {levels} deep below TaskRun {level.run}, and this one would be {below} deep "
                "(limits.subAgentDepth); do it without a sub-agent"
            )
    return None


def too_wide(limits: Sequence[Limits], place: int) -> str | None:
    """Why the `place`-th call of a sub-agent (from 1) in one reply is not made: told to the model; else None."""
    allowed = strictest((one.sub_agent_fan_out for one in limits), FAN_OUT)
    if place <= allowed:
        return None
    agents = "1 sub-agent" if allowed == 1 else f"{allowed} sub-agents"
    instead = "call it again in your next reply" if allowed else "do it without a sub-agent"
    return f"one reply may call {agents} (limits.subAgentFanOut), and this is call {place}; {instead}"


def strictest(stated: Iterable[int | None], otherwise: int) -> int:
    """The lowest limit that is stated; `otherwise` where none is."""
    return min((limit for limit in stated if limit is not None), default=otherwise)


def comes_back(agent: str, above: Sequence[Level]) -> str | None:
    """Why `agent` may not be called where one of these runs is its own: told to the model; else None."""
    agents = [level.agent for level in above]
    if agent not in agents:
        return None
    way = " -> ".join([*reversed(agents[: agents.index(agent) + 1]), agent])
    return f'agent "{agent}" is waiting for this call itself ({way}); do it without that agent'


def cycle(start: str, called_by: Callable[[str], Iterable[str]]) -> list[str]:
    """The shortest way on which the agent `start` calls itself in the end, both ends included; else empty."""
    came_from: dict[str, str] = {}
    to_see = [start]
    for seen in to_see:
        for called in called_by(seen):
            if called == start:
                way = [start, seen]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if called not in came_from:
                came_from[called] = seen
                to_see.append(called)
    return []


def named_by(sub_agents: Iterable[SubAgent], tools: Iterable[Tool]) -> list[str]:
    """The agents that an agent may call: those it lists, and those behind its tools."""
    behind = [tool.spec.agent.name for tool in tools if tool.spec.agent is not None]
    return [*dict.fromkeys([*(sub.name for sub in sub_agents), *behind])]
