"""An object as a JSON document, read as shallowly as it can be: metadata typed, everything else left as bytes.

Used by the store, with what Kubernetes demands of metadata: names, labels, annotations, owner references. Pure;
never looks into spec or status except to compare them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from kubechain.errors import Cause
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind, T
from kubechain.resources.model import ObjectMeta, Resource
from kubechain.resources.refusals import bad_value, undecodable

_PARTS = msgspec.json.Decoder(dict[str, Raw])
_META = msgspec.json.Decoder(ObjectMeta)


class _Head(msgspec.Struct):
    metadata: ObjectMeta


_HEAD = msgspec.json.Decoder(_Head)
_TEXT = msgspec.json.Decoder(str | None)
_HEADER = ("apiVersion", "kind", "metadata")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_ANNOTATION_BYTES = 256 * 1024
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
    "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


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


def name_problems(kind: Kind[Any], name: str) -> list[Cause]:
    """What is wrong with the name of a new object."""
    field = "metadata.name"
    if not name:
        text = "Required value: name or generateName is required"
        return [Cause("FieldValueRequired", text, field)]
    if kind.group == "rbac.authorization.k8s.io":
        bad = name in (".", "..") or "/" in name or "%" in name
        return [bad_value(field, f'"{name}"', "may not be '.' or '..' or contain '/' or '%'")] if bad else []
    pattern, text, limit = _SUBDOMAIN, _SUBDOMAIN_TEXT, 253
    if (kind.group, kind.plural) == ("", "namespaces"):
        pattern, text, limit = _LABEL, _LABEL_TEXT, 63
        text = "must not contain dots" if "." in name else text
    if len(name) > limit:
        return [bad_value(field, f'"{name}"', f"must be no more than {limit} characters")]
    return [] if pattern.fullmatch(name) else [bad_value(field, f'"{name}"', text)]


def problems(meta: ObjectMeta, old: ObjectMeta | None = None) -> list[Cause]:
    """What is wrong with labels, annotations and owner references, where they differ from `old`."""
    found: list[Cause] = []
    if meta.labels and (old is None or meta.labels != old.labels):
        found += _label_problems(meta.labels)
    if meta.annotations and (old is None or meta.annotations != old.annotations):
        found += _annotation_problems(meta.annotations)
    if len(meta.owner_references) > 1 and sum(r.controller is True for r in meta.owner_references) > 1:
        text = "Invalid value: Only one reference can have Controller set to true"
        found.append(Cause("FieldValueInvalid", text, "metadata.ownerReferences"))
    return found


def _label_problems(labels: dict[str, str]) -> Iterator[Cause]:
    field = "metadata.labels"
    for key, value in labels.items():
        if not _is_key(key):
            yield from _key_problems(field, key)
        if len(value) > 63:
            yield bad_value(field, f'"{value}"', "must be no more than 63 characters")
        elif value and not _QUALIFIED.fullmatch(value):
            yield bad_value(field, f'"{value}"', _VALUE_TEXT)


def _annotation_problems(annotations: dict[str, str]) -> Iterator[Cause]:
    field = "metadata.annotations"
    for key in annotations:
        yield from _key_problems(field, key)
    if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > _ANNOTATION_BYTES:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {_ANNOTATION_BYTES} bytes", field)


@lru_cache(maxsize=256)
def _is_key(key: str) -> bool:
    """Whether it may name a label: few keys are in use, on many objects."""
    return not list(_key_problems("", key))


def _key_problems(field: str, key: str) -> Iterator[Cause]:
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix)):
        yield bad_value(field, f'"{key}"', f"prefix part {_SUBDOMAIN_TEXT}")
    if len(name) > 63:
        yield bad_value(field, f'"{key}"', "name part must be no more than 63 characters")
    elif not _QUALIFIED.fullmatch(name):
        yield bad_value(field, f'"{key}"', _QUALIFIED_TEXT)
