"""Applies structural schemas to plain JSON: unknown fields, defaults, validation, list-map keys, rules.

Called by `strict` and `admission` for our kinds. Pure, and worded like the CRD validation of a real API server;
an update is never refused for a value that it does not change (ratcheting).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

import msgspec

from kubechain.errors import Cause
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.model import Rule
from kubechain.server.causes import (
    NOWHERE,
    duplicate,
    invalid,
    not_supported,
    required,
    rule_broken,
    too_long,
    too_many,
    type_invalid,
)


class Missing:
    """There is no former value that this one could be compared with."""


MISSING: Final = Missing()
Old = JsonValue | Missing
TYPE_META = frozenset({"apiVersion", "kind", "metadata"})
_DATE_TIME = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]"
    r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_INT64 = range(-(1 << 63), 1 << 63)


def fit(schema: JsonObject, value: JsonValue, path: str = "", unknown: list[str] | None = None) -> JsonValue:
    """The value with the defaults of the schema and without unknown fields; `unknown` collects those paths."""
    if isinstance(value, dict):
        return _fit_object(schema, value, path, unknown)
    if isinstance(value, list):
        items = _sub(schema, "items")
        if items is None:
            return value
        return [fit(items, item, f"{path}[{i}]", unknown) for i, item in enumerate(value)]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def _fit_object(schema: JsonObject, value: JsonObject, path: str, unknown: list[str] | None) -> JsonObject:
    keep = schema.get("x-kubernetes-preserve-unknown-fields") is True
    extra = _sub(schema, "additionalProperties")
    properties = _properties(schema)
    out: JsonObject = {}
    for name, member in value.items():
        if not path and name in TYPE_META:
            out[name] = member
            continue
        inner, place = properties.get(name, extra), f"{path}.{name}" if path else name
        if inner is None:
            if keep:
                out[name] = member
            elif unknown is not None:
                unknown.append(place)
        elif member is not None or inner.get("nullable") is True:
            out[name] = fit(inner, member, place, unknown)
    for name, inner in properties.items():
        if "default" in inner and name not in out:
            out[name] = fit(inner, inner["default"], f"{path}.{name}")
    return out


def validate(schema: JsonObject, value: JsonValue, old: Old = MISSING, path: str = "") -> list[Cause]:
    """The causes for which the schema refuses the value; none if it is unchanged."""
    found = list(_faults(schema, value, old, path))
    return [] if found and not isinstance(old, Missing) and same(value, old) else found


def _faults(schema: JsonObject, value: JsonValue, old: Old, path: str) -> Iterator[Cause]:
    yield from _type(schema, value, path)
    match value:
        case str():
            yield from _text(schema, value, path)
        case bool() | None:
            pass
        case int() | float():
            yield from _number(schema, value, path)
        case list():
            yield from _list(schema, value, old, path)
    enum = schema.get("enum")
    if isinstance(enum, list) and value not in enum:
        yield not_supported(path, value, [str(name) for name in enum])
    if isinstance(value, dict):
        yield from _members(schema, value, old, path)


def _go_type(value: JsonValue) -> tuple[str, str]:
    """The type and format that a Go decoder sees in a value."""
    match value:
        case None:
            return "null", ""
        case bool():
            return "boolean", ""
        case int() if value in _INT64:
            return "integer", "int64"
        case int() | float():
            return "number", "float64"
        case str():
            return "string", ""
        case list():
            return "array", ""
        case dict():
            return "object", ""


def _type(schema: JsonObject, value: JsonValue, path: str) -> Iterator[Cause]:
    if schema.get("x-kubernetes-int-or-string") is True:
        types = ["integer", "string"]
    else:
        types = [t for t in (schema.get("type"),) if isinstance(t, str)]
    wanted = schema.get("format")
    if not types and not wanted:
        return
    type_, format_ = _go_type(value)
    if value is None:
        if types and schema.get("nullable") is not True:
            yield _wrong_type(path, ",".join(types), "null")
        return
    whole = isinstance(value, float) and value.is_integer() and "integer" in types
    fits = type_ in types or whole or (type_ == "integer" and "number" in types)
    if isinstance(value, str | list):
        if fits or (wanted and not {"number", "integer"} & set(types)):
            return
    elif wanted and not fits and format_ != wanted:
        yield _wrong_type(path, str(wanted), format_)
        return
    if not fits:
        yield _wrong_type(path, ",".join(types), type_)


def _wrong_type(path: str, wanted: str, seen: str) -> Cause:
    return type_invalid(path, seen, f'{path} in body must be of type {wanted}: "{seen}"')


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> re.Pattern[str]:
    # RE2's $ does not match before a closing newline, Python's does.
    return re.compile(re.sub(r"(?<!\\)\$", r"\\Z", pattern), re.ASCII)


def _text(schema: JsonObject, value: str, path: str) -> Iterator[Cause]:
    high, low, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if isinstance(high, int) and len(value) > high:
        yield too_long(path, high)
    elif isinstance(low, int) and len(value) < low:
        yield invalid(path, value, f"{path} in body should be at least {low} chars long")
    elif isinstance(pattern, str) and not _pattern(pattern).search(value):
        yield invalid(path, value, f"{path} in body should match '{pattern}'")
    if schema.get("format") == "date-time" and not _DATE_TIME.fullmatch(value):
        yield type_invalid(path, value, f'{path} in body must be of type date-time: "{value}"')


def _number(schema: JsonObject, value: int | float, path: str) -> Iterator[Cause]:
    type_, format_ = schema.get("type"), schema.get("format")
    out_of_range = not value.is_integer() if isinstance(value, float) else value not in _INT64
    if type_ == "integer" and format_ in ("int32", "int64") and out_of_range:
        yield invalid(NOWHERE, "", f"Checked value must be of type integer with format {format_} in {path}")
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(high, int | float) and value > high:
        yield invalid(path, value, f"{path} in body should be less than or equal to {high}")
    if isinstance(low, int | float) and value < low:
        yield invalid(path, value, f"{path} in body should be greater than or equal to {low}")


def _list(schema: JsonObject, value: list[JsonValue], old: Old, path: str) -> Iterator[Cause]:
    items, high, low = _sub(schema, "items"), schema.get("maxItems"), schema.get("minItems")
    if items is not None:
        former = _by_key(schema, old)
        for i, item in enumerate(value):
            yield from validate(items, item, former(item), f"{path}[{i}]")
    if isinstance(low, int) and len(value) < low:
        yield invalid(path, len(value), f"{path} in body should have at least {low} items")
    if isinstance(high, int) and len(value) > high:
        yield too_many(path, len(value), high)


def _members(schema: JsonObject, value: JsonObject, old: Old, path: str) -> Iterator[Cause]:
    properties, extra = _properties(schema), _sub(schema, "additionalProperties")
    for name in sorted(value):
        inner = properties.get(name, extra)
        if inner is not None:
            yield from validate(inner, value[name], _child(old, name), f"{path}.{name}" if path else name)
    names = schema.get("required")
    for missing in names if isinstance(names, list) else []:
        if missing not in value:
            yield required(f"{path}.{missing}" if path else str(missing))


def list_keys(schema: JsonObject, value: JsonValue, path: str = "") -> Iterator[Cause]:
    """Items of sets that are equal, and items of list-maps whose keys are."""
    if isinstance(value, dict):
        properties, extra = _properties(schema), _sub(schema, "additionalProperties")
        for name in sorted(value):
            inner = properties.get(name, extra)
            if inner is not None:
                yield from list_keys(inner, value[name], f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        yield from _repeated(schema, value, path)
        items = _sub(schema, "items")
        for i, item in enumerate(value if items is not None else []):
            yield from list_keys(items or {}, item, f"{path}[{i}]")


def _repeated(schema: JsonObject, value: list[JsonValue], path: str) -> Iterator[Cause]:
    keys = _map_keys(schema)
    if keys:
        for i, item in enumerate(value):
            if not isinstance(item, dict | None):
                yield invalid(f"{path}[{i}]", item, "must be an object for an array of list-type map")
                return
    elif schema.get("x-kubernetes-list-type") != "set":
        return
    seen: set[bytes] = set()
    told: set[bytes] = set()
    for i, item in enumerate(value):
        key: JsonValue = _key_of(keys, item) if keys else item
        known = token(key)
        if known in seen and known not in told:
            told.add(known)
            yield duplicate(f"{path}[{i}]", key)
        seen.add(known)


RuleOf = Callable[[str, str], Rule]


def rules(schema: JsonObject, value: JsonValue, old: Old, rule_of: RuleOf, path: str = "") -> Iterator[Cause]:
    """Rules that do not hold; `rule_of(cel, message)` finds their native twins."""
    unchanged = not isinstance(old, Missing) and same(value, old)
    for entry in _objects(schema.get("x-kubernetes-validations")):
        rule = rule_of(str(entry["rule"]), str(entry["message"]))
        if unchanged or (rule.transition and isinstance(old, Missing)) or value is None:
            continue
        if not rule.holds(value, None if isinstance(old, Missing) else old):
            yield rule_broken(f"{path}{rule.field_path}", rule.message)
    if isinstance(value, dict):
        properties, extra = _properties(schema), _sub(schema, "additionalProperties")
        for name in sorted(value):
            inner = properties.get(name, extra)
            if inner is not None:
                # An entry of a map, as a real server names it, is no field.
                part = f".{name}" if name in properties else f"[{name}]"
                yield from rules(inner, value[name], _child(old, name), rule_of, f"{path}{part}".removeprefix("."))
    elif isinstance(value, list):
        items, former = _sub(schema, "items") or {}, _by_key(schema, old)
        for i, item in enumerate(value):
            # An item that cannot be matched passes when the whole list is what it was.
            yield from rules(items, item, item if unchanged else former(item), rule_of, f"{path}[{i}]")


def same(value: JsonValue, old: JsonValue) -> bool:
    """Deep equality that tells true from 1."""
    if isinstance(value, dict) and isinstance(old, dict):
        return value.keys() == old.keys() and all(same(v, old[k]) for k, v in value.items())
    if isinstance(value, list) and isinstance(old, list):
        return len(value) == len(old) and all(map(same, value, old))
    return value == old and isinstance(value, bool) == isinstance(old, bool)


def token(value: JsonValue) -> bytes:
    """The same bytes for the same value, whatever the order of its members: for sets and look-ups."""
    return msgspec.json.encode(value, order="sorted")


def _child(old: Old, name: str) -> Old:
    return old[name] if isinstance(old, dict) and name in old else MISSING


def _by_key(schema: JsonObject, old: Old) -> Callable[[JsonValue], Old]:
    """How to find an item's former self: by its keys in a list-map, else not at all."""
    keys = _map_keys(schema)
    if not keys or not isinstance(old, list):
        return lambda item: MISSING
    former = {token(_key_of(keys, item)): item for item in reversed(old)}
    return lambda item: former.get(token(_key_of(keys, item)), MISSING)


def _key_of(keys: list[str], item: JsonValue) -> JsonObject:
    return {key: item[key] for key in keys if key in item} if isinstance(item, dict) else {}


def _map_keys(schema: JsonObject) -> list[str]:
    keys = schema.get("x-kubernetes-list-map-keys")
    return [str(key) for key in keys] if isinstance(keys, list) else []


def _sub(schema: JsonObject, keyword: str) -> JsonObject | None:
    inner = schema.get(keyword)
    return inner if isinstance(inner, dict) else None


def _properties(schema: JsonObject) -> dict[str, JsonObject]:
    inner = schema.get("properties")
    return inner if isinstance(inner, dict) else {}  # type: ignore[return-value]  # schemas of schemas


def _objects(value: JsonValue) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
