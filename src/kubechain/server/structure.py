"""The structural schema of a whole object of any kind served, metadata included.

Called by `fields`, which needs to know how lists merge, and by `openapi`, which publishes it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind
from kubechain.server.messages import Field, Message, message_of, messages

ATOMIC = frozenset(
    {"LabelSelector", "ObjectReference", "LocalObjectReference", "RoleRef", "Subject", "OwnerReference"}
)
"""Messages that have one owner as a whole."""
_TEXT: JsonObject = {"type": "string"}
_SCALARS: dict[str, JsonObject] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "bytes": {"type": "string", "format": "byte"},
    "Time": {"type": "string", "format": "date-time"},
    "MicroTime": {"type": "string", "format": "date-time"},
    "FieldsV1": {"type": "object"},
    "ExtraValue": {"type": "array", "items": {"type": "string"}},
}


@cache
def structure(kind: Kind[Any]) -> JsonObject:
    """The schema; a kind that is not known in detail keeps whatever it is given."""
    message = message_of(kind)
    schema = dict(kind.schema) if message is None else of_message(message)
    properties = schema.get("properties")
    meta = of_message(messages()["ObjectMeta"])
    inner = properties if isinstance(properties, dict) else {}
    return {**schema, "properties": {"apiVersion": _TEXT, "kind": _TEXT, **inner, "metadata": meta}}


def of_message(message: Message) -> JsonObject:
    """The schema of one message, everything below it written out."""
    schema: JsonObject = {"type": "object", "properties": {f.name: _field(f) for f in message.fields.values()}}
    if message.name in ATOMIC:
        schema["x-kubernetes-map-type"] = "atomic"
    return schema


def _field(field: Field) -> JsonValue:
    one = _SCALARS.get(field.type) or of_message(messages()[field.type])
    if field.shape == "map":
        return {"type": "object", "additionalProperties": one}
    if field.shape == "one":
        return one
    schema: JsonObject = {"type": "array", "items": one, "x-kubernetes-list-type": "atomic"}
    if field.merge_key == "":
        schema["x-kubernetes-list-type"] = "set"
    elif field.merge_key:
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [field.merge_key]}
    return schema
