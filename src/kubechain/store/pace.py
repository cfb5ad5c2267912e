"""Whether a commit is quick enough to be waited for on the event loop. Pure: times come in, a yes or no goes out.

Called by the writer. On tmpfs or a good SSD a commit takes less time than handing it to another thread and back;
on a slow or busy disk it would hold up everything else.
"""

from __future__ import annotations

_QUICK = 0.001
"""Seconds a commit may hold up the loop, on average."""
_QUICK_AGAIN = 0.0007
"""After it was too slow, a commit has to be this quick before the next are trusted."""
_LONGEST = 0.005
"""A single commit counts for no more than this: one hiccup of a good disk says little."""
_WEIGHT = 0.05
_FIRST_PROBE = 1.0
_LAST_PROBE = 60.0


class Pace:
    """A moving average of commit times, with hysteresis: once slow, one commit is tried now and then."""

    def __init__(self) -> None:
        self._average = 0.0
        self._is_quick = True
        self._delay = _FIRST_PROBE
        self._probe_at = 0.0

    def is_quick(self, now: float) -> bool:
        """Whether to commit on the loop at `now` (seconds of a monotonic clock)."""
        return self._is_quick or now >= self._probe_at

    def took(self, seconds: float, now: float) -> None:
        """Takes in how long a commit on the loop has taken."""
        if self._is_quick:
            self._average += _WEIGHT * (min(seconds, _LONGEST) - self._average)
            self._is_quick = self._average <= _QUICK
            self._probe_at = now + self._delay
        elif seconds <= _QUICK_AGAIN:
            self._is_quick, self._average = True, _QUICK_AGAIN
            self._delay = _FIRST_PROBE
        else:
            self._delay = min(2 * self._delay, _LAST_PROBE)
            self._probe_at = now + self._delay
