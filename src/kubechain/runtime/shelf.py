"""Objects by key, the recent ones as they are, all others as compressed JSON: what a cache of many objects holds.

Used by `Cache` alone. Objects of a kind have most of their text in common: that is kept once, so an object that
nobody touches costs little more than what is its own. They are packed a few at a time, which takes a third of the
time that it takes one by one; a block is gone when all of it are. Unpacking an object takes some 15 us.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from sys import intern
from typing import Generic, TypeVar

from msgspec import Struct

from kubechain.resources.kind import Kind
from kubechain.resources.model import Resource
from kubechain.runtime.api import Key

R = TypeVar("R", bound=Resource)
RECENT = 256
"""Objects of a kind that are kept decoded, and a few more."""
_AT_ONCE = 32
"""Objects that are packed in one go: each takes half as long."""
_BLOCK = 8
"""Objects that are packed together."""
_LARGE = 4096
"""Bytes of a document that makes up a block of its own: the others would be unpacked with it."""
_WINDOW = -13
"""8 KiB, without header and check sum; a larger one takes longer to set up than most objects take to pack."""
_BETWEEN = b"\0"
"""Stands between the documents of a block, and never in one: JSON has no such byte."""


class _Packed(Struct, frozen=True, gc=False):
    """An object in a block of them: its resource version, and where it stands."""

    version: int
    block: bytes
    index: int


class Shelf(Generic[R]):
    """`recent` is how many objects stay decoded; without a kind all of them do."""

    def __init__(self, kind: Kind[R] | None = None, recent: int = RECENT) -> None:
        self._kind = kind
        self._room = recent
        self._recent: OrderedDict[Key, R] = OrderedDict()
        self._packed: dict[Key, _Packed] = {}
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
        return self._kind.decode(self._press.unpack(packed.block)[packed.index])

    def version(self, key: Key) -> int | None:
        """The resource version held, without decoding; None where there is none."""
        found = self._recent.get(key)
        if found is not None:
            return version(found)
        packed = self._packed.get(key)
        return None if packed is None else packed.version

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
            self._pack(self._kind, [self._recent.popitem(last=False) for _ in range(_AT_ONCE)])
        return key

    def pop(self, key: Key) -> None:
        self._recent.pop(key, None)
        self._packed.pop(key, None)

    def _pack(self, kind: Kind[R], objects: Sequence[tuple[Key, R]]) -> None:
        documents = [(key, version(obj), kind.encode(obj)) for key, obj in objects]
        small = [one for one in documents if len(one[2]) <= _LARGE]
        for start in range(0, len(small), _BLOCK):
            self._press_together(small[start : start + _BLOCK])
        for one in documents:
            if len(one[2]) > _LARGE:
                self._press_together([one])

    def _press_together(self, block: Sequence[tuple[Key, int, bytes]]) -> None:
        if self._press is None:
            self._press = _Press(block[0][2])
        packed = self._press.pack([document for _, _, document in block])
        for index, (key, held, _) in enumerate(block):
            self._packed[key] = _Packed(held, packed, index)


class _Press:
    """Packs documents that look like `example`: what they share with it, and with each other, takes no room."""

    def __init__(self, example: bytes) -> None:
        self._packing = zlib.compressobj(1, zlib.DEFLATED, _WINDOW, 5, zlib.Z_DEFAULT_STRATEGY, example)
        self._unpacking = zlib.decompressobj(_WINDOW, example)

    def pack(self, documents: Sequence[bytes]) -> bytes:
        packing = self._packing.copy()
        return packing.compress(_BETWEEN.join(documents)) + packing.flush()

    def unpack(self, packed: bytes) -> Sequence[bytes]:
        return self._unpacking.copy().decompress(packed).split(_BETWEEN)


def version(obj: Resource) -> int:
    """Resource versions of one API server are increasing whole numbers."""
    return int(obj.metadata.resource_version or 0)
