"""Prunes, defaults and checks an object before it is stored, as a Kubernetes API server does.

Called by the HTTP layer between decoding and storing. Pure: the store sets versions, uids and times.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from msgspec import inspect as mi
from msgspec.structs import replace

from kubechain.errors import BadRequest, Cause
from kubechain.resources.json import JsonObject, JsonValue, lookup
from kubechain.resources.kind import Kind
from kubechain.resources.model import Model, Rule
from kubechain.server import builtin, metadata
from kubechain.server.causes import BLOCKING, SKIPPED, invalid, refuse
from kubechain.server.schema import MISSING, Old, fit, list_keys, rules, validate


def match_request(obj: JsonObject, kind: Kind[Any], namespace: str, name: str = "") -> JsonObject:
    """The object with the namespace of its URL; raises BadRequest where it has another, or another name."""
    meta = obj.get("metadata")
    meta = dict(meta) if isinstance(meta, dict) else {}
    if name and meta.get("name") != name:
        if not meta.get("name"):
            text = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
            raise BadRequest(text)
        raise BadRequest(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
    if kind.namespaced and meta.get("namespace") and meta["namespace"] != namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    if kind.namespaced:
        meta["namespace"] = namespace
    else:
        meta.pop("namespace", None)
    return {**obj, "metadata": meta}


def admit(
    kind: Kind[Any],
    obj: JsonObject,
    old: JsonObject | None,
    *,
    status_only: bool = False,
    address: Kind[Any] | None = None,
) -> JsonObject:
    """The object as it is to be stored; raises Invalid with every cause a real server would name.

    `obj` comes from `strict.decode`; `old` is the stored object on update, None on create. With `status_only`
    everything but status is taken from `old`. `address`: the kind that the URL names, where it is another.
    """
    if kind.ours or kind.kind == "Lease":
        _refuse_unversioned(kind, obj, old)
    if not kind.ours:
        return _admit_builtin(kind, obj, old, status_only, address)
    _refuse_other_kind(kind, obj)
    whole = _lean(fit(kind.schema, _with_status(obj, old, status_only)))
    causes = list(_common(kind, whole, old, metadata.subdomain))
    base = whole if old is None else {**old, "metadata": {}}
    status_path = "status" if status_only else ""
    faults = _schema_causes(kind, whole, None if old is None else base, status_path)
    causes += faults
    known = _rules_of(kind.raw.model)
    if not any(cause.reason in BLOCKING for cause in causes):
        former: Old = MISSING if old is None else base
        causes += rules(kind.schema, {**whole, "metadata": {}}, former, lambda *texts: known[texts])
    elif known:
        causes.append(SKIPPED)
    refuse(kind, _name(whole), causes)
    return whole


def _with_status(obj: JsonObject, old: JsonObject | None, status_only: bool) -> JsonObject:
    """Spec from the one, status from the other, because each endpoint writes only its own part."""
    if status_only and old is not None:
        kept = {name: value for name, value in old.items() if name != "status"}
        theirs = ("resourceVersion", "managedFields")
        sent: JsonObject = {name: value for name, value in _meta(obj).items() if name in theirs}
        kept["metadata"] = {**_meta(old), **sent}
        return {**kept, "status": obj["status"]} if "status" in obj else kept
    out = {name: value for name, value in obj.items() if name != "status"}
    if old is not None and "status" in old:
        out["status"] = old["status"]
    return out


_OMITTED = ("data", "binaryData", "secrets", "imagePullSecrets", "subjects")
"""Members of built-in objects that are left out when they are empty."""


def _lean(obj: JsonValue, *names: str) -> JsonObject:
    """The object without empty metadata, nor empty members of these names."""
    out = {name: v for name, v in obj.items() if v or name not in names} if isinstance(obj, dict) else {}
    if "metadata" in out:
        out["metadata"] = {name: v for name, v in _meta(out).items() if v not in ({}, [], "", None)}
    return out


def _schema_causes(kind: Kind[Any], whole: JsonObject, old: JsonObject | None, status_path: str) -> list[Cause]:
    schema = kind.schema
    found: list[Cause] = []
    if status_path:
        properties = schema["properties"]
        assert isinstance(properties, dict)  # noqa: S101 - schemas of kinds have properties
        inner = properties["status"]
        if isinstance(inner, dict) and "status" in whole:
            before: Old = old["status"] if old is not None and "status" in old else MISSING
            found += (_below(status_path, cause) for cause in validate(inner, whole["status"], before))
    else:
        found += validate(schema, {**whole, "metadata": {}}, MISSING if old is None else old)
    if old is None or not any(list_keys(schema, old)):
        found += list_keys(schema, whole)
    return found


def _below(path: str, cause: Cause) -> Cause:
    if cause.field.startswith("<"):
        return cause
    return Cause(cause.reason, cause.message, f"{path}.{cause.field.lstrip('.')}" if cause.field else path)


def _common(
    kind: Kind[Any], obj: JsonObject, old: JsonObject | None, name_check: metadata.NameCheck
) -> Iterator[Cause]:
    """Metadata; on update a real server checks parts of it three times, and reports them three times."""
    meta = _meta(obj)
    if old is None:
        yield from metadata.check(kind, meta, name_check)
        return
    yield from metadata.check(kind, meta, metadata.path_segment)
    yield from metadata.check_update(meta, _meta(old))
    yield from metadata.check_update(meta, _meta(old))


def _admit_builtin(
    kind: Kind[Any], obj: JsonObject, old: JsonObject | None, status_only: bool, address: Kind[Any] | None
) -> JsonObject:
    parted = _with_status(obj, old, status_only) if kind.has_status else obj
    whole = _lean(builtin.complete(kind, parted), *_OMITTED)
    causes = list(_common(kind, whole, old, builtin.name_check(kind)))
    causes += builtin.check(kind, whole, old, address)
    refuse(kind, _name(whole), causes)
    return whole


def _refuse_unversioned(kind: Kind[Any], obj: JsonObject, old: JsonObject | None) -> None:
    if old is not None:
        refuse(kind, _name(obj), metadata.unversioned(_meta(obj)), called=kind.plural)


def _refuse_other_kind(kind: Kind[Any], obj: JsonObject) -> None:
    causes = [
        invalid(field, obj.get(field) or "", f"must be {wanted}")
        for field, wanted in (("kind", kind.kind), ("apiVersion", kind.api_version))
        if obj.get(field) != wanted
    ]
    if not causes:
        return
    given = replace(kind, group=str(obj.get("apiVersion") or "").rpartition("/")[0])
    refuse(given, _name(obj), causes, called=str(obj.get("kind") or ""))


@lru_cache
def _rules_of(model: type[Model] | None) -> dict[tuple[str, ...], Rule]:
    """The rules of a model and all below it, by CEL text and message."""
    found: dict[tuple[str, ...], Rule] = {}
    seen: set[type] = set()

    def visit(node: mi.Type) -> None:
        match node:
            case mi.StructType(cls=cls, fields=fields) if cls not in seen:
                seen.add(cls)
                if issubclass(cls, Model):
                    found.update({(rule.cel, rule.message): rule for rule in cls.rules})
                for field in fields:
                    visit(field.type)
            case mi.Metadata(type=inner):
                visit(inner)
            case mi.UnionType(types=types):
                for inner in types:
                    visit(inner)
            case mi.ListType(item_type=inner) | mi.DictType(value_type=inner):
                visit(inner)

    if model is not None:
        visit(mi.type_info(model))
    return found


def _meta(obj: JsonObject) -> JsonObject:
    meta = obj.get("metadata")
    return meta if isinstance(meta, dict) else {}


def _name(obj: JsonObject) -> str:
    name: JsonValue = lookup(obj, "metadata.name")
    return name if isinstance(name, str) else ""
