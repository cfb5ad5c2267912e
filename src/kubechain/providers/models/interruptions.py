"""Which servers break off the answer at hand when the next request arrives: those are asked one at a time.

limits.py tells what it sees. Such a server cuts the older of two answers each time, and goes on with the newer.
One that finishes answers although a newer request is there serves several; what breaks there breaks for another
reason.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

OVERLAP = 0.05
"""Seconds that a newer request has been there for when an older one is answered after all."""
ENOUGH = 3
"""Older requests answered after all, of a server that serves several."""
SUSPICIOUS = 2
"""Older requests broken off, with none of those between, of a server that breaks them off for the newer."""
AT_A_TIME = 600.0
"""Seconds for which a server is asked one at a time before several are tried again."""
BREAKS = frozenset({"Interrupted", "UnreadableReply"})
"""What a broken-off answer looks like: in its middle, or before its first word."""


class Server:
    """What was seen of one server; `monotonic` in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._numbers = count()
        self._open: dict[int, float] = {}
        self._overlapped = self._cut = 0
        self._one_until = 0.0
        self._confirmed = False

    @property
    def one_at_a_time(self) -> bool:
        return self._one_until > 0.0 and self._monotonic() < self._one_until

    def begun(self) -> int:
        """A request goes out; its number."""
        number = next(self._numbers)
        self._open[number] = self._monotonic()
        return number

    def ended(self, number: int, reason: str) -> None:
        """It ended: answered with "", or for the reason of an error."""
        began = self._open.pop(number)
        if not reason:
            self._answered(number, began)
        elif reason in BREAKS and self._overlapped < ENOUGH:
            self._broke(
                newer=max(self._open, default=-1) > number, oldest=min(self._open, default=number) >= number
            )

    def _answered(self, number: int, began: float) -> None:
        self._confirmed = True
        if self._overlapped >= ENOUGH or self._monotonic() - began < OVERLAP:
            return
        newer = min((at for other, at in self._open.items() if other > number), default=None)
        if newer is not None and self._monotonic() - newer >= OVERLAP:
            self._overlapped, self._cut = self._overlapped + 1, 0
            self._one_until = 0.0

    def _broke(self, newer: bool, oldest: bool) -> None:
        if newer and oldest:
            self._cut += 1
            if not self.one_at_a_time:
                self._confirmed = False
            if self._cut >= SUSPICIOUS:
                self._one_until = self._monotonic() + AT_A_TIME
        elif not newer and not self._confirmed:  # the last one broke as well: the server fell, it did not choose
            self._cut, self._one_until = 0, 0.0
