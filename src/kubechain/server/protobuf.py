"""Request bodies in the Kubernetes protobuf encoding -> JSON objects.

kubectl sends its typed calls (create secret, auth can-i, delete, ...) in no other form; answers may be JSON.
Called by the HTTP layer for `Content-Type: application/vnd.kubernetes.protobuf`. Never encodes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from kubechain.errors import BadRequest
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.server.messages import Field, Message, messages

MAGIC = b"k8s\x00"


def decode(body: bytes) -> JsonObject:
    """The object in a `k8s\\0` envelope, apiVersion and kind filled in. Raises BadRequest."""
    if not body.startswith(MAGIC):
        raise BadRequest("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = _group(body[len(MAGIC) :])
        type_meta = _group(_last(envelope, 1))
        api_version, kind = (_last(type_meta, number).decode() for number in (1, 2))
        name = "CoreEvent" if (api_version, kind) == ("v1", "Event") else kind
        message = messages().get(name)
        if message is None:
            raise BadRequest(
                f'no kind "{kind}" is registered for version "{api_version}" in protobuf: send application/json'
            )
        return {"apiVersion": api_version, "kind": kind, **_object(message, _last(envelope, 2))}
    except (IndexError, ValueError) as error:
        raise BadRequest(f"the body is not a protobuf message of a kind known here: {error}") from error


def _object(message: Message, data: bytes) -> JsonObject:
    out: JsonObject = {}
    for number, value in _fields(data):
        field = message.numbers.get(number)
        if field is None:
            continue
        if field.shape == "map":
            entry = _group(_bytes(value))
            into = out.setdefault(field.name, {})
            assert isinstance(into, dict)  # noqa: S101 - set two lines above
            into[_last(entry, 1).decode()] = _value(field, _last(entry, 2))
        elif field.shape == "list":
            items = out.setdefault(field.name, [])
            assert isinstance(items, list)  # noqa: S101 - set two lines above
            items.append(_value(field, value))
        else:
            out[field.name] = _value(field, value)
    # The Go encoder writes non-pointer fields even when they are empty; JSON clients leave them out.
    if out.get("generation") == 0:
        del out["generation"]
    return {name: value for name, value in out.items() if value not in ("", {}, None)}


def _value(field: Field, value: int | bytes) -> JsonValue:
    match field.type:
        case "string":
            return _bytes(value).decode()
        case "bool":
            return bool(value)
        case "int32" | "int64":
            number = _number(value)
            return number - (1 << 64) if number >= 1 << 63 else number
        case "bytes":
            return base64.b64encode(_bytes(value)).decode()
        case "Time" | "MicroTime":
            return _time(field.type, _bytes(value))
        case "FieldsV1":
            raw: JsonValue = msgspec.json.decode(_last(_group(_bytes(value)), 1) or b"{}")
            return raw
        case "ExtraValue":
            return [_bytes(item).decode() for number, item in _fields(_bytes(value)) if number == 1]
        case _:
            return _object(messages()[field.type], _bytes(value))


def _time(type_: str, data: bytes) -> JsonValue:
    parts = dict(_fields(data))
    seconds, nanos = _number(parts.get(1, 0)), _number(parts.get(2, 0))
    if not parts or seconds >= 1 << 63:  # the zero time lies before 1970
        return None
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{nanos // 1000:06d}Z" if type_ == "MicroTime" else f"{moment}Z"


def _group(data: bytes) -> dict[int, list[int | bytes]]:
    out: dict[int, list[int | bytes]] = {}
    for number, value in _fields(data):
        out.setdefault(number, []).append(value)
    return out


def _last(group: dict[int, list[int | bytes]], number: int) -> bytes:
    return _bytes(group[number][-1]) if number in group else b""


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, varint or bytes) of every field of one message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
                yield tag >> 3, value
            case 2:
                length, at = _varint(data, at)
                if at + length > len(data):
                    raise ValueError("unexpected EOF")
                yield tag >> 3, data[at : at + length]
                at += length
            case 1 | 5 as wire:
                width = 8 if wire == 1 else 4
                yield tag >> 3, data[at : at + width]
                at += width
            case wire:
                raise ValueError(f"illegal wireType {wire}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("integer overflow")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a message where a number belongs")
    return value
