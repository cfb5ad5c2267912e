"""JSON patches (RFC 6902) and strategic merge patches. Merge patches (RFC 7386) are in `runtime.patches`.

Called by the HTTP layer for PATCH. Pure: the object given is never changed; what a patch does not touch is shared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubechain.errors import BadRequest, InternalError, Invalid
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind
from kubechain.server.messages import Message, message_of, messages
from kubechain.server.schema import same

_ORDER, _DELETE = "$setElementOrder/", "$deleteFromPrimitiveList/"


class _Miss(Exception):
    """An operation has no place to act on."""


def json_patch(obj: JsonObject, operations: JsonValue) -> JsonValue:
    """The object after the operations, in order; raises Invalid where one cannot be carried out."""
    if not isinstance(operations, list):
        raise BadRequest("error decoding patch: json: cannot unmarshal object into Go value of type []jsonPatchOp")
    value: JsonValue = obj
    try:
        for operation in operations:
            if not isinstance(operation, dict):
                raise _Miss
            value = _operate(value, operation)
    except _Miss:
        raise Invalid("the server rejected our request due to an error in our request") from None
    return value


def _operate(value: JsonValue, operation: JsonObject) -> JsonValue:
    path = _pointer(operation.get("path"))
    match operation.get("op"):
        case "add":
            return _set(value, path, _given(operation), insert=True)
        case "replace":
            if path[:-1]:
                _get(value, path[:-1])  # the last step may be a new one: a real server takes that too
            return _set(value, path, _given(operation), insert=False)
        case "remove":
            return _remove(value, path)
        case "test":
            if not same(_get(value, path, operation.get("value") is None), operation.get("value")):
                raise _Miss
            return value
        case "copy":
            return _set(value, path, _get(value, _pointer(operation.get("from"))), insert=True)
        case "move":
            source = _pointer(operation.get("from"))
            return _set(_remove(value, source), path, _get(value, source), insert=True)
    raise _Miss


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
    if not part.removeprefix("-").isdecimal() or not -length <= int(part) < length:
        raise _Miss
    return int(part) % length


def _get(value: JsonValue, path: list[str], or_null: bool = False) -> JsonValue:
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


def _set(value: JsonValue, path: list[str], new: JsonValue, *, insert: bool) -> JsonValue:
    if not path:
        return new
    part, rest = path[0], path[1:]
    match value:
        case dict():
            if rest and part not in value:
                raise _Miss
            return {**value, part: _set(value.get(part), rest, new, insert=insert)}
        case list() if insert and not rest:
            at = len(value) if part == "-" else _index(part, len(value) + 1)
            return [*value[:at], new, *value[at:]]
        case list():
            at = _index(part, len(value))
            return [*value[:at], _set(value[at], rest, new, insert=insert), *value[at + 1 :]]
    raise _Miss


def _remove(value: JsonValue, path: list[str]) -> JsonValue:
    if not path:
        raise _Miss
    part, rest = path[0], path[1:]
    match value:
        case dict() if part in value:
            if rest:
                return {**value, part: _remove(value[part], rest)}
            return {name: member for name, member in value.items() if name != part}
        case list():
            at = _index(part, len(value))
            return [*value[:at], *([_remove(value[at], rest)] if rest else []), *value[at + 1 :]]
    raise _Miss


def strategic(kind: Kind[Any], obj: JsonObject, patch: JsonObject) -> JsonObject:
    """The object after a strategic merge patch; lists merge as the built-in kind says. Raises InternalError."""
    return _merge(obj, patch, message_of(kind))


def _merge(obj: JsonObject, patch: JsonObject, message: Message | None) -> JsonObject:
    directive = patch.get("$patch", "merge")
    if directive in ("replace", "delete"):
        rest = {name: value for name, value in patch.items() if name != "$patch"}
        return rest if directive == "replace" else {}
    if directive != "merge":
        raise InternalError(f"unknown patch type: {directive} in map", reason="")
    retained = patch.get("$retainKeys")
    out = {k: v for k, v in obj.items() if k in retained} if isinstance(retained, list) else dict(obj)
    for name, value in patch.items():
        if name.startswith(_DELETE):
            field, gone = name.removeprefix(_DELETE), value if isinstance(value, list) else []
            out[field] = [item for item in _list(out.get(field)) if item not in gone]
        elif value is None:
            out.pop(name, None)
        elif not name.startswith("$"):
            out[name] = _member(out.get(name), value, message, name)
    for name, order in patch.items():
        field = name.removeprefix(_ORDER)
        if name.startswith(_ORDER) and isinstance(order, list) and isinstance(out.get(field), list):
            out[field] = _ordered(_list(out[field]), order, _merge_key(message, field), _list(obj.get(field)))
    return out


def _merge_key(message: Message | None, name: str) -> str | None:
    field = message.fields.get(name) if message else None
    return field.merge_key if field else None


def _member(old: JsonValue, new: JsonValue, message: Message | None, name: str) -> JsonValue:
    field = message.fields.get(name) if message else None
    inner = messages().get(field.type) if field and field.shape != "map" else None
    if isinstance(new, dict):
        return _merge(old if isinstance(old, dict) else {}, new, inner)
    key = _merge_key(message, name)
    if not isinstance(new, list) or key is None:
        return new
    if not key:
        return _interleaved(_list(old), new, _list(old), lambda item: item)
    return _merge_lists(_list(old), new, key, inner)


def _merge_lists(old: list[JsonValue], new: list[JsonValue], key: str, message: Message | None) -> list[JsonValue]:
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in new):
        return [item for item in new if not (isinstance(item, dict) and "$patch" in item)]
    out, merged, gone = list(old), list[JsonValue](), list[JsonValue]()
    for item in new:
        if not isinstance(item, dict) or key not in item:
            raise InternalError(f"map: {item} does not contain declared merge key: {key}", reason="")
        former = next((o for o in out if isinstance(o, dict) and o.get(key) == item[key]), {})
        if item.get("$patch") == "delete":
            gone.append(item[key])
        else:
            merged.append(_merge(former if isinstance(former, dict) else {}, item, message))
    out = [item for item in out if not isinstance(item, dict) or item.get(key) not in gone]
    return _interleaved(out, merged, old, lambda item: item.get(key) if isinstance(item, dict) else item)


def _interleaved(
    old: list[JsonValue], new: list[JsonValue], before: list[JsonValue], name: Callable[[JsonValue], JsonValue]
) -> list[JsonValue]:
    """What the patch names in its order, and around it the others where they were; what is new comes first."""
    order = [name(item) for item in before]
    named = [name(item) for item in new]
    rest = [item for item in old if name(item) not in named]
    out: list[JsonValue] = []
    for item in new:
        at = order.index(name(item)) if name(item) in order else -1
        while rest and order.index(name(rest[0])) < at:
            out.append(rest.pop(0))
        out.append(item)
    return out + rest


def _ordered(
    items: list[JsonValue], order: list[JsonValue], key: str | None, before: list[JsonValue]
) -> list[JsonValue]:
    """The items that the order names, in that order, and around them the others where they were."""

    def name(item: JsonValue) -> JsonValue:
        return item.get(key) if key and isinstance(item, dict) else item

    wanted = [name(entry) for entry in order]
    listed = sorted((item for item in items if name(item) in wanted), key=lambda item: wanted.index(name(item)))
    return _interleaved(items, listed, before, name)


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
