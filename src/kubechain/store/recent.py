"""The newest committed state of objects lately written or read, kept in memory up to a number of bytes.

Called by the ledger. Forgetting is always allowed: what is not here is read from the file. Never holds a state
that is not on disk.
"""

from __future__ import annotations

from collections import OrderedDict

from kubechain.store.record import Address, Stored

_OVERHEAD = 600
"""Bytes of an object's entry besides its document: its address, its uid and their places."""
_SHARE = 16
"""A document that would take more than this part of all there is to have is not kept."""


class Recent:
    """States by address, the least recently used one forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: OrderedDict[Address, Stored] = OrderedDict()
        self.size = 0
        """Bytes held."""

    def get(self, at: Address) -> Stored | None:
        """The state, if it is remembered."""
        if (found := self._states.get(at)) is not None:
            self._states.move_to_end(at)
        return found

    def put(self, at: Address, stored: Stored) -> None:
        self.forget(at)
        size = len(stored.body) + _OVERHEAD
        if size > self._limit // _SHARE:
            return
        self._states[at] = stored
        self.size += size
        while self.size > self._limit:
            _, oldest = self._states.popitem(last=False)
            self.size -= len(oldest.body) + _OVERHEAD

    def forget(self, at: Address) -> None:
        """The object was deleted."""
        if (former := self._states.pop(at, None)) is not None:
            self.size -= len(former.body) + _OVERHEAD
