"""The few values that the parts of the store hand to each other: an address, a stored state, a log entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from kubechain.resources.model import ObjectMeta, OwnerReference

ADDED: Final = 0
MODIFIED: Final = 1
DELETED: Final = 2


class Address(NamedTuple):
    """Where an object is: the store's number of its resource, namespace ("" for cluster scope), name."""

    resource: int
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Stored:
    """One state of an object: its document and the revision it was written under."""

    revision: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log. For DELETED, `body` is the last state under the deletion's revision."""

    revision: int
    at: Address
    type: int
    body: bytes
    before: Stored | None
    meta: ObjectMeta
    former_owners: Sequence[OwnerReference] = ()

    @property
    def owners(self) -> Sequence[OwnerReference]:
        """Who owns the object from now on; nobody once it is deleted."""
        return () if self.type == DELETED else self.meta.owner_references
