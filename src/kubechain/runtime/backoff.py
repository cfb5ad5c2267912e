"""How long to wait before the next try. Pure: the source of chance is passed in.

Used by everything that tries again: the worker, the informers, saving, readiness, and the requests to models. It
never waits itself.
"""

from __future__ import annotations

from collections.abc import Callable

Chance = Callable[[], float]
"""A number in [0, 1), such as `random.random`."""

BASE = 1.0
CAP = 300.0


def full_jitter(attempt: int, chance: Chance, *, base: float = BASE, cap: float = CAP) -> float:
    """Seconds to wait after `attempt` failures in a row: anywhere in [0, base * 2^(attempt - 1)), capped.

    Attempts count from 1. Drawing from the whole range keeps many failing keys from being retried at the same
    time.
    """
    return chance() * min(cap, base * 2.0 ** min(attempt - 1, 60))


def not_before(seconds: float, chance: Chance) -> float:
    """A time the other side asked for, plus up to a tenth (at most 5 s): never earlier, not all at once."""
    return seconds + chance() * min(seconds * 0.1, 5.0)
