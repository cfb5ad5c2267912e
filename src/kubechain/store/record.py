"""The few values that the parts of the store hand to each other: an address, a stored state, a log entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from kubechain.resources.model import ObjectMeta, OwnerReference
from kubechain.runtime.api import Key

ADDED: Final = 0
MODIFIED: Final = 1
DELETED: Final = 2


class Address(NamedTuple):
    """Where an object is: the store's number of its resource, namespace ("" for cluster scope), name."""

    resource: int
    namespace: str
    name: str

    @property
    def key(self) -> Key:
        return Key(self.namespace, self.name)


class Stored(msgspec.Struct, frozen=True, gc=False):
    """One state of an object: the revision it was written under, its document, and what is asked for most."""

    revision: int
    body: bytes
    uid: str
    deleting: bool


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of the log. For DELETED, `body` is the last state under the deletion's revision."""

    revision: int
    at: Address
    type: int
    body: bytes
    before: Stored | None
    meta: ObjectMeta
    former_owners: Sequence[OwnerReference] = ()

    @property
    def after(self) -> Stored | None:
        """The state of the object from now on; None once it is deleted."""
        if self.type == DELETED:
            return None
        return Stored(self.revision, self.body, self.meta.uid, self.meta.deletion_timestamp is not None)

    @property
    def owners(self) -> Sequence[OwnerReference]:
        """Who owns the object from now on; nobody once it is deleted."""
        return () if self.type == DELETED else self.meta.owner_references
