"""All writes. They are decided at once on the event loop, and then committed by the ledger.

Called by the engine for its clients, and by the background tasks of the store (cleanup). Reads the newest
decided state, lets `decisions` compute the result, and appends it to the ledger. Never waits.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kubechain.errors import ApiError, BadRequest
from kubechain.resources import refusals
from kubechain.resources.builtin import NAMESPACES
from kubechain.resources.document import Document, detached, from_plain, stamped
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind
from kubechain.resources.model import Clock, ObjectMeta, timestamp
from kubechain.runtime.api import DeleteOptions
from kubechain.runtime.patches import merge_patch
from kubechain.store import decisions
from kubechain.store.database import ADDED, DELETED, MODIFIED, Address, Entry, Stored
from kubechain.store.ledger import Landed, Ledger

_LIMIT = 3 * 512 * 1024
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_GENERATED = 58
_TRIES = 8
Decision = Callable[[Kind[Any], Document, Document], Document]


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The answer to a write, and the future that ends when it is on disk (None: nothing was written).

    `meta` is set if the rest of the answer equals what the caller gave.
    """

    body: bytes
    landed: Landed | None = None
    gone: bool = False
    meta: ObjectMeta | None = None


def _as_given(given: Document, new: Document, outcome: Outcome) -> Outcome:
    """The outcome, with a note where nothing but the metadata became another."""
    if outcome.landed is None or outcome.gone or new.parts != given.parts:
        return outcome
    return Outcome(outcome.body, outcome.landed, meta=new.meta)


