"""Objects -> the rows that `kubectl get` prints.

Called by `read` and `watch` when a client asks for a Table. Pure: the time is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Literal

import msgspec

from kubechain.resources.duration import human
from kubechain.resources.json import JsonObject, JsonValue, lookup
from kubechain.resources.jsonpath import compile_path
from kubechain.resources.kind import Column, Kind
from kubechain.resources.model import moment
from kubechain.server.lists import Listing

Include = Literal["None", "Metadata", "Object"]
Value = Callable[[JsonObject, datetime], JsonValue]
UNKNOWN = "<unknown>"


class _Envelope(msgspec.Struct):
    metadata: msgspec.Raw


_ENVELOPES = msgspec.json.Decoder(_Envelope)


class Cell(msgspec.Struct, frozen=True):
    """One column: how it is announced, and its value for an object at a moment."""

    name: str
    value: Value
    type: str = "string"
    format: str = ""
    description: str = ""
    wide: bool = False

    def definition(self) -> JsonObject:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": 1 if self.wide else 0,
        }


def age(text: JsonValue, now: datetime) -> str:
    """The time since an RFC 3339 time, as people read it."""
    if not isinstance(text, str) or not text:
        return UNKNOWN
    try:
        return human((now - moment(text)).total_seconds())
    except ValueError:
        return "<invalid>"


def metadata_of(document: bytes) -> bytes:
    """The metadata of an object, as the bytes it is stored in."""
    return bytes(_ENVELOPES.decode(document).metadata)


def partial(document: bytes, version: str = "v1", *, list_item: bool = False) -> bytes:
    """PartialObjectMetadata of an object."""
    head = (
        b"" if list_item else b'"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%s",' % version.encode()
    )
    return b"{" + head + b'"metadata":' + metadata_of(document) + b"}"


def definitions(kind: Kind[bytes]) -> bytes:
    """`columnDefinitions` of a kind."""
    return msgspec.json.encode([cell.definition() for cell in cells(kind)])


def row(kind: Kind[bytes], document: bytes, now: datetime, include: Include, version: str = "v1") -> bytes:
    """One row; its object is what `includeObject` asks for."""
    obj = msgspec.json.decode(document)
    values = msgspec.json.encode([cell.value(obj, now) for cell in cells(kind)])
    match include:
        case "None":
            return b'{"cells":' + values + b"}"
        case "Object":
            shown = document
        case "Metadata":
            shown = partial(document, version)
    return b'{"cells":' + values + b',"object":' + shown + b"}"


def table(metadata: JsonObject, columns: bytes | None, rows: Sequence[bytes], version: str = "v1") -> Listing:
    """A Table of rows; without `columns` in later events of a watch."""
    head = (
        b'{"kind":"Table","apiVersion":"meta.k8s.io/',
        version.encode(),
        b'","metadata":',
        msgspec.json.encode(metadata),
        b',"columnDefinitions":',
        columns or b"null",
        b',"rows":[',
    )
    return Listing(b"".join(head), rows)


@cache
def cells(kind: Kind[bytes]) -> tuple[Cell, ...]:
    """The columns of a kind: its own printer, else its printer columns, else its age."""
    name = Cell("Name", _path(".metadata.name"), format="name", description="Name of the object")
    special = _SPECIAL.get(kind.key)
    if special is not None:
        return special if kind.plural == "events" else (name, *special)
    columns = kind.columns or (Column("Age", ".metadata.creationTimestamp", "date"),)
    return (name, *(_from_column(column, ours=kind.ours) for column in columns))


def _from_column(column: Column, *, ours: bool) -> Cell:
    path = compile_path(column.path)
    type_ = column.type

    def value(obj: JsonObject, now: datetime) -> JsonValue:
        found = path(obj)
        return _printed(found, type_, now) if found else None

    # Times are announced as dates where a CRD says so, and as texts by what is built in.
    return Cell(column.name, value, type_ if ours else "string", description=column.description, wide=column.wide)


def _printed(found: list[JsonValue], type_: str, now: datetime) -> JsonValue:
    """Values found for a printer column, as an API server prints them; null where the type differs."""
    first = found[0]
    match type_:
        case "date":
            return age(first, now)
        case "integer":
            return first if isinstance(first, int) and not isinstance(first, bool) else None
        case "boolean":
            return first if isinstance(first, bool) else None
        case _:
            return " ".join(_text(value) for value in found)


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _path(path: str) -> Value:
    find = compile_path(path)
    return lambda obj, now: next(iter(find(obj)), "")


def _age_of(path: str) -> Value:
    return lambda obj, now: age(lookup(obj, path), now)


def _count(*members: str) -> Value:
    def value(obj: JsonObject, now: datetime) -> JsonValue:
        held = (obj.get(member) for member in members)
        return sum(len(part) for part in held if isinstance(part, dict | list))

    return value


def _subjects(sort: str) -> Value:
    """The names of a binding's subjects of one kind, of accounts with their namespace."""

    def value(obj: JsonObject, now: datetime) -> JsonValue:
        listed = obj.get("subjects")
        subjects = [s for s in listed if isinstance(s, dict)] if isinstance(listed, list) else []
        return ", ".join(_subject(s) for s in subjects if s.get("kind") == sort)

    return value


