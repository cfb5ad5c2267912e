"""How often a server has ended unasked, and how long its next start has to wait. Pure: the clock is passed in.

`sessions` has one for each server. After the first end it is started again at once; while it keeps ending soon,
each start waits twice as long as the one before. A server that ran for a while begins anew.
"""

from __future__ import annotations

from collections.abc import Callable

FIRST, LONGEST = 1.0, 60.0
"""Seconds before the second start in a row, doubled each time, and the most."""
STEADY = 60.0
"""Seconds that a server has to run to be no longer considered one that keeps ending."""


class Restarts:
    """The ends of one server in a row."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._next = 0.0
        self.count = 0
        """Of ends since it last ran for a while."""
        self.last_end = ""
        self.last_words = ""
        """The same, with what it printed last: for people, not for models."""

    def ended(self, how: str, words: str, lived: float) -> None:
        """It has ended unasked, `lived` seconds after it was ready; `words`: how, with what it printed last."""
        if lived >= STEADY:
            self._in_a_row = self.count = 0
        self._in_a_row += 1
        self.count += 1
        self.last_end, self.last_words = how, words
        self._next = self._clock() + delay(self._in_a_row)

    @property
    def wait(self) -> float:
        """Seconds until it may be started."""
        return max(0.0, self._next - self._clock())


def delay(ends: int) -> float:
    """Seconds between the last of so many ends in a row and the next start."""
    return 0.0 if ends < 2 else min(LONGEST, FIRST * 2.0 ** min(ends - 2, 60))
