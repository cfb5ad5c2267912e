"""An object as a JSON document, read as shallowly as it can be: metadata typed, everything else left as bytes.

Used by the store. Pure; never looks into spec or status except to compare them.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind, T
from kubechain.resources.model import ObjectMeta, Resource
from kubechain.resources.refusals import undecodable

_PARTS = msgspec.json.Decoder(dict[str, Raw])
_META = msgspec.json.Decoder(ObjectMeta)


class _Head(msgspec.Struct):
    metadata: ObjectMeta


_HEAD = msgspec.json.Decoder(_Head)
_TEXT = msgspec.json.Decoder(str | None)
_HEADER = ("apiVersion", "kind", "metadata")


class Document(msgspec.Struct):
    """`parts` are the top-level members besides apiVersion, kind and metadata, as the bytes they were given in."""

    meta: ObjectMeta
    parts: dict[str, Raw]

    def encode(self, kind: Kind[T]) -> bytes:
        """The JSON document, on one line."""
        whole = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": self.meta}
        return msgspec.json.encode(whole | self.parts)

    def plain(self, kind: Kind[T]) -> JsonObject:
        """The whole document as JSON values."""
        whole: JsonObject = msgspec.json.decode(self.encode(kind))
        return whole


def parse(body: bytes) -> Document:
    """A document as `Document.encode` wrote it."""
    parts = _PARTS.decode(body)
    meta = _META.decode(parts.pop("metadata"))
    del parts["apiVersion"], parts["kind"]
    return Document(meta, parts)


def meta_of(body: bytes) -> ObjectMeta:
    """The metadata alone."""
    return _HEAD.decode(body).metadata


def detached(meta: ObjectMeta) -> ObjectMeta:
    """A copy that stays as it is whatever a caller does to the original's labels, owners and the like."""
    return msgspec.structs.replace(
        meta,
        labels=dict(meta.labels),
        annotations=dict(meta.annotations),
        owner_references=list(meta.owner_references),
        finalizers=list(meta.finalizers),
        managed_fields=list(meta.managed_fields),
    )


def given(kind: Kind[T], obj: T) -> Document:
    """The document that a caller hands in. Raises BadRequest when it is none, or one of another kind."""
    if isinstance(obj, Resource):
        return _typed(kind, obj)
    try:
        body = kind.encode(obj)
        if (
            b"\n" in body
        ):  # white space: inside a JSON text a newline is escaped, and watch streams end lines with it
            body = msgspec.json.format(body, indent=-1)
        parts = _PARTS.decode(body)
        meta = _meta(parts.pop("metadata", None))
        for field, expected in (("apiVersion", kind.api_version), ("kind", kind.kind)):
            value = _TEXT.decode(parts.pop(field, b"null"))
            if value and value != expected:
                raise undecodable(kind, ValueError(f'{field} is "{value}" where "{expected}" is expected'))
    except msgspec.MsgspecError as error:
        raise undecodable(kind, error) from error
    return Document(meta, parts)


def _typed(kind: Kind[Any], obj: Resource) -> Document:
    """The document of an object that is of its kind by its type."""
    meta = msgspec.structs.replace(obj.metadata)
    if kind.in_parts:
        parts = {name: _compact(msgspec.json.encode(getattr(obj, name))) for name in kind.in_parts}
        return Document(meta, parts)
    parts = _PARTS.decode(_compact(kind.encode(obj)))
    for name in _HEADER:
        parts.pop(name, None)
    return Document(meta, parts)


def _compact(body: bytes) -> Raw:
    """JSON on one line."""
    return Raw(msgspec.json.format(body, indent=-1) if b"\n" in body else body)


def _meta(raw: Raw | None) -> ObjectMeta:
    if raw is None:
        return ObjectMeta()
    try:
        return _META.decode(raw)
    except msgspec.ValidationError:  # `labels: null` and the like mean absent
        fields = msgspec.json.decode(raw)
        if not isinstance(fields, dict) or None not in fields.values():
            raise
        return msgspec.convert({k: v for k, v in fields.items() if v is not None}, ObjectMeta)


def from_plain(kind: Kind[T], whole: JsonValue) -> Document:
    """The document of JSON values, as `given` reads it."""
    return given(kind.raw, msgspec.json.encode(whole))


def same(one: Raw | None, other: Raw | None) -> bool:
    """Whether two members mean the same, whatever the order of their fields."""
    if one is None or other is None:
        return one is other
    return bytes(one) == bytes(other) or _sorted(one) == _sorted(other)


def _sorted(raw: Raw) -> bytes:
    """Comparable as bytes: for Python, `true`, `1` and `1.0` would be equal."""
    return msgspec.json.encode(msgspec.json.decode(raw), order="sorted")


def same_meta(one: ObjectMeta, other: ObjectMeta) -> bool:
    """Whether metadata is the same, the times in managedFields aside."""
    if one == other:
        return True
    if len(one.managed_fields) != len(other.managed_fields):
        return False
    alike = msgspec.structs.replace(one, managed_fields=other.managed_fields) == other
    return alike and _untimed(one) == _untimed(other)


def _untimed(meta: ObjectMeta) -> list[JsonObject]:
    entries: list[JsonObject] = [msgspec.json.decode(raw) for raw in meta.managed_fields]
    for entry in entries:
        entry.pop("time", None)
    return entries


def stamped(kind: Kind[T], body: bytes, revision: int) -> bytes:
    """The same document under another resource version: how the last state of a deleted object is shown."""
    document = parse(body)
    document.meta.resource_version = str(revision)
    return document.encode(kind)
