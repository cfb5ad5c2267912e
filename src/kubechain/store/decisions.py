"""Computes the result of a write: create, replace, replace the status, mark for deletion.

Called by `writes` and `cleanup` with the stored state and the given document. Pure: returns the next document or
raises an ApiError. The callers assign revisions, store and remove.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from msgspec import Raw

from kubechain.errors import BadRequest, Cause
from kubechain.resources import document, refusals
from kubechain.resources.builtin import EVENTS, NAMESPACES
from kubechain.resources.document import Document, same, same_meta
from kubechain.resources.kind import Kind
from kubechain.resources.model import ObjectMeta
from kubechain.runtime.api import DeleteOptions

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
IMMORTAL = frozenset({"default", "kube-system"})
_NAME_LABEL = "kubernetes.io/metadata.name"
_ACTIVE = Raw(b'{"phase":"Active"}')
_TERMINATING = Raw(b'{"phase":"Terminating"}')
_FINALIZED_BY_KUBERNETES = Raw(b'{"finalizers":["kubernetes"]}')
_FINALIZED = Raw(b"{}")
_NOBODY = Raw(b"{}")
_VERSION_OPTIONAL = {"", "rbac.authorization.k8s.io", EVENTS.group}


def created(kind: Kind[Any], given: Document, *, name: str, uid: str, now: str) -> Document:
    """A new object, with its identity and the initial status of its kind. Raises Invalid, BadRequest."""
    wanted = given.meta
    if wanted.resource_version not in ("", "0"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    meta = _settable(wanted)
    meta.name, meta.namespace, meta.uid, meta.creation_timestamp = name, wanted.namespace, uid, now
    meta.generate_name = wanted.generate_name
    meta.generation = 1 if kind.ours else 0
    _check(kind, meta, None, document.name_problems(kind, name))
    parts = dict(given.parts)
    if kind == NAMESPACES or kind == NAMESPACES.raw:
        meta.labels = {**meta.labels, _NAME_LABEL: name}
        parts |= {"spec": _FINALIZED_BY_KUBERNETES, "status": _ACTIVE}
    elif kind.has_status:
        parts.pop("status", None)
        if (status := _initial_status(kind)) is not None:
            parts["status"] = status
    return Document(meta, parts)


def replaced(kind: Kind[Any], old: Document, given: Document) -> Document:
    """The object with everything but its status as given. Raises Conflict, Invalid."""
    _compare(kind, old.meta, given.meta)
    meta = _settable(given.meta)
    _keep_identity(meta, old.meta)
    if not given.meta.managed_fields:
        meta.managed_fields = old.meta.managed_fields
    _check(kind, meta, old.meta, _new_finalizers(meta, old.meta))
    parts = dict(given.parts)
    if kind.has_status:
        parts.pop("status", None)
        if "status" in old.parts:
            parts["status"] = old.parts["status"]
    if kind == NAMESPACES or kind == NAMESPACES.raw:
        parts["spec"] = old.parts.get("spec", _FINALIZED)
    if kind.ours and not _same_parts(parts, old.parts, ignore="status"):
        meta.generation += 1
    return Document(meta, parts)


def status_replaced(kind: Kind[Any], old: Document, given: Document) -> Document:
    """The object with the status as given and nothing else changed, managedFields aside. Raises Conflict."""
    _compare(kind, old.meta, given.meta)
    meta = msgspec.structs.replace(old.meta)
    if given.meta.managed_fields:
        meta.managed_fields = _tracked(given.meta)
    parts = dict(old.parts)
    parts.pop("status", None)
    if "status" in given.parts:
        parts["status"] = given.parts["status"]
    return Document(meta, parts)


def unchanged(old: Document, new: Document) -> bool:
    """Whether writing `new` would change nothing that anyone can see.

    Statuses of different length differ; both are compact JSON. This avoids comparing large ones.
    """
    if len(old.parts.get("status", b"")) != len(new.parts.get("status", b"")):
        return False
    return same_meta(old.meta, new.meta) and _same_parts(old.parts, new.parts)


def marked_for_deletion(kind: Kind[Any], old: Document, options: DeleteOptions, now: str) -> Document:
    """The object after a delete; `is_finished` says whether it is removed. Raises Conflict, Forbidden."""
    _preconditions(kind, old.meta, options)
    is_namespace = kind.key == NAMESPACES.key
    if is_namespace and old.meta.name in IMMORTAL:
        raise refusals.forbidden(kind, old.meta.name, "this namespace may not be deleted")
    meta = msgspec.structs.replace(old.meta, finalizers=_finalizers(old.meta, options))
    if meta.deletion_timestamp is None:
        meta.deletion_timestamp = now
        meta.deletion_grace_period_seconds = None if is_namespace else 0
        meta.generation += 1 if meta.generation else 0
    parts = {**old.parts, "status": _TERMINATING} if is_namespace else old.parts
    return Document(meta, parts)


def finalized(old: Document) -> Document:
    """A namespace whose contents were deleted."""
    return Document(old.meta, {**old.parts, "spec": _FINALIZED})


def is_finished(kind: Kind[Any], new: Document) -> bool:
    """Whether a deleted object can be removed."""
    if new.meta.deletion_timestamp is None or new.meta.finalizers:
        return False
    return kind.key != NAMESPACES.key or same(new.parts.get("spec"), _FINALIZED)


def _settable(meta: ObjectMeta) -> ObjectMeta:
    """The metadata that a client may set."""
    return ObjectMeta(
        labels=meta.labels,
        annotations=meta.annotations,
        owner_references=meta.owner_references,
        finalizers=meta.finalizers,
        managed_fields=_tracked(meta),
    )


def _tracked(meta: ObjectMeta) -> list[Raw]:
    """Who manages which fields; one empty entry says that nobody does any more."""
    return [] if meta.managed_fields == [_NOBODY] else meta.managed_fields


def _keep_identity(meta: ObjectMeta, old: ObjectMeta) -> None:
    meta.name, meta.namespace, meta.generate_name = old.name, old.namespace, old.generate_name
    meta.uid, meta.creation_timestamp, meta.generation = old.uid, old.creation_timestamp, old.generation
    meta.resource_version = old.resource_version
    meta.deletion_timestamp = old.deletion_timestamp
    meta.deletion_grace_period_seconds = old.deletion_grace_period_seconds


def _compare(kind: Kind[Any], old: ObjectMeta, given: ObjectMeta) -> None:
    """Compare-and-swap: compares the uid and the version that the caller gave or must give."""
    if given.uid and given.uid != old.uid:
        why = f"Precondition failed: UID in precondition: {given.uid}, UID in object meta: {old.uid}"
        raise refusals.conflict(kind, old.name, why)
    if given.resource_version in ("", "0"):
        if kind.group in _VERSION_OPTIONAL:
            return
        raise refusals.unversioned(kind, old.name)
    if given.resource_version != old.resource_version:
        raise refusals.conflict(kind, old.name)


def _preconditions(kind: Kind[Any], old: ObjectMeta, options: DeleteOptions) -> None:
    if options.uid and options.uid != old.uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({old.uid}). "
            "The object might have been deleted and then recreated"
        )
        raise refusals.conflict(kind, old.name, why, called=kind.kind)
    if options.resource_version and options.resource_version != old.resource_version:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
            f"ResourceVersion in record ({old.resource_version}). The object might have been modified"
        )
        raise refusals.conflict(kind, old.name, why, called=kind.kind)


def _finalizers(meta: ObjectMeta, options: DeleteOptions) -> list[str]:
    """The finalizers with the propagation policy among them, where one is given."""
    if not options.propagation:
        return meta.finalizers
    kept = [f for f in meta.finalizers if f not in (FOREGROUND, ORPHAN)]
    wanted = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(options.propagation, [])
    return kept + wanted


def _new_finalizers(meta: ObjectMeta, old: ObjectMeta) -> list[Cause]:
    added = [f for f in meta.finalizers if f not in old.finalizers]
    if old.deletion_timestamp is None or not added:
        return []
    listed = ", ".join(f'"{f}"' for f in added)
    text = (
        "Forbidden: no new finalizers can be added if the object is being deleted, "
        f"found new finalizers []string{{{listed}}}"
    )
    return [Cause("FieldValueForbidden", text, "metadata.finalizers")]


def _check(kind: Kind[Any], meta: ObjectMeta, old: ObjectMeta | None, causes: list[Cause]) -> None:
    causes = causes + document.problems(meta, old)
    if causes:
        raise refusals.invalid(kind, meta.name, *causes)


def _same_parts(one: dict[str, Raw], other: dict[str, Raw], ignore: str = "") -> bool:
    return all(same(one.get(part), other.get(part)) for part in one.keys() | other.keys() if part != ignore)


@cache
def _initial_status(kind: Kind[Any]) -> Raw | None:
    return None if kind.initial_status is None else Raw(msgspec.json.encode(kind.initial_status))
