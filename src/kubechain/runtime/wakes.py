"""Which keys a change of another kind wakes. Plain functions; the event itself is dropped.

Worker(controller, runs, wakes=(owned(tool_calls, TASK_RUNS), referred(tasks, runs, "task")))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kubechain.resources.kind import Kind
from kubechain.resources.model import Resource
from kubechain.runtime.api import Key
from kubechain.runtime.informer import Informer
from kubechain.runtime.ownership import key_of, owner_key

D = TypeVar("D", bound=Resource)
R = TypeVar("R", bound=Resource)


@dataclass(frozen=True, slots=True)
class Wake(Generic[D]):
    """Changes of `informer` wake the keys that `keys(old, new)` names; one of the two may be None."""

    informer: Informer[D]
    keys: Callable[[D | None, D | None], Iterable[Key]]


def owned(informer: Informer[D], owner_kind: Kind[R]) -> Wake[D]:
    """A child's change wakes its controlling owner of that kind (both, when it changed hands)."""

    def keys(old: D | None, new: D | None) -> Iterable[Key]:
        owners = (owner_key(obj, owner_kind) for obj in (new, old) if obj is not None)
        return dict.fromkeys(key for key in owners if key is not None)

    return Wake(informer, keys)


def referred(informer: Informer[D], through: Informer[R], index: str) -> Wake[D]:
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
    return [str(Key(obj.metadata.namespace, name)) for name in names]
