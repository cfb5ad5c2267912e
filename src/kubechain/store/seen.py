"""Which objects there may be: a Bloom filter over addresses, so that a new name costs no look into the file.

Called by the writer. What is not in it was never written; what is in it may have been, or is gone by now: deleted
objects stay, and every millionth object makes false alarms a little more frequent (5 % at a million, at two 15 %).
No start waits for it: with every question it reads a little of what the file has, and until it is through it says
"may be".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kubechain.store.record import Address

_BITS = 2**23
"""A megabyte, of which the system gives the pages that are written."""
_AT_ONCE = 64
"""Addresses read with a question: a tenth of a millisecond."""


class Seen:
    """Addresses, each in two bits of many. `stored` gives as many as asked for of those in the file after one."""

    def __init__(self, stored: Callable[[Address, int], Sequence[Address]]) -> None:
        self._bits = bytearray(_BITS // 8)
        self._stored = stored
        self._read: Address | None = Address(-1, "", "")
        """Up to where the file was read; None once all of it was."""

    def add(self, at: Address) -> None:
        digest = hash(at)
        for bit in (digest % _BITS, (digest >> 24) % _BITS):
            self._bits[bit >> 3] |= 1 << (bit & 7)

    def __contains__(self, at: Address) -> bool:
        if self._read is not None:
            self._read = self._read_on(self._read)
            return True
        digest = hash(at)
        one, other = digest % _BITS, (digest >> 24) % _BITS
        bits = self._bits
        return bool(bits[one >> 3] >> (one & 7) & bits[other >> 3] >> (other & 7) & 1)

    def _read_on(self, last: Address) -> Address | None:
        page = self._stored(last, _AT_ONCE)
        for at in page:
            self.add(at)
        return page[-1] if len(page) == _AT_ONCE else None
