"""The few values that the parts of the store hand to each other: an address, a state of an object, a log entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from kubechain.resources.document import Document
from kubechain.resources.model import ObjectMeta, OwnerReference

ADDED: Final = 0
MODIFIED: Final = 1
DELETED: Final = 2


class Address(NamedTuple):
    """Where an object is: the store's number of its resource, namespace ("" for cluster scope), name."""

    resource: int
    namespace: str
    name: str


class Stored(msgspec.Struct, frozen=True, gc=False):
    """One state of an object: the revision it was written under, and its document as bytes and taken apart."""

    revision: int
    body: bytes
    document: Document

    @property
    def meta(self) -> ObjectMeta:
        return self.document.meta

    @property
    def deleting(self) -> bool:
        return self.document.meta.deletion_timestamp is not None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of the log. For DELETED, `body` is the last state under the deletion's revision."""

    revision: int
    at: Address
    type: int
    body: bytes
    document: Document
    before: Stored | None

    @property
    def meta(self) -> ObjectMeta:
        return self.document.meta

    @property
    def after(self) -> Stored | None:
        """The state of the object from now on; None once it is deleted."""
        return None if self.type == DELETED else Stored(self.revision, self.body, self.document)

    @property
    def former_owners(self) -> Sequence[OwnerReference]:
        """Who owned the object until now."""
        return self.before.meta.owner_references if self.before else ()

    @property
    def owners(self) -> Sequence[OwnerReference]:
        """Who owns the object from now on; nobody once it is deleted."""
        return () if self.type == DELETED else self.meta.owner_references
