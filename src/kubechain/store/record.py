"""The values that the parts of the store share: an address, a state of an object, a log entry."""

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
    """The address of an object: the store's number of its resource, namespace ("" for cluster scope), name."""

    resource: int
    namespace: str
    name: str


class Stored(msgspec.Struct, frozen=True, gc=False):
    """One state of an object: its revision, and its document as bytes and parsed."""

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
    """One row of the log. For DELETED, `body` is the last state, with the revision of the deletion."""

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
        """The state of the object after this entry; None if it is deleted."""
        return None if self.type == DELETED else Stored(self.revision, self.body, self.document)

    @property
    def former_owners(self) -> Sequence[OwnerReference]:
        """The owners of the object before this entry."""
        return self.before.meta.owner_references if self.before else ()

    @property
    def owners(self) -> Sequence[OwnerReference]:
        """The owners of the object after this entry; none if it is deleted."""
        return () if self.type == DELETED else self.meta.owner_references
