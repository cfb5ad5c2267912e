"""Objects by key, the recent ones as they are, all others as compressed JSON: what a cache of many objects holds.

Used by `Cache` alone. Objects of a kind have most of their text in common: that is kept once, so an object that
nobody touches costs little more than what is its own. Unpacking it takes some 10 us.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator
from sys import intern
from typing import Generic, TypeVar

from kubechain.resources.kind import Kind
from kubechain.resources.model import Resource
from kubechain.runtime.api import Key

R = TypeVar("R", bound=Resource)
RECENT = 256
"""Objects of a kind that are kept decoded, and a few more."""
_AT_ONCE = 32
"""Objects that are packed together: in one go each takes half as long."""
_WINDOW = -13
"""8 KiB, without header and check sum; a larger one takes longer to set up than most objects take to pack."""
_VERSION = 8
"""Bytes of the resource version before a packed document."""


class Shelf(Generic[R]):
    """`recent` is how many objects stay decoded; without a kind all of them do."""

    def __init__(self, kind: Kind[R] | None = None, recent: int = RECENT) -> None:
        self._kind = kind
        self._room = recent
        self._recent: OrderedDict[Key, R] = OrderedDict()
        self._packed: dict[Key, bytes] = {}
        self._press: _Press | None = None

    def __len__(self) -> int:
        return len(self._recent) + len(self._packed)

    def __contains__(self, key: Key) -> bool:
        return key in self._recent or key in self._packed

    def __iter__(self) -> Iterator[Key]:
        yield from self._recent
        yield from self._packed

    def get(self, key: Key) -> R | None:
        """The object, or None. A packed one is decoded for this caller and stays packed."""
        found = self._recent.get(key)
        if found is not None:
            return found
        packed = self._packed.get(key)
        if packed is None or self._press is None or self._kind is None:
            return None
        return self._kind.decode(self._press.unpack(packed[_VERSION:]))

    def version(self, key: Key) -> int | None:
        """The resource version held, without decoding; None where there is none."""
        found = self._recent.get(key)
        if found is not None:
            return version(found)
        packed = self._packed.get(key)
        return None if packed is None else int.from_bytes(packed[:_VERSION])

    def put(self, key: Key, obj: R) -> Key:
        """Takes the object, and returns the key under which it is held: one that is equal and lasts."""
        self._packed.pop(key, None)
        if key in self._recent:
            self._recent[key] = obj
            self._recent.move_to_end(key)
            return key
        key = Key(intern(key.namespace), key.name)
        self._recent[key] = obj
        if self._kind is not None and len(self._recent) >= self._room + _AT_ONCE:
            for _ in range(_AT_ONCE):
                self._pack(self._kind, *self._recent.popitem(last=False))
        return key

    def pop(self, key: Key) -> None:
        self._recent.pop(key, None)
        self._packed.pop(key, None)

    def _pack(self, kind: Kind[R], key: Key, obj: R) -> None:
        document = kind.encode(obj)
        if self._press is None:
            self._press = _Press(document)
        self._packed[key] = version(obj).to_bytes(_VERSION) + self._press.pack(document)


class _Press:
    """Packs documents that look like `example`: what they share with it takes no room."""

    def __init__(self, example: bytes) -> None:
        self._packing = zlib.compressobj(1, zlib.DEFLATED, _WINDOW, 5, zlib.Z_DEFAULT_STRATEGY, example)
        self._unpacking = zlib.decompressobj(_WINDOW, example)

    def pack(self, document: bytes) -> bytes:
        packing = self._packing.copy()
        return packing.compress(document) + packing.flush()

    def unpack(self, packed: bytes) -> bytes:
        return self._unpacking.copy().decompress(packed)


def version(obj: Resource) -> int:
    """Resource versions of one API server are increasing whole numbers."""
    return int(obj.metadata.resource_version or 0)
