"""Objects of built-in kinds, and the metadata of all, read as a Go decoder reads them.

Called by `strict` and `admission`. Checks types, drops what is unknown or null, normalises times; its error texts
are those of Go's JSON decoder. Judges nothing beyond types.
"""

from __future__ import annotations

import re
from datetime import datetime

from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.model import moment, timestamp
from kubechain.server.messages import Field, Message, messages

TYPE_META = {"kind": "string", "apiVersion": "string"}
_INT32, _INT64 = range(-(1 << 31), 1 << 31), range(-(1 << 63), 1 << 63)
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_DATE = (("[0-9]{4}", "2006"), ("-", "-"), ("[0-9]{2}", "01"), ("-", "-"), ("[0-9]{2}", "02"))
_CLOCK = (("T", "T"), ("[0-9]{2}", "15"), (":", ":"), ("[0-9]{2}", "04"), (":", ":"), ("[0-9]{2}", "05"))
_FRACTION = {"Time": (r"(\.[0-9]+)?", ""), "MicroTime": (r"\.[0-9]{6}", ".000000")}
_ZONE = (("Z|[+-][0-9]{2}:[0-9]{2}", "Z07:00"),)


class Mistyped(ValueError):
    """A value does not have its field's type; the text is the Go decoder's."""


def read(message: Message, value: JsonValue, unknown: list[str], *, root: bool = True) -> JsonObject:
    """The object as a decoder of that message understands it; raises Mistyped, appends unknown paths."""
    if not isinstance(value, dict):
        raise Mistyped(f"json: cannot unmarshal {word_of(value)} into Go value of type v1.{message.go}")
    return _object(message, value, "", (), unknown, root)


def _object(
    message: Message, value: JsonObject, path: str, stack: tuple[str, ...], unknown: list[str], root: bool
) -> JsonObject:
    out: JsonObject = {}
    for name, member in value.items():
        place = f"{path}.{name}" if path else name
        field = message.fields.get(name)
        if field is None and root and name in TYPE_META:
            if member is not None:
                out[name] = member
        elif field is None:
            unknown.append(place)
        elif member is not None:
            read_as = _Reader(message, field, place, (*stack, name), unknown)
            out[name] = read_as.field(member)
    return out


class _Reader:
    """Reads the values of one field, for which error texts name the same place."""

    def __init__(
        self, message: Message, field: Field, path: str, stack: tuple[str, ...], unknown: list[str]
    ) -> None:
        self.owner, self.type, self.shape, self.go = message, field.type, field.shape, field.go
        self.path, self.stack, self.unknown = path, stack, unknown

    def field(self, value: JsonValue) -> JsonValue:
        if self.shape == "list":
            if not isinstance(value, list):
                raise self.mistyped(value, self.go)
            return [self.one(item, f"{self.path}[{i}]") for i, item in enumerate(value)]
        if self.shape == "map":
            if not isinstance(value, dict):
                raise self.mistyped(value, self.go)
            return {key: self.one(item, f"{self.path}.{key}") for key, item in value.items()}
        return self.one(value, self.path)

    def one(self, value: JsonValue, path: str) -> JsonValue:
        go = self.go.removeprefix("[]" if self.shape == "list" else "map[string]" if self.shape == "map" else "")
        match self.type:
            case "string" | "bytes":
                if value is None:
                    return ""
                if not isinstance(value, str):
                    raise self.mistyped(value, go)
                return value if self.type == "string" else _base64(value)
            case "bool":
                if not isinstance(value, bool):
                    raise self.mistyped(value, go)
                return value
            case "int32" | "int64":
                return self.integer(value, go)
            case "Time" | "MicroTime":
                return _time(self.type, value)
            case "FieldsV1":
                return value
            case "ExtraValue":
                if not isinstance(value, list):
                    raise self.mistyped(value, go)
                return value
        message = messages()[self.type]
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.mistyped(value, go)
        return _object(message, value, path, self.stack, self.unknown, False)

    def integer(self, value: JsonValue, go: str) -> JsonValue:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.mistyped(value, go)
        if isinstance(value, float) or value not in (_INT32 if self.type == "int32" else _INT64):
            raise self.mistyped(value, go, f"number {value}")
        return value

    def mistyped(self, value: JsonValue, go: str, seen: str = "") -> Mistyped:
        place = f"{self.owner.go}.{'.'.join(self.stack)}"
        return Mistyped(
            f"json: cannot unmarshal {seen or word_of(value)} into Go struct field {place} of type {go}"
        )


def word_of(value: JsonValue) -> str:
    """What Go's JSON decoder calls a value."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case None:
            return "null"


def _base64(text: str) -> str:
    """The text, which is base64; the byte that a Go decoder stumbles on is named."""
    plain = text.replace("\r", "").replace("\n", "")
    body = plain.rstrip("=") if len(plain) - len(plain.rstrip("=")) <= 2 else plain
    bad = next((i for i, char in enumerate(body) if char not in _ALPHABET), -1)
    if bad < 0 and len(plain) % 4 == 0:
        return plain
    raise Mistyped(f"illegal base64 data at input byte {bad if bad >= 0 else len(body) // 4 * 4}")


def _time(type_: str, value: JsonValue) -> JsonValue:
    """RFC 3339 in UTC, with whole seconds (Time) or six digits (MicroTime)."""
    if not isinstance(value, str):
        raise Mistyped(f"json: cannot unmarshal {word_of(value)} into Go value of type string")
    layout = "2006-01-02T15:04:05Z07:00" if type_ == "Time" else "2006-01-02T15:04:05.000000Z07:00"
    rest = value
    for pattern, element in (*_DATE, *_CLOCK, _FRACTION[type_], *_ZONE):
        found = re.match(pattern, rest)
        if found is None:
            raise Mistyped(f'parsing time "{value}" as "{layout}": cannot parse "{rest}" as "{element}"')
        rest = rest[found.end() :]
    if rest:
        raise Mistyped(f'parsing time "{value}": extra text: "{rest}"')
    try:
        when: datetime = moment(value)
    except ValueError as error:
        raise Mistyped(f'parsing time "{value}": {str(error).split(" must")[0]} out of range') from error
    whole = timestamp(when)
    return whole if type_ == "Time" else f"{whole[:-1]}.{when.microsecond:06d}Z"
