"""Strategic merge patches. JSON patches are in `jsonpatch`, merge patches (RFC 7386) in `runtime.patches`.

Called by the HTTP layer for PATCH. Pure: the object given is never changed; what a patch does not touch is shared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from kubechain.errors import InternalError
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind
from kubechain.server.messages import Message, message_of, messages
from kubechain.server.schema import token

_ORDER, _DELETE = "$setElementOrder/", "$deleteFromPrimitiveList/"


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
    out = dict(obj)
    if isinstance(retained, list):
        names = {name for name in retained if isinstance(name, str)}
        out = {k: v for k, v in obj.items() if k in names}
    for name, value in patch.items():
        if name.startswith(_DELETE):
            field, gone = name.removeprefix(_DELETE), {token(item) for item in _list(value)}
            out[field] = [item for item in _list(out.get(field)) if token(item) not in gone]
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
    former = {token(item.get(key)): item for item in reversed(old) if isinstance(item, dict)}
    merged, gone = list[JsonValue](), set[bytes]()
    for item in new:
        if not isinstance(item, dict) or key not in item:
            raise InternalError(f"map: {item} does not contain declared merge key: {key}", reason="")
        if item.get("$patch") == "delete":
            gone.add(token(item[key]))
        else:
            merged.append(_merge(former.get(token(item[key]), {}), item, message))
    kept = [item for item in old if not isinstance(item, dict) or token(item.get(key)) not in gone]
    return _interleaved(kept, merged, old, lambda item: item.get(key) if isinstance(item, dict) else item)


def _interleaved(
    old: list[JsonValue], new: list[JsonValue], before: list[JsonValue], name: Callable[[JsonValue], JsonValue]
) -> list[JsonValue]:
    """What the patch names in its order, and around it the others where they were; what is new comes first."""
    place = {token(name(item)): at for at, item in reversed(list(enumerate(before)))}
    named = {token(name(item)) for item in new}
    rest = deque(item for item in old if token(name(item)) not in named)
    out: list[JsonValue] = []
    for item in new:
        at = place.get(token(name(item)), -1)
        while rest and place.get(token(name(rest[0])), -1) < at:
            out.append(rest.popleft())
        out.append(item)
    return [*out, *rest]


def _ordered(
    items: list[JsonValue], order: list[JsonValue], key: str | None, before: list[JsonValue]
) -> list[JsonValue]:
    """The items that the order names, in that order, and around them the others where they were."""

    def name(item: JsonValue) -> JsonValue:
        return item.get(key) if key and isinstance(item, dict) else item

    wanted = {token(name(entry)): at for at, entry in reversed(list(enumerate(order)))}
    listed = sorted((item for item in items if token(name(item)) in wanted), key=lambda i: wanted[token(name(i))])
    return _interleaved(items, listed, before, name)


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
