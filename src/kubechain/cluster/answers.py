"""Decodes the answers of an API server: a `Status` becomes an error, a list a page, a line of a watch a change.

Called by `remote` and `http`. Pure.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec
from msgspec import Raw

from kubechain import errors
from kubechain.errors import ApiError
from kubechain.resources.json import JsonValue
from kubechain.resources.kind import Kind, T
from kubechain.resources.status import error_of
from kubechain.runtime.api import Bookmark, Change, Key, Page

_INITIAL_END = "k8s.io/initial-events-end"


class _Status(msgspec.Struct):
    kind: str = ""


class Meta(msgspec.Struct, rename="camel"):
    """The part of an object's metadata that requests need."""

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


class _WatchEvent(msgspec.Struct):
    type: str
    object: Raw


_status = msgspec.json.Decoder(_Status)
_head = msgspec.json.Decoder(Head)
_list = msgspec.json.Decoder(_List)
_event = msgspec.json.Decoder(_WatchEvent)


def head(document: bytes | Raw) -> Head:
    """Names and versions of an object. Raises msgspec.ValidationError."""
    return _head.decode(document)


def is_status(document: bytes) -> bool:
    """Whether an answer is a Status, in place of an object."""
    try:
        return _status.decode(document).kind == "Status"
    except msgspec.MsgspecError:
        return False


def refusal(code: int, document: bytes, retry_after: str = "") -> ApiError:
    """The error in an answer that is not a success; `retry_after` is the header."""
    try:
        decoded: JsonValue = msgspec.json.decode(document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        decoded = None
    return error_of(code, decoded, document, retry_after)


def page(kind: Kind[T], document: bytes) -> Page[T]:
    """The objects of a list, with apiVersion and kind, which lists of built-in kinds leave out."""
    found = _list.decode(document)
    items = [kind.decode(with_type(kind, bytes(item))) for item in found.items or ()]
    meta = found.metadata
    return Page(items, meta.resource_version, meta.continue_token, meta.remaining_item_count)


def with_type(kind: Kind[T], document: bytes) -> bytes:
    """The document with apiVersion and kind, which are added if they are missing."""
    said = head(document)
    if said.kind and said.api_version:
        return document
    rest = document.lstrip()[1:].lstrip()
    missing = "" if said.api_version else f'"apiVersion":"{kind.api_version}",'
    missing += "" if said.kind else f'"kind":"{kind.kind}",'
    start = "{" + (missing[:-1] if rest.startswith(b"}") else missing)
    return start.encode() + rest


def change(kind: Kind[T], line: bytes) -> Change[T] | Bookmark:
    """One line of a watch. Raises Gone and other errors that the server sends in the stream."""
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
