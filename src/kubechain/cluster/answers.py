"""What an API server answers, as our types: a `Status` is an error, a list a page, a line of a watch a change.

Called by `remote` and `connection`. Pure.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec
from msgspec import Raw

from kubechain import errors
from kubechain.errors import ApiError, Cause, Details, Gone
from kubechain.resources.kind import Kind, T
from kubechain.runtime.api import Bookmark, Change, Key, Page

_INITIAL_END = "k8s.io/initial-events-end"
_REASONS: dict[str, type[ApiError]] = {
    **{kind.reason: kind for kind in ApiError.__subclasses__()},
    "Gone": Gone,
    "ServerTimeout": errors.Timeout,
    "ServiceUnavailable": errors.InternalError,
}
_CODES: dict[int, type[ApiError]] = {
    **{kind.code: kind for kind in ApiError.__subclasses__() if kind is not errors.AlreadyExists},
    **dict.fromkeys((502, 503), errors.InternalError),
}
_TOO_LARGE = ("etcdserver: request is too large", "trying to send message larger than max")
"""What etcd and the server's own connection to it say of an object that does not fit; neither names a reason."""


class _Cause(msgspec.Struct):
    reason: str = ""
    message: str = ""
    field: str = ""


class _Details(msgspec.Struct):
    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    causes: list[_Cause] = []
    retry_after: int = msgspec.field(default=0, name="retryAfterSeconds")


class _StatusMeta(msgspec.Struct):
    continue_token: str = msgspec.field(default="", name="continue")


class Status(msgspec.Struct):
    """The answer of an API server that is not an object."""

    kind: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    code: int = 0
    details: _Details | None = None
    metadata: _StatusMeta = msgspec.field(default_factory=_StatusMeta)


class Meta(msgspec.Struct, rename="camel"):
    """The part of an object's metadata that the wire needs."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    annotations: dict[str, str] | None = None


class Head(msgspec.Struct, rename="camel"):
    """The beginning of any object."""

    api_version: str = ""
    kind: str = ""
    metadata: Meta = msgspec.field(default_factory=Meta)


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: Raw


_status = msgspec.json.Decoder(Status)
_head = msgspec.json.Decoder(Head)
_list = msgspec.json.Decoder(_List)
_event = msgspec.json.Decoder(_Event)


def head(document: bytes | Raw) -> Head:
    """Names and versions of an object. Raises msgspec.ValidationError."""
    return _head.decode(document)


def status(document: bytes) -> Status | None:
    """The Status in an answer; None where it is an object, or what a proxy says in place of one."""
    try:
        found = _status.decode(document)
    except msgspec.MsgspecError:
        return None
    return found if found.kind == "Status" else None


def refusal(code: int, document: bytes, retry_after: str = "") -> ApiError:
    """The error in an answer that is no success; `retry_after` is the header."""
    asked = int(retry_after) if retry_after.isdigit() else 0
    found = status(document)
    if found is None:
        said = document.decode(errors="replace").strip()[:200]
        text = "the server could not find the requested resource" if code == 404 else f"HTTP {code}: {said}"
        return _CODES.get(code, ApiError)(text, Details(retry_after=asked))
    told = found.details or _Details()
    causes = tuple(Cause(c.reason, c.message, c.field) for c in told.causes)
    details = Details(told.name, told.group, told.kind, told.uid, causes, told.retry_after or asked)
    type_ = _REASONS.get(found.reason) or _CODES.get(found.code or code, ApiError)
    if any(text in found.message for text in _TOO_LARGE):
        type_ = errors.TooLarge
    error = type_(found.message, details, reason=None if type_ is errors.TooLarge else found.reason or None)
    if isinstance(error, Gone):
        error.reason, error.continue_token = Gone.reason, found.metadata.continue_token
    return error


def page(kind: Kind[T], document: bytes) -> Page[T]:
    """The objects of a list, each whole: lists of built-in kinds leave apiVersion and kind out."""
    found = _list.decode(document)
    items = [kind.decode(with_type(kind, bytes(item))) for item in found.items or ()]
    meta = found.metadata
    return Page(items, meta.resource_version, meta.continue_token, meta.remaining_item_count)


def with_type(kind: Kind[T], document: bytes) -> bytes:
    """The document with apiVersion and kind, put in where it does not say them."""
    said = head(document)
    if said.kind and said.api_version:
        return document
    rest = document.lstrip()[1:].lstrip()
    missing = "" if said.api_version else f'"apiVersion":"{kind.api_version}",'
    missing += "" if said.kind else f'"kind":"{kind.kind}",'
    start = "{" + (missing[:-1] if rest.startswith(b"}") else missing)
    return start.encode() + rest


def change(kind: Kind[T], line: bytes) -> Change[T] | Bookmark:
    """One line of a watch. Raises Gone and other errors that the server tells in the stream."""
    event = _event.decode(line)
    if event.type == "ERROR":
        _raise(bytes(event.object))
    meta = head(event.object).metadata
    if event.type == "BOOKMARK":
        return Bookmark(meta.resource_version, initial_end=(meta.annotations or {}).get(_INITIAL_END) == "true")
    if event.type not in ("ADDED", "MODIFIED", "DELETED"):
        raise errors.InternalError(f"the server sent a watch event of the unknown type {event.type!r}")
    key = Key(meta.namespace, meta.name)
    return Change(event.type, key, meta.resource_version, kind.decode(bytes(event.object)))  # type: ignore[arg-type]


def _raise(document: bytes) -> NoReturn:
    raise refusal(500, document)
