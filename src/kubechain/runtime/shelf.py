"""Objects by key, the recent ones as they are, all others as compressed JSON: what a cache of many objects holds.

Used by `Cache` alone. An object that nobody touches costs half of its document; unpacking it takes some 10 us.
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
"""Objects of a kind that are kept decoded."""


class Shelf(Generic[R]):
    """`recent` is how many objects stay decoded; without a kind all of them do."""

    def __init__(self, kind: Kind[R] | None = None, recent: int = RECENT) -> None:
        self._kind = kind
        self._room = recent
        self._recent: OrderedDict[Key, R] = OrderedDict()
        self._packed: dict[Key, tuple[int, bytes]] = {}

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
        return None if packed is None or self._kind is None else self._kind.decode(zlib.decompress(packed[1]))

    def version(self, key: Key) -> int | None:
        """The resource version held, without decoding; None where there is none."""
        found = self._recent.get(key)
        if found is not None:
            return version(found)
        packed = self._packed.get(key)
        return None if packed is None else packed[0]

    def put(self, key: Key, obj: R) -> None:
        self._packed.pop(key, None)
        if key in self._recent:
            self._recent[key] = obj
            self._recent.move_to_end(key)
            return
        self._recent[Key(intern(key.namespace), key.name)] = obj
        if self._kind is not None and len(self._recent) > self._room:
            oldest, packed = self._recent.popitem(last=False)
            self._packed[oldest] = (version(packed), zlib.compress(self._kind.encode(packed), 1))

    def pop(self, key: Key) -> None:
        self._recent.pop(key, None)
        self._packed.pop(key, None)


def version(obj: Resource) -> int:
    """Resource versions of one API server are increasing whole numbers."""
    return int(obj.metadata.resource_version or 0)
