"""Sets of field paths: of an object, of the difference between two, and as FieldsV1.

A path is a tuple of FieldsV1 keys: `f:NAME`, `k:{"KEY":VALUE}` for an item of a list-map, `v:VALUE` for one of a
set. Called by the rest of this package. Never changes an object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from msgspec import Struct

from kubechain.resources.json import JsonObject, JsonValue
from kubechain.server.schema import MISSING, Old, same

Path = tuple[str, ...]
Paths = frozenset[Path]
MAX_SHOWN = 1000
"""Characters of a path in an error text; one key may be as long as an object."""


class Undeclared(ValueError):
    """An applied object has a field that is not in the schema; the text says where."""


def child(schema: JsonObject, name: str) -> JsonObject:
    """The schema of a member; {} where it is free."""
    properties, extra = schema.get("properties"), schema.get("additionalProperties")
    inner = properties.get(name) if isinstance(properties, dict) else None
    found = inner if inner is not None else extra
    return found if isinstance(found, dict) else {}


def items(schema: JsonObject) -> JsonObject:
    """The schema of a list's items."""
    inner = schema.get("items")
    return inner if isinstance(inner, dict) else {}


def atomic(schema: JsonObject, value: Old) -> bool:
    """Whether the value has one owner as a whole: scalars, and lists unless the schema says otherwise."""
    if isinstance(value, dict):
        return schema.get("x-kubernetes-map-type") == "atomic"
    if isinstance(value, list):
        return schema.get("x-kubernetes-list-type") not in ("map", "set")
    return True


def element(schema: JsonObject, item: JsonValue) -> str:
    """The key of an item of a list-map or a set."""
    names = schema.get("x-kubernetes-list-map-keys")
    if not isinstance(names, list):
        return f"v:{_json(item)}"
    defaults = items(schema)
    given = item if isinstance(item, dict) else {}
    keys = {str(n): given.get(str(n), child(defaults, str(n)).get("default")) for n in names}
    return f"k:{_json({name: keys[name] for name in sorted(keys)})}"


def elements(schema: JsonObject, value: JsonValue) -> dict[str, JsonValue]:
    """Items of a granular list by key."""
    return {element(schema, item): item for item in value} if isinstance(value, list) else {}


def _json(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def of_object(schema: JsonObject, value: JsonValue, at: Path = ()) -> Iterator[Path]:
    """The paths that an applied object claims; raises Undeclared."""
    if atomic(schema, value):
        yield at
        return
    if isinstance(value, list):
        for key, item in elements(schema, value).items():
            yield (*at, key)
            if isinstance(item, dict | list):
                yield from of_object(items(schema), item, (*at, key))
        return
    for name, member in value.items() if isinstance(value, dict) else ():
        here, inner = (*at, f"f:{name}"), child(schema, name)
        properties = schema.get("properties")
        declared = isinstance(properties, dict) and name in properties
        if not declared and not inner and isinstance(properties, dict) and not _free(schema):
            raise Undeclared(f"{shown(here)}: field not declared in schema")
        if not declared or member in (None, {}):
            yield here
        yield from of_object(inner, member, here)


def _free(schema: JsonObject) -> bool:
    return schema.get("x-kubernetes-preserve-unknown-fields") is True


class Difference(Struct):
    """Paths that one object has and another has not, or has otherwise."""

    added: set[Path] = set()
    changed: set[Path] = set()
    removed: set[Path] = set()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def difference(schema: JsonObject, old: JsonObject, new: JsonObject) -> Difference:
    """What leads from `old` to `new`, metadata.managedFields aside."""
    found = Difference()
    _compare(schema, _unmanaged(old), _unmanaged(new), (), found)
    return found


def _unmanaged(obj: JsonObject) -> JsonObject:
    meta = obj.get("metadata")
    if not isinstance(meta, dict) or "managedFields" not in meta:
        return obj
    return {**obj, "metadata": {name: value for name, value in meta.items() if name != "managedFields"}}


def _compare(schema: JsonObject, old: Old, new: Old, at: Path, found: Difference) -> None:
    kinds = {type(side) for side in (old, new) if side is not MISSING}
    if len(kinds) != 1 or atomic(schema, new if old is MISSING else old) or (not old and not new):
        _leaf(old, new, at, found)
        return
    if kinds == {dict}:
        before, after = _members(old), _members(new)
        for name in before.keys() | after.keys():
            here = (*at, f"f:{name}")
            _compare(child(schema, name), before.get(name, MISSING), after.get(name, MISSING), here, found)
    else:
        before, after = (elements(schema, side) if isinstance(side, list) else {} for side in (old, new))
        for key in before.keys() | after.keys():
            _compare(items(schema), before.get(key, MISSING), after.get(key, MISSING), (*at, key), found)
    if at and old is MISSING:
        found.added.add(at)
    elif at and new is MISSING:
        found.removed.add(at)


def _members(side: Old) -> JsonObject:
    return side if isinstance(side, dict) else {}


def _leaf(old: Old, new: Old, at: Path, found: Difference) -> None:
    if old is MISSING:
        found.added.add(at)
    elif new is MISSING:
        found.removed.add(at)
    elif not same(old, new):  # type: ignore[arg-type]  # neither is MISSING
        found.changed.add(at)


def closure(paths: Iterable[Path]) -> set[Path]:
    """The paths and everything above them."""
    return {path[:depth] for path in paths for depth in range(1, len(path) + 1)}


def encode(paths: Paths) -> JsonObject:
    """FieldsV1: a tree of keys, `.` where a path with others below it is itself a member."""
    tree: JsonObject = {}
    for path in sorted(paths):
        node = tree
        for key in path:
            inner = node.setdefault(key, {})
            assert isinstance(inner, dict)  # noqa: S101 - only dicts are put in
            node = inner
        node["."] = {}
    return _pruned(tree)


def _pruned(node: JsonObject) -> JsonObject:
    """Leaves lose their `.`."""
    return {
        key: {} if inner == {".": {}} else _pruned(inner) for key, inner in node.items() if isinstance(inner, dict)
    }


def decode(tree: JsonValue, at: Path = ()) -> Iterator[Path]:
    """The paths in a FieldsV1."""
    for key, inner in tree.items() if isinstance(tree, dict) else ():
        if key == ".":
            yield at
        elif inner:
            yield from decode(inner, (*at, key))
        else:
            yield (*at, key)


def shown(path: Path) -> str:
    """The path as error texts show it: `.spec.tools[name="a"].url`."""
    return "".join(_shown_key(key) for key in path)[:MAX_SHOWN]


def _shown_key(key: str) -> str:
    kind, _, rest = key.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "v":
        return f"[={rest}]"
    try:
        keys = json.loads(rest)
    except ValueError:
        keys = None
    if not isinstance(keys, dict):  # as a client wrote it into managedFields
        return f"[{rest}]"
    return "[" + ",".join(f"{name}={_json(value)}" for name, value in keys.items()) + "]"
