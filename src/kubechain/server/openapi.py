"""The OpenAPI documents that clients read before they write: kubectl's validation, its explain, its apply.

Called by the HTTP layer for /openapi/v2 and /openapi/v3. Pure, computed once; knows every kind of the registry.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, cast

import msgspec

from kubechain.errors import NotFound
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind
from kubechain.resources.registry import ALL
from kubechain.server.messages import messages
from kubechain.server.structure import of_message, structure
from kubechain.server.views import CORE_EVENTS

V2 = b"\n\x032.0\x12\x06\n\x01k\x12\x01vB\x00J\x00"
"""The empty document in protobuf, for kubectl, which reads version 3 for all that matters to people."""
V2_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_ABOUT_META = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
_ABOUT = {
    "apiVersion": "APIVersion defines the versioned schema of this representation of an object.",
    "kind": "Kind is a string value representing the REST resource this object represents.",
}
_QUERY = ("dryRun", "fieldManager", "fieldValidation", "pretty")
_ACTIONS = {"post": "post", "put": "put", "patch": "patch", "get": "get", "delete": "delete"}
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml")


@cache
def index() -> JsonObject:
    """`/openapi/v3`: each group-version's document, under an address that changes with it."""
    paths: JsonObject = {}
    for path in _documents():
        digest = hashlib.sha256(msgspec.json.encode(_document(path))).hexdigest()[:32].upper()
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def document(path: str) -> JsonObject:
    """The document of `api/v1` or `apis/GROUP/VERSION`; raises NotFound."""
    if path not in _documents():
        raise NotFound("the server could not find the requested resource")
    return _document(path)


@cache
def swagger() -> bytes:
    """`/openapi/v2` in JSON: the schema of every kind, without operations."""
    schemas: JsonObject = {}
    for path in _documents():
        schemas |= cast("JsonObject", cast("JsonObject", _document(path)["components"])["schemas"])
    info: JsonObject = {"title": "KubeChain", "version": "v1"}
    text = msgspec.json.encode({"swagger": "2.0", "info": info, "paths": {}, "definitions": schemas})
    return text.replace(b'"#/components/schemas/', b'"#/definitions/')


@cache
def _documents() -> dict[str, list[Kind[Any]]]:
    found: dict[str, list[Kind[Any]]] = {}
    for kind in (*ALL, CORE_EVENTS):
        found.setdefault(_path(kind), []).append(kind)
    return found


def _path(kind: Kind[Any]) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"


@cache
def _document(path: str) -> JsonObject:
    schemas: JsonObject = {_META: _described(of_message(messages()["ObjectMeta"]), _ABOUT_META)}
    paths: JsonObject = {}
    for kind in _documents()[path]:
        schemas[_name(kind)] = _schema(kind)
        paths |= _operations(kind)
    return {
        "openapi": "3.0.0",
        "info": {"title": "KubeChain", "version": "v1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _described(schema: JsonObject, text: str) -> JsonObject:
    return {"description": text, **schema}


def _name(kind: Kind[Any]) -> str:
    """`dev.humanlayer.kubechain.v1alpha1.Agent`: the group backwards, as a real server names models."""
    if kind.group:
        return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])
    return f"io.k8s.api.core.{kind.version}.{kind.kind}"


def _gvk(kind: Kind[Any]) -> JsonObject:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _schema(kind: Kind[Any]) -> JsonObject:
    whole = structure(kind)
    properties = cast("JsonObject", whole["properties"])
    head: JsonObject = {name: {"type": "string", "description": text} for name, text in _ABOUT.items()}
    meta: JsonObject = {"description": _ABOUT_META, "allOf": [{"$ref": f"#/components/schemas/{_META}"}]}
    own = {name: schema for name, schema in properties.items() if name not in ("metadata", *_ABOUT)}
    text = kind.description or f"{kind.kind} of {kind.api_version}."
    return {
        "type": "object",
        "description": text,
        **{k: v for k, v in whole.items() if k not in ("description", "properties", "type")},
        "properties": {**head, "metadata": meta, **own},
        "x-kubernetes-group-version-kind": [_gvk(kind)],
    }


def _operations(kind: Kind[Any]) -> JsonObject:
    place = "/namespaces/{namespace}" if kind.namespaced else ""
    collection = f"/{_path(kind)}{place}/{kind.plural}"
    one = f"{collection}/{{name}}"
    paths: JsonObject = {
        collection: _methods(kind, {"get": "list", "post": "post", "delete": "deletecollection"}),
        one: _methods(kind, {"get": "get", "put": "put", "patch": "patch", "delete": "delete"}),
    }
    if kind.has_status:
        paths[f"{one}/status"] = _methods(kind, {"get": "get", "put": "put", "patch": "patch"})
    return paths


def _methods(kind: Kind[Any], actions: dict[str, str]) -> JsonObject:
    return {method: _operation(kind, method, action) for method, action in actions.items()}


def _operation(kind: Kind[Any], method: str, action: str) -> JsonObject:
    reference: JsonObject = {"schema": {"$ref": f"#/components/schemas/{_name(kind)}"}}
    operation: JsonObject = {
        "operationId": f"{action}{kind.kind}",
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(kind),
        "responses": {"200": {"description": "OK", "content": {"application/json": reference}}},
    }
    if method in ("post", "put", "patch"):
        names = (*_QUERY, "force") if method == "patch" else _QUERY
        operation["parameters"] = [_parameter(name) for name in names]
        types = _PATCHES if method == "patch" else ("application/json", "application/yaml")
        operation["requestBody"] = {"content": dict.fromkeys(types, cast("JsonValue", reference))}
    return operation


def _parameter(name: str) -> JsonObject:
    type_ = "boolean" if name == "force" else "string"
    return {"name": name, "in": "query", "schema": {"type": type_, "uniqueItems": True}}