class Writes:
    """Create, put, patch and delete as plain calls."""

    def __init__(self, ledger: Ledger, kinds: Mapping[int, Kind[Any]], clock: Clock) -> None:
        self._ledger = ledger
        self._kinds = kinds
        self._numbers = {kind.key: number for number, kind in kinds.items()}
        self._clock = clock

    def number(self, kind: Kind[Any]) -> int:
        """The store's number of a resource. Raises NotFound."""
        if (number := self._numbers.get(kind.key)) is None:
            raise refusals.not_served(kind)
        return number

    def address(self, kind: Kind[Any], namespace: str, name: str) -> Address:
        return Address(self.number(kind), namespace if kind.namespaced else "", name)

    def create(self, kind: Kind[Any], given: Document, *, dry_run: bool = False) -> Outcome:
        given.meta.namespace = given.meta.namespace if kind.namespaced else ""
        name = given.meta.name
        self._enter_namespace(kind, given)
        if not name and given.meta.generate_name:
            name = self._generated_name(kind, given)
        at = self.address(kind, given.meta.namespace, name)
        now = timestamp(self._clock())
        new = decisions.created(kind, given, name=name, uid=str(uuid.uuid4()), now=now)
        if (stored := self._ledger.state(at)) is not None:
            raise refusals.already_exists(kind, name, terminating=stored.deleting)
        if dry_run:
            return Outcome(self._encoded(kind, new))
        return _as_given(given, new, self._append(kind, at, ADDED, new, None))

    def put(self, kind: Kind[Any], given: Document, *, dry_run: bool = False) -> Outcome:
        return self._replace(kind, given, decisions.replaced, dry_run)

    def put_status(self, kind: Kind[Any], given: Document, *, dry_run: bool = False) -> Outcome:
        if not kind.has_status:
            raise refusals.not_served(kind)
        return self._replace(kind, given, decisions.status_replaced, dry_run)

    def patch(self, kind: Kind[Any], namespace: str, name: str, merge: JsonObject, *, status: bool) -> Outcome:
        at = self.address(kind, namespace, name)
        stored = self._existing(kind, at)
        given = from_plain(kind, merge_patch(stored.document.plain(kind), merge))
        if given.meta.name != name or given.meta.namespace != at.namespace:
            text = f"the name of the object ({given.meta.name}) does not match the name on the URL ({name})"
            raise BadRequest(text)
        decide = decisions.status_replaced if status else decisions.replaced
        return self._save(kind, at, stored, decide(kind, stored.document, given))

    def delete(self, kind: Kind[Any], namespace: str, name: str, options: DeleteOptions) -> Outcome:
        at = self.address(kind, namespace, name)
        stored = self._existing(kind, at)
        now = timestamp(self._clock())
        new = decisions.marked_for_deletion(kind, stored.document, options, now)
        return self._save(kind, at, stored, new, options.dry_run)

    def amend(self, at: Address, change: Callable[[Document], Document | None]) -> Landed | None:
        """Changes an object internally, if it still exists and `change` returns something else."""
        kind = self._kinds[at.resource]
        if (stored := self._ledger.state(at)) is None:
            return None
        new = change(stored.document)
        return None if new is None else self._save(kind, at, stored, new).landed

    def remove(self, at: Address, options: DeleteOptions) -> Landed | None:
        """Deletes an object internally. None if it does not exist or has another uid."""
        try:
            return self.delete(self._kinds[at.resource], at.namespace, at.name, options).landed
        except ApiError:
            return None

    def _replace(self, kind: Kind[Any], given: Document, decide: Decision, dry_run: bool) -> Outcome:
        at = self.address(kind, given.meta.namespace, given.meta.name)
        stored = self._existing(kind, at)
        new = decide(kind, stored.document, given)
        outcome = self._save(kind, at, stored, new, dry_run)
        if outcome.gone:  # whoever takes the last finalizer off is answered with the version that was there
            new.meta.resource_version = stored.meta.resource_version
            return Outcome(new.encode(kind), outcome.landed, gone=True)
        return _as_given(given, new, outcome)

    def _existing(self, kind: Kind[Any], at: Address) -> Stored:
        if (stored := self._ledger.state(at)) is None:
            raise refusals.not_found(kind, at.name)
        return stored

    def _enter_namespace(self, kind: Kind[Any], given: Document) -> None:
        """Raises unless the object's namespace exists and is not being deleted."""
        if not kind.namespaced:
            return
        namespace = given.meta.namespace
        if not namespace:
            raise BadRequest("an empty namespace may not be set during creation")
        stored = self._ledger.state(self.address(NAMESPACES, "", namespace))
        if stored is None:
            raise refusals.not_found(NAMESPACES, namespace)
        if stored.deleting:
            raise refusals.terminating_namespace(kind, given.meta.name, namespace)

    def _generated_name(self, kind: Kind[Any], given: Document) -> str:
        """generateName and five random letters. If the name is taken, tries again a few times."""
        name = ""
        for _ in range(_TRIES):
            suffix = "".join(secrets.choice(_SUFFIX) for _ in range(5))
            name = given.meta.generate_name[:_GENERATED] + suffix
            if self._ledger.state(self.address(kind, given.meta.namespace, name)) is None:
                break
        return name

    def _save(self, kind: Kind[Any], at: Address, stored: Stored, new: Document, dry_run: bool = False) -> Outcome:
        """Saves `new`: removes the object, writes it, or does nothing if it is unchanged."""
        gone = decisions.is_finished(kind, new)
        if not gone and decisions.unchanged(stored.document, new):
            return Outcome(stored.body)
        if dry_run:
            return Outcome(self._encoded(kind, new), gone=gone)
        if gone:
            return self._remove(kind, at, stored, new)
        return self._append(kind, at, MODIFIED, new, stored)

    def _append(self, kind: Kind[Any], at: Address, type_: int, new: Document, before: Stored | None) -> Outcome:
        revision = self._ledger.next_revision
        new.meta.resource_version = str(revision)
        body = self._encoded(kind, new)
        kept = Document(detached(new.meta), new.parts)
        return Outcome(body, self._ledger.append(Entry(revision, at, type_, body, kept, before)))

    def _remove(self, kind: Kind[Any], at: Address, stored: Stored, new: Document) -> Outcome:
        revision = self._ledger.next_revision
        last = stamped(kind, stored.body, revision)
        landed = self._ledger.append(Entry(revision, at, DELETED, last, stored.document, stored))
        new.meta = msgspec.structs.replace(new.meta, resource_version=str(revision))
        return Outcome(new.encode(kind), landed, gone=True)

    def _encoded(self, kind: Kind[Any], new: Document) -> bytes:
        body = new.encode(kind)
        if len(body) > _LIMIT:
            raise refusals.too_large(kind, new.meta.name, len(body), _LIMIT)
        return body
