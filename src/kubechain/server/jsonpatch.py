"""JSON patches (RFC 6902), as a Kubernetes API server applies them.

Called by `write` for `application/json-patch+json`. Pure: works on a copy of the object. The total size of the
copies in a patch is limited, because a few copies can double an object many times.
"""

from __future__ import annotations

from typing import cast

import msgspec

from kubechain.errors import Invalid
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.server.schema import same

MAX_COPIED = 3 * 1024 * 1024
"""Bytes of JSON that all `copy` operations of a patch may add up to."""
_REFUSED = "the server rejected our request due to an error in our request"


class _Miss(Exception):
    """The path of an operation does not exist."""


def json_patch(obj: JsonObject, operations: list[JsonValue]) -> JsonValue:
    """The object after the operations, in order; raises Invalid if one cannot be applied."""
    work = _Work(_copy(obj))
    try:
        for operation in operations:
            if not isinstance(operation, dict):
                raise _Miss
            work.operate(operation)
    except _Miss:
        raise Invalid(_REFUSED) from None
    except RecursionError:
        raise Invalid(f"{_REFUSED}: it nests values too deeply") from None
    return work.root


class _Work:
    """An object that belongs to one patch: changed in place."""

    def __init__(self, root: JsonValue) -> None:
        self.root = root
        self._copied = 0

    def operate(self, operation: JsonObject) -> None:
        path = _pointer(operation.get("path"))
        match operation.get("op"):
            case "add":
                self._put(path, _copy(_given(operation)), insert=True)
            case "replace":
                self._put(path, _copy(_given(operation)), insert=False)
            case "remove":
                self._take(path)
            case "test":
                if not same(self._get(path, operation.get("value") is None), operation.get("value")):
                    raise _Miss
            case "copy":
                self._put(path, self._copy_of(_pointer(operation.get("from"))), insert=True)
            case "move":
                self._put(path, self._take(_pointer(operation.get("from"))), insert=True)
            case _:
                raise _Miss

    def _copy_of(self, path: list[str]) -> JsonValue:
        encoded = msgspec.json.encode(self._get(path))
        self._copied += len(encoded)
        if self._copied > MAX_COPIED:
            raise Invalid(f"{_REFUSED}: its copies take more than {MAX_COPIED} bytes")
        return cast("JsonValue", msgspec.json.decode(encoded))

    def _get(self, path: list[str], or_null: bool = False) -> JsonValue:
        value = self.root
        for part in path:
            match value:
                case dict() if part in value:
                    value = value[part]
                case dict() if or_null and part == path[-1]:
                    return None
                case list():
                    value = value[_index(part, len(value))]
                case _:
                    raise _Miss
        return value

    def _put(self, path: list[str], new: JsonValue, *, insert: bool) -> None:
        """The last step of a path into an object may be a new one, of `replace` too."""
        if not path:
            self.root = new
            return
        part = path[-1]
        match self._get(path[:-1]):
            case dict() as members:
                members[part] = new
            case list() as items if insert:
                items.insert(len(items) if part == "-" else _index(part, len(items) + 1), new)
            case list() as items:
                items[_index(part, len(items))] = new
            case _:
                raise _Miss

    def _take(self, path: list[str]) -> JsonValue:
        if not path:
            raise _Miss
        part = path[-1]
        parent = self._get(path[:-1])
        if isinstance(parent, dict) and part in parent:
            return parent.pop(part)
        if isinstance(parent, list):
            return parent.pop(_index(part, len(parent)))
        raise _Miss


def _copy(value: JsonValue) -> JsonValue:
    if not isinstance(value, dict | list):
        return value
    copied: JsonValue = msgspec.json.decode(msgspec.json.encode(value))
    return copied


def _given(operation: JsonObject) -> JsonValue:
    if "value" not in operation:
        raise _Miss
    return operation["value"]


def _pointer(text: JsonValue) -> list[str]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise _Miss
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(part: str, length: int) -> int:
    """Which item is meant; -1 is the last one."""
    digits = part.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10) or not -length <= int(part) < length:
        raise _Miss
    return int(part) % length
