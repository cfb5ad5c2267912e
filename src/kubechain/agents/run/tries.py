"""How often a model is asked again if no usable reply came. Pure: the counts are in the status of the run.

A reply that came and cannot be used was paid for, so it is asked for again a few times only. A model that cannot
be reached, or that has no time, costs nothing: it is asked until it answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from kubechain.agents.ports.model import PAUSED
from kubechain.resources.taskrun import Retry

UNUSABLE = 3
"""Unusable replies in a row before a run fails: empty, unreadable, broken off, or cut off in a tool call."""
TIMEOUTS = 10
"""Requests in a row to which nothing came in time before a run fails: a model may have worked on each."""
TIMEOUT = "Timeout"
LIMITS: Mapping[str, int] = {
    "EmptyReply": UNUSABLE,
    "UnfinishedReply": UNUSABLE,
    "UnreadableReply": UNUSABLE,
    "Interrupted": UNUSABLE,
    TIMEOUT: TIMEOUTS,
}
"""By the reason of a Transient; one that is not here is tried again until it heals."""


def counted(before: Retry | None, reason: str) -> Retry:
    """Counts a request without a usable reply, for `reason`; one that was not sent does not count."""
    before = before or Retry()
    if reason == PAUSED:
        return replace(before, reason=reason, next_time="")
    return Retry(
        reason=reason,
        attempts=before.attempts + 1,
        unusable=before.unusable + (reason in LIMITS and reason != TIMEOUT),
        timeouts=before.timeouts + (reason == TIMEOUT),
    )


def cut_off(before: Retry | None) -> Retry:
    """Counts a reply that is in the transcript but whose calls were not run."""
    return Retry(reason="ReplyCutOff", unusable=(before.unusable if before else 0) + 1)


def spent(retry: Retry) -> int | None:
    """The number of requests, if the model is not asked again; otherwise None."""
    limit = LIMITS.get(retry.reason)
    count = retry.timeouts if retry.reason == TIMEOUT else retry.unusable
    return limit if limit is not None and count >= limit else None
