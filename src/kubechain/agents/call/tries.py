"""Whether a call that failed is tried again, and when. Pure: the count is in the status of the ToolCall.

Only what may be repeated is: a tool whose effect is NonIdempotent never is, whatever its manifest says.
"""

from __future__ import annotations

import zlib
from datetime import UTC, timedelta

from kubechain.agents.call.outcome import Failure
from kubechain.agents.call.scene import CallScene
from kubechain.resources.duration import seconds
from kubechain.resources.toolcall import CallRetry

BACKOFF = 1.0
LONGEST = 300.0
"""Seconds, the longest wait that no server asked for."""
SPREAD = 0.2
"""Calls that failed at the same time wait up to this much longer, each another time."""


def next_try(scene: CallScene, failure: Failure) -> tuple[CallRetry, int] | None:
    """The count and the time of the next try, and how many there are at most; None if there is none."""
    tool, call = scene.tool, scene.call
    policy = tool.retries if tool is not None else None
    if tool is None or policy is None or failure.trouble is None or tool.nature.effect == "NonIdempotent":
        return None
    failures = (call.status.retry.failures if call.status.retry else 0) + 1
    if failures > policy.max or (policy.on and failure.trouble not in policy.on):
        return None
    wait = max(_backoff(policy.backoff, failures), failure.retry_after or 0.0)
    wait *= 1 + SPREAD * (zlib.crc32(f"{call.metadata.uid}/{failures}".encode()) / 2**32)
    then = (scene.now + timedelta(seconds=wait)).astimezone(UTC)
    when = f"{then:%Y-%m-%dT%H:%M:%S}.{then.microsecond // 1000:03}Z"
    return CallRetry(reason=failure.trouble, failures=failures, next_time=when), policy.max


def _backoff(stated: str | None, failures: int) -> float:
    first = seconds(stated) if stated else BACKOFF
    return min(first * 2.0 ** (failures - 1), max(LONGEST, first))
