"""Writing the shared readiness status: one write when the verdict changed, none when it did not."""

from __future__ import annotations

from typing import TypeVar

from msgspec import json
from msgspec.structs import replace

from kubechain.agents.toolbox import Verdict
from kubechain.resources.model import Clock, Condition, timestamp, with_condition
from kubechain.resources.readiness import ReadyStatus

S = TypeVar("S", bound=ReadyStatus)


def same(old: ReadyStatus, new: ReadyStatus) -> bool:
    """Whether both say the same: an API server may give JSON back with its keys in another order."""
    return old == new or json.decode(json.encode(old)) == json.decode(json.encode(new))


def judged(status: S, verdict: Verdict, generation: int, clock: Clock) -> S:
    """The status with the verdict as its condition Ready and the summary derived from it."""
    ready = verdict.status == "Ready"
    condition = Condition(
        type="Ready",
        status="True" if ready else "False",
        reason=verdict.reason,
        message=verdict.detail,
        last_transition_time=timestamp(clock()),
        observed_generation=generation,
    )
    return replace(
        status,
        ready=ready,
        status=verdict.status,
        status_detail=verdict.detail,
        observed_generation=generation,
        conditions=with_condition(status.conditions, condition),
    )
