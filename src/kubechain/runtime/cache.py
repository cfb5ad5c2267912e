"""The objects of one kind as last seen, with indices and change handlers. Fed by an informer, read by controllers.

Guarantees: an object never goes back to an older version; handlers run once per version, in order, after the
indices are up to date; reading costs a dictionary lookup, and a decoding if the object was not used recently.
Assumptions: readers never mutate what they are given (copy first: `msgspec.structs.replace`); index functions and
handlers are total and quick, and do not feed the cache themselves.
It does no I/O and never waits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from sys import intern
from time import monotonic
from typing import Generic, TypeVar

from kubechain.resources.kind import Kind
from kubechain.resources.model import Resource
from kubechain.runtime.api import Key, key_of

R = TypeVar("R", bound=Resource)
RECENT = 256
"""Objects of a kind that are kept decoded."""
TOLD = 1_000
"""Objects whose last write is remembered as such."""


class Shelf(Generic[R]):
    """Objects by key: the `recent` ones that were put last as they are, all others as their JSON.

    An object takes less than half of the memory as JSON: 50,000 waiting runs with their ToolCalls take 120 MB
    instead of 280. Decoding one takes some 10 us. Without a kind, all objects are kept decoded.
    """

    def __init__(self, kind: Kind[R] | None = None, recent: int = RECENT) -> None:
        self._kind = kind
        self._room = recent
        self._recent: OrderedDict[Key, R] = OrderedDict()
        self._documents: dict[Key, tuple[int, bytes]] = {}
        """Resource version and JSON."""

    def __len__(self) -> int:
        return len(self._recent) + len(self._documents)

    def __iter__(self) -> Iterator[Key]:
        yield from self._recent
        yield from self._documents

    def get(self, key: Key) -> R | None:
        """The object, or None. If it is kept as JSON, it is decoded for this caller."""
        found = self._recent.get(key)
        if found is None and self._kind is not None and (document := self._documents.get(key)) is not None:
            return self._kind.decode(document[1])
        return found

    def version(self, key: Key) -> int | None:
        """The resource version of the object, without decoding it; None if there is none."""
        found = self._recent.get(key)
        if found is not None:
            return version(found)
        document = self._documents.get(key)
        return None if document is None else document[0]

    def put(self, key: Key, obj: R) -> None:
        """Adds or replaces the object."""
        self._documents.pop(key, None)
        self._recent[key] = obj
        self._recent.move_to_end(key)
        if self._kind is not None and len(self._recent) > self._room:
            oldest, resting = self._recent.popitem(last=False)
            self._documents[oldest] = version(resting), self._kind.encode(resting)

    def pop(self, key: Key) -> None:
        self._recent.pop(key, None)
        self._documents.pop(key, None)


def version(obj: Resource) -> int:
    """Resource versions of one API server are increasing whole numbers."""
    return int(obj.metadata.resource_version or 0)


class _Index(Generic[R]):
    """Keys by value. Values without keys take no memory."""

    def __init__(self, values_of: Callable[[R], Iterable[str]]) -> None:
        self._values_of = values_of
        self._keys: dict[str, Key | dict[Key, None]] = {}
        """Most values of an index have one holder: that one stands alone."""

    def keys(self, value: str) -> Iterable[Key]:
        holders = self._keys.get(value, ())
        return (holders,) if isinstance(holders, Key) else holders

    def move(self, key: Key, old: R | None, new: R | None) -> None:
        before = () if old is None else tuple(self._values_of(old))
        after = () if new is None else tuple(self._values_of(new))
        if before == after:
            return
        stay = set(before).intersection(after)
        for value in before:
            if value not in stay:
                self._remove(value, key)
        for value in after:
            if value not in stay:
                self._add(value, key)

    def _add(self, value: str, key: Key) -> None:
        holders = self._keys.get(value)
        if holders is None:
            self._keys[value] = key
        elif isinstance(holders, Key):
            self._keys[value] = {holders: None, key: None}
        else:
            holders[key] = None

    def _remove(self, value: str, key: Key) -> None:
        holders = self._keys.get(value)
        if isinstance(holders, dict):
            holders.pop(key, None)
        if not holders or holders == key:
            self._keys.pop(value, None)


class Cache(Generic[R]):
    """With a `kind`, objects that were not used recently are kept as JSON."""

    def __init__(
        self,
        kind: Kind[R] | None = None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._clock = clock
        self._objects: Shelf[R] = Shelf(kind)
        self._indices: dict[str, _Index[R]] = {}
        self._handlers: list[Callable[[R | None, R | None], None]] = []
        self._told: dict[Key, tuple[int, float]] = {}
        """The versions that writers were answered last, and when."""
        self._delivered = 0
        """Every change up to this version has been seen; what is not held and not newer is gone."""

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: Key) -> R | None:
        """The object as last seen; not to be mutated."""
        return self._objects.get(key)

    def by(self, index: str, value: str) -> Sequence[R]:
        """The objects for which that index function gives `value`. Raises KeyError for an unknown index."""
        found = (self._objects.get(key) for key in self._indices[index].keys(value))
        return [obj for obj in found if obj is not None]

    def keys_by(self, index: str, value: str) -> Sequence[Key]:
        """Their keys alone, without decoding any. Raises KeyError for an unknown index."""
        return tuple(self._indices[index].keys(value))

    def index(self, name: str, values_of: Callable[[R], Iterable[str]]) -> None:
        """Declares an index. Values that name another object are written `namespace/name` (see `wakes.local`)."""
        if name in self._indices:
            raise ValueError(f"the index {name!r} is declared already; use it or choose another name")
        index = self._indices[name] = _Index(values_of)
        for key in self._objects:
            index.move(key, None, self._objects.get(key))

    def on_change(self, handler: Callable[[R | None, R | None], None]) -> None:
        """Calls `handler(old, new)` for every later change: (None, new) is new, (old, None) is gone."""
        self._handlers.append(handler)

    def remember(self, obj: R) -> None:
        """Puts the answer to a write into the cache, so that the writer's next pass does not see an older state.

        Handlers run now, and not again when the watch delivers the same version. A version that is older than
        what is held, or that the watch has passed already (changed again or deleted since), is ignored.
        """
        key, seen = key_of(obj), version(obj)
        if seen > self._delivered:
            self._put(key, seen, obj)
        self._told.pop(key, None)
        self._told[key] = seen, self._clock()
        if len(self._told) > TOLD:
            del self._told[next(iter(self._told))]

    def fresh(self, obj: R, within: float) -> bool:
        """Whether this version was the answer to a write less than `within` seconds ago, and is still the
        newest here."""
        seen, at = self._told.get(key_of(obj), (-1, 0.0))
        return seen == version(obj) == self._objects.version(key_of(obj)) and self._clock() - at < within

    def knows(self, key: Key, seen: int) -> bool:
        """Feeder: that version, or a newer one, is held already: it need not be decoded."""
        held = self._objects.version(key)
        return held is not None and held >= seen

    def put(self, obj: R) -> None:
        """Feeder: an object as it is now; ignored when no newer than the one held."""
        self._put(key_of(obj), version(obj), obj)

    def _put(self, key: Key, seen: int, obj: R) -> None:
        if not self.knows(key, seen):
            self._change(key, self._objects.get(key), obj)

    def drop(self, key: Key, at: int) -> None:
        """Feeder: the object was deleted at that version; ignored when a newer one of its name is held."""
        held = self._objects.version(key)
        if held is not None and held <= at:
            self._change(key, self._objects.get(key), None)

    def retain(self, present: Collection[Key], at: int) -> None:
        """Feeder: at that version exactly these existed; what else is held and not newer has been deleted."""
        for key in [key for key in self._objects if key not in present]:
            self.drop(key, at)

    def delivered(self, at: int) -> None:
        """Feeder: every change up to that version has been put or dropped."""
        self._delivered = max(self._delivered, at)

    def _change(self, key: Key, old: R | None, new: R | None) -> None:
        if new is None:
            self._objects.pop(key)
        else:
            key = Key(intern(key.namespace), key.name)
            self._objects.put(key, new)
        for index in self._indices.values():
            index.move(key, old, new)
        for handler in self._handlers:
            handler(old, new)

    def list(self) -> Iterator[R]:
        """Every object, in no particular order; decoded one after the other, so that many cost little room."""
        for key in tuple(self._objects):
            obj = self._objects.get(key)
            if obj is not None:
                yield obj
