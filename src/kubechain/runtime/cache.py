"""The objects of one kind as last seen, with indices and change handlers. Fed by an informer, read by controllers.

Guarantees: an object never goes back to an older version; handlers run once per version, in order, after the
indices are up to date; reading costs a dictionary lookup whatever the size.
Assumptions: readers never mutate what they are given (copy first: `msgspec.structs.replace`); index functions and
handlers are total and quick, and do not feed the cache themselves.
It does no I/O and never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Generic, TypeVar

from kubechain.resources.model import Resource
from kubechain.runtime.api import Key
from kubechain.runtime.ownership import key_of

R = TypeVar("R", bound=Resource)


class _Index(Generic[R]):
    """Keys by value; a value nobody has takes no room."""

    def __init__(self, values_of: Callable[[R], Iterable[str]]) -> None:
        self._values_of = values_of
        self._keys: dict[str, dict[Key, None]] = {}

    def keys(self, value: str) -> Iterable[Key]:
        return self._keys.get(value, ())

    def move(self, key: Key, old: R | None, new: R | None) -> None:
        before = set() if old is None else set(self._values_of(old))
        after = set() if new is None else set(self._values_of(new))
        if before == after:
            return
        for value in before - after:
            holders = self._keys.get(value, {})
            holders.pop(key, None)
            if not holders:
                self._keys.pop(value, None)
        for value in after - before:
            self._keys.setdefault(value, {})[key] = None


class Cache(Generic[R]):
    """`keep` gives the form that is held (and that handlers get); it must leave metadata as it is."""

    def __init__(self, keep: Callable[[R], R] | None = None) -> None:
        self._keep = keep
        self._objects: dict[Key, R] = {}
        self._indices: dict[str, _Index[R]] = {}
        self._handlers: list[Callable[[R | None, R | None], None]] = []
        self._delivered = 0
        """Every change up to this version has been seen; what is not held and not newer is gone."""

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: Key) -> R | None:
        """The object as last seen; not to be mutated."""
        return self._objects.get(key)

    def by(self, index: str, value: str) -> Sequence[R]:
        """The objects for which that index function gives `value`. Raises KeyError for an unknown index."""
        return [self._objects[key] for key in self._indices[index].keys(value)]

    def index(self, name: str, values_of: Callable[[R], Iterable[str]]) -> None:
        """Declares an index. Values that name another object are written `namespace/name` (see `wakes.local`)."""
        if name in self._indices:
            raise ValueError(f"the index {name!r} is declared already; use it or choose another name")
        index = self._indices[name] = _Index(values_of)
        for key, obj in self._objects.items():
            index.move(key, None, obj)

    def on_change(self, handler: Callable[[R | None, R | None], None]) -> None:
        """Calls `handler(old, new)` for every later change: (None, new) is new, (old, None) is gone."""
        self._handlers.append(handler)

    def remember(self, obj: R) -> None:
        """Puts what a writer got back from its write into the cache, so that its next pass sees no stale state.

        Handlers run now, and not again when the watch delivers the same version. A version that is older than
        what is held, or that the watch has passed already (changed again or deleted since), is ignored.
        """
        if _version(obj) > self._delivered:
            self.put(obj)

    def put(self, obj: R) -> None:
        """Feeder: an object as it is now; ignored when no newer than the one held."""
        key = key_of(obj)
        old = self._objects.get(key)
        if old is not None and _version(old) >= _version(obj):
            return
        self._change(key, old, obj if self._keep is None else self._keep(obj))

    def drop(self, key: Key, version: int) -> None:
        """Feeder: the object was deleted at that version; ignored when a newer one of its name is held."""
        old = self._objects.get(key)
        if old is not None and _version(old) <= version:
            self._change(key, old, None)

    def retain(self, present: Collection[Key], version: int) -> None:
        """Feeder: at that version exactly these existed; what else is held and not newer has been deleted."""
        for key in [key for key in self._objects if key not in present]:
            self.drop(key, version)

    def delivered(self, version: int) -> None:
        """Feeder: every change up to that version has been put or dropped."""
        self._delivered = max(self._delivered, version)

    def _change(self, key: Key, old: R | None, new: R | None) -> None:
        if new is None:
            self._objects.pop(key, None)
        else:
            self._objects[key] = new
        for index in self._indices.values():
            index.move(key, old, new)
        for handler in self._handlers:
            handler(old, new)

    def list(self) -> Iterable[R]:
        """Every object, in no particular order; a snapshot that later changes do not disturb."""
        return tuple(self._objects.values())


def _version(obj: Resource) -> int:
    """Resource versions of one API server are increasing whole numbers."""
    return int(obj.metadata.resource_version or 0)
