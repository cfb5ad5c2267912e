"""Who owns whom, read from `metadata.ownerReferences`. Pure; used by wakes, indices and controllers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from kubechain.resources.kind import Kind
from kubechain.resources.model import OwnerReference, Resource
from kubechain.runtime.api import Key

R = TypeVar("R", bound=Resource)


def key_of(obj: Resource) -> Key:
    """The object's key."""
    return Key(obj.metadata.namespace, obj.metadata.name)


def controller_of(obj: Resource) -> OwnerReference | None:
    """The one owner that controls the object, or None."""
    for reference in obj.metadata.owner_references:
        if reference.controller is True:
            return reference
    return None


def owner_key(obj: Resource, owner_kind: Kind[R]) -> Key | None:
    """The key of the controlling owner where it is of that kind (any version of it), else None."""
    reference = controller_of(obj)
    if reference is None or reference.kind != owner_kind.kind:
        return None
    group = reference.api_version.rpartition("/")[0]
    return Key(obj.metadata.namespace, reference.name) if group == owner_kind.group else None


def owner_uids(obj: Resource) -> Iterable[str]:
    """The controlling owner's uid: an index function, so that an owner finds its children (`by("owner", uid)`)."""
    reference = controller_of(obj)
    return () if reference is None else (reference.uid,)