def _subject(subject: JsonObject) -> str:
    name, namespace = str(subject.get("name") or ""), subject.get("namespace")
    return f"{namespace}/{name}" if namespace else name


def _role_ref(obj: JsonObject, now: datetime) -> JsonValue:
    return f"{lookup(obj, 'roleRef.kind')}/{lookup(obj, 'roleRef.name')}"


def _last_seen(obj: JsonObject, now: datetime) -> JsonValue:
    seen = lookup(obj, "series.lastObservedTime") or _first_of(obj, "lastTimestamp", "deprecatedLastTimestamp")
    return age(seen or _first_of(obj, "eventTime", "firstTimestamp", "deprecatedFirstTimestamp"), now)


def _first_seen(obj: JsonObject, now: datetime) -> JsonValue:
    return age(_first_of(obj, "firstTimestamp", "deprecatedFirstTimestamp", "eventTime"), now)


def _event_count(obj: JsonObject, now: datetime) -> JsonValue:
    return lookup(obj, "series.count") or _first_of(obj, "count", "deprecatedCount") or 1


def _regarding(obj: JsonObject, now: datetime) -> JsonValue:
    about = _first_of(obj, "involvedObject", "regarding")
    return f"{str(lookup(about, 'kind') or '').lower()}/{lookup(about, 'name') or ''}"


def _source(obj: JsonObject, now: datetime) -> JsonValue:
    source = _first_of(obj, "source", "deprecatedSource")
    parts = [lookup(source, "component"), lookup(source, "host")]
    shown = ", ".join(str(part) for part in parts if part)
    return shown or _first_of(obj, "reportingComponent", "reportingController") or ""


def _message(obj: JsonObject, now: datetime) -> JsonValue:
    return str(_first_of(obj, "message", "note") or "").strip()


def _first_of(obj: JsonObject, *members: str) -> JsonValue:
    return next((obj[m] for m in members if obj.get(m)), None)


_AGE = Cell("Age", _age_of("metadata.creationTimestamp"))
_CREATED = Cell("Created At", _path(".metadata.creationTimestamp"), "date")
_EVENT = (
    Cell("Last Seen", _last_seen),
    Cell("Type", _path(".type")),
    Cell("Reason", _path(".reason")),
    Cell("Object", _regarding),
    Cell("Subobject", _path(".involvedObject.fieldPath"), wide=True),
    Cell("Source", _source, wide=True),
    Cell("Message", _message),
    Cell("First Seen", _first_seen, wide=True),
    Cell("Count", _event_count, wide=True),
    Cell("Name", _path(".metadata.name"), format="name", wide=True),
)
_RBAC = "rbac.authorization.k8s.io"
_BINDING = (
    Cell("Role", _role_ref),
    _AGE,
    Cell("Users", _subjects("User"), wide=True),
    Cell("Groups", _subjects("Group"), wide=True),
    Cell("ServiceAccounts", _subjects("ServiceAccount"), wide=True),
)
_SPECIAL: dict[tuple[str, str], tuple[Cell, ...]] = {
    ("", "events"): _EVENT,
    ("events.k8s.io", "events"): _EVENT,
    ("", "secrets"): (Cell("Type", _path(".type")), Cell("Data", _count("data")), _AGE),
    ("", "configmaps"): (Cell("Data", _count("data", "binaryData")), _AGE),
    (_RBAC, "roles"): (_CREATED,),
    (_RBAC, "clusterroles"): (_CREATED,),
    (_RBAC, "rolebindings"): _BINDING,
    (_RBAC, "clusterrolebindings"): _BINDING,
    ("apiextensions.k8s.io", "customresourcedefinitions"): (_CREATED,),
}
