"""Documents as they were written a moment ago, still in their parts: most of them are about to be written again.

Called by writes. Forgetting is always allowed: what is not here is parsed. It holds what was decided, on disk or
on its way there; that it is still the state of its object, the revision says.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from kubechain.store.document import Document, parse
from kubechain.store.record import Address, Stored

_ROOM = 1024 * 1024
"""Bytes of documents that are kept: hundreds of runs in the middle of a turn."""
_LARGE = 16 * 1024
"""Bytes of a document that is not kept: few are as large, and parsing is what costs least of writing them."""


class Lately:
    """The last documents written, each to be taken once."""

    def __init__(self) -> None:
        self._documents: OrderedDict[Address, tuple[int, Document, int]] = OrderedDict()
        self._size = 0

    def put(self, at: Address, revision: int, document: Document, size: int) -> None:
        """`size`: its bytes. Its metadata may become somebody else's, so it is copied."""
        self._pop(at)
        if size > _LARGE:
            return
        copy = Document(msgspec.structs.replace(document.meta), document.parts)
        self._documents[at] = revision, copy, size
        self._size += size
        while self._size > _ROOM:
            self._pop(next(iter(self._documents)))

    def take(self, at: Address, stored: Stored) -> Document:
        """The parts of a state of the object; they are the caller's then."""
        revision, document = self._pop(at)
        return document if document is not None and revision == stored.revision else parse(stored.body)

    def _pop(self, at: Address) -> tuple[int, Document | None]:
        revision, document, size = self._documents.pop(at, (0, None, 0))
        self._size -= size
        return revision, document
