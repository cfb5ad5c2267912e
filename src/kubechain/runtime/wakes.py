"""Which keys a change of an object of another kind wakes. The change itself is not passed on.

Worker(controller, runs, wakes=(owned(tool_calls, runs), referred(tasks, runs, "task")))
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from kubechain.resources.kind import Kind, controller_of
from kubechain.resources.model import Resource
from kubechain.runtime.api import Key, key_of
from kubechain.runtime.informer import Informer

D = TypeVar("D", bound=Resource)
R = TypeVar("R", bound=Resource)
S = TypeVar("S", bound=Resource, covariant=True)


class Source(Protocol[S]):
    """What tells of changes: an informer of a kind, or of those objects of it that are named."""

    @property
    def synced(self) -> asyncio.Event: ...

    def on_change(self, handler: Callable[[S | None, S | None], None]) -> None: ...


class Wake(Struct, Generic[D], frozen=True):
    """Changes of `informer` wake the keys that `keys(old, new)` names; one of the two may be None."""

    informer: Source[D]
    keys: Callable[[D | None, D | None], Iterable[Key]]


def owned(informer: Source[D], owners: Informer[R]) -> Wake[D]:
    """A change of a child wakes its controlling owner among `owners`; if the owner changed, both.

    An owner is known by its uid: one that took the name of a deleted one is not woken by the other's children, and
    one that has not been seen yet is looked at when it is.
    """

    def keys(old: D | None, new: D | None) -> Iterable[Key]:
        found = (_owner(obj, owners) for obj in (new, old) if obj is not None)
        return dict.fromkeys(key for key in found if key is not None)

    return Wake(informer, keys)


def _owner(child: Resource, owners: Informer[R]) -> Key | None:
    key, reference = _owner_key(child, owners.kind), controller_of(child)
    held = owners.get(key) if key is not None else None
    return key if held is not None and reference is not None and held.metadata.uid == reference.uid else None


def _owner_key(obj: Resource, owner_kind: Kind[R]) -> Key | None:
    """The key of the controlling owner where it is of that kind (any version of it), else None."""
    reference = controller_of(obj)
    if reference is None or reference.kind != owner_kind.kind:
        return None
    group = reference.api_version.rpartition("/")[0]
    return Key(obj.metadata.namespace, reference.name) if group == owner_kind.group else None


def referred(informer: Source[D], through: Informer[R], index: str) -> Wake[D]:
    """A change wakes every object of `through` that names the changed one in its index `index`.

    Declare the index first: `runs.index("task", lambda run: local(run, [run.spec.task]))`. KeyError if it is not.
    """
    through.by(index, "")

    def keys(old: D | None, new: D | None) -> Iterable[Key]:
        changed = new if new is not None else old
        return () if changed is None else through.keys_by(index, str(key_of(changed)))

    return Wake(informer, keys)


def local(obj: Resource, names: Iterable[str]) -> list[str]:
    """References by name in the object's own namespace, as `referred` wants them in an index: `namespace/name`."""
    namespace = obj.metadata.namespace
    return [f"{namespace}/{name}" if namespace else name for name in names]
