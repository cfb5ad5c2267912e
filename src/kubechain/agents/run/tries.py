"""How often a model is asked again where no usable reply came. Pure: the counts live in the run's status.

A reply that came and cannot be used was paid for, so it is asked for again a few times only. A model that cannot
be reached, or that has no time, costs nothing: it is asked until it answers.
"""

from __future__ import annotations

from collections.abc import Mapping

UNUSABLE = 3
"""Unusable replies in a row before a run fails: empty, unreadable, broken off, or cut off in a tool call."""
TIMEOUTS = 10
"""Requests in a row to which nothing came in time before a run fails: a model may have worked on each."""
LIMITS: Mapping[str, int] = {
    "EmptyReply": UNUSABLE,
    "UnfinishedReply": UNUSABLE,
    "UnreadableReply": UNUSABLE,
    "Interrupted": UNUSABLE,
    "Timeout": TIMEOUTS,
}
"""By the reason of a Transient; one that is not here is tried again until it heals."""
