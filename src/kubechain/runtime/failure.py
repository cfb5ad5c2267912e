"""What follows from a failed pass. Pure; the worker acts on it.

Conflict, NotFound              the cache was behind: at once, a few times, then backoff
Transient                       backoff, and not before the time that the other side named; an Event on the object;
                                where the controller has decided how long to wait, exactly so long
Terminal                        no further try until the object or what it refers to changes; an Event
TooManyRequests, Timeout, ...   the API itself is in trouble: its retry_after, else backoff; logged
anything else                   a bug: backoff; logged with its traceback
"""

from __future__ import annotations

from math import inf
from typing import Literal

from msgspec import Struct

from kubechain.errors import (
    Conflict,
    Forbidden,
    InternalError,
    NotFound,
    Terminal,
    Timeout,
    TooManyRequests,
    Transient,
    Unauthorized,
)
from kubechain.runtime.backoff import Chance, full_jitter, not_before

AT_ONCE = 5
"""Passes that lost a race and are repeated without waiting."""

Audience = Literal["nobody", "object", "operator", "developer"]


class Verdict(Struct, frozen=True):
    """`wait` in seconds, `inf` for "until something changes".

    `firm`: a change of only the status does not end the wait, so that a status written by a failing
    pass cannot wake its own retry. `audience`: nobody, an Event on the object, a log line, or one with traceback.
    """

    wait: float
    firm: bool
    audience: Audience
    reason: str


def judge(error: BaseException, attempt: int, chance: Chance) -> Verdict:
    """What follows from the `attempt`th failure in a row (1, 2, ...)."""
    match error:
        case Conflict() | NotFound() if attempt <= AT_ONCE:
            return Verdict(0, False, "nobody", error.reason)
        case Conflict() | NotFound():
            return Verdict(full_jitter(attempt - AT_ONCE, chance), False, "operator", error.reason)
        case Transient(wait=float() | int() as seconds):
            return Verdict(seconds, True, "object", error.reason)
        case Transient(retry_after=float() | int() as seconds):
            # "At once", said again and again, is no reason to ask for ever without a pause.
            wait = max(not_before(seconds, chance), full_jitter(attempt, chance))
            return Verdict(wait, True, "object", error.reason)
        case Transient():
            return Verdict(full_jitter(attempt, chance), True, "object", error.reason)
        case Terminal():
            return Verdict(inf, True, "object", error.reason)
        case TooManyRequests() | Timeout() | InternalError():
            asked = not_before(error.details.retry_after, chance)
            return Verdict(max(asked, full_jitter(attempt, chance)), True, "operator", error.reason)
        case Unauthorized() | Forbidden():
            return Verdict(full_jitter(attempt, chance), True, "operator", error.reason)
        case _:
            return Verdict(full_jitter(attempt, chance), True, "developer", type(error).__name__)
