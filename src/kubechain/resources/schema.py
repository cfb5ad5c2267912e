"""Typed models -> structural OpenAPI v3 schemas, as a CRD needs them (every node typed, no $ref).

Called when a kind's schema is first asked for. Knows nothing of any particular kind.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import inspect as mi

from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.model import Model, ObjectMeta

_ANY: JsonObject = {"x-kubernetes-preserve-unknown-fields": True}


def structural_schema(model: type[Model], description: str = "") -> JsonObject:
    """The schema of a whole object: spec and status of the model; apiVersion, kind, metadata bare."""
    schema = _node(mi.type_info(model))
    properties = cast("JsonObject", schema["properties"])
    properties["apiVersion"] = {
        "type": "string",
        "description": "The versioned schema of this representation of an object.",
    }
    properties["kind"] = {"type": "string", "description": "The REST resource that this object represents."}
    properties["metadata"] = {"type": "object"}
    if description:
        schema["description"] = description
    return schema


def _node(info: mi.Type) -> JsonObject:
    match info:
        case mi.Metadata(type=inner, extra_json_schema=extra):
            return {**_node(inner), **_plain(extra)}
        case mi.UnionType(types=types):
            return _union([t for t in types if not isinstance(t, mi.NoneType)])
        case mi.StructType():
            return _struct(info)
        case mi.StrType(min_length=low, max_length=high, pattern=pattern):
            return _present(type="string", minLength=low, maxLength=high, pattern=pattern)
        case mi.IntType(ge=low, le=high):
            return _present(type="integer", format="int64", minimum=low, maximum=high)
        case mi.BoolType():
            return {"type": "boolean"}
        case mi.LiteralType(values=values):
            return {"type": "string", "enum": [str(v) for v in values]}
        case mi.ListType(item_type=item, max_length=high):
            return _present(type="array", items=_node(item), maxItems=high)
        case mi.DictType(value_type=value):
            return {"type": "object", "additionalProperties": _node(value)}
        case mi.RawType() | mi.AnyType():
            return dict(_ANY)
    raise TypeError(f"no structural schema for {info!r}")


def _union(types: list[mi.Type]) -> JsonObject:
    if len(types) == 1:
        return _node(types[0])
    if {type(t) for t in types} == {mi.StrType, mi.IntType}:
        return {"x-kubernetes-int-or-string": True}
    raise TypeError(f"no structural schema for a union of {types!r}")


def _struct(info: mi.StructType) -> JsonObject:
    if issubclass(info.cls, ObjectMeta):
        return {"type": "object"}
    properties: JsonObject = {}
    required: list[JsonValue] = []
    for field in info.fields:
        properties[field.encode_name] = _node(field.type)
        if field.required:
            required.append(field.encode_name)
    schema: JsonObject = {"type": "object", "properties": properties}
    if required:
        schema["required"] = sorted(required, key=str)
    if issubclass(info.cls, Model):
        if info.cls.initial is not None:
            schema["default"] = info.cls.initial
        if info.cls.rules:
            schema["x-kubernetes-validations"] = [
                _present(rule=r.cel, message=r.message, fieldPath=r.field_path or None) for r in info.cls.rules
            ]
    return schema


def _present(**keywords: JsonValue) -> JsonObject:
    return {k: v for k, v in keywords.items() if v is not None}


def _plain(extra: dict[str, Any] | None) -> JsonObject:
    """The keywords that `doc` carried, as JSON."""
    plain: JsonObject = msgspec.to_builtins(extra or {})
    return plain
