"""Which objects there may be: a Bloom filter over addresses, so that a new name costs no look into the file.

Called by the writer. What is not in it was never written; what is in it may have been, or is gone by now: deleted
objects stay, and every millionth object makes false alarms a little more frequent (5 % at a million, at two 15 %).
"""

from __future__ import annotations

from collections.abc import Iterable

from kubechain.store.record import Address

_BITS = 2**23
"""A megabyte, of which the system gives the pages that are written."""


class Seen:
    """Addresses, each in two bits of many."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._bits = bytearray(_BITS // 8)
        for at in addresses:
            self.add(at)

    def add(self, at: Address) -> None:
        digest = hash(at)
        for bit in (digest % _BITS, (digest >> 24) % _BITS):
            self._bits[bit >> 3] |= 1 << (bit & 7)

    def __contains__(self, at: Address) -> bool:
        digest = hash(at)
        one, other = digest % _BITS, (digest >> 24) % _BITS
        bits = self._bits
        return bool(bits[one >> 3] >> (one & 7) & bits[other >> 3] >> (other & 7) & 1)
