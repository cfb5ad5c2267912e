"""Defaults and checks of the built-in kinds, beyond types and metadata, as in a Kubernetes API server.

Called by `admission`. Pure; texts and order are those of a real server.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

from kubechain.errors import Cause
from kubechain.resources.json import JsonObject, JsonValue, lookup
from kubechain.resources.kind import Kind
from kubechain.server.causes import forbidden, invalid, not_supported, required, too_long
from kubechain.server.metadata import NameCheck, dns_label, path_segment, qualified_name, subdomain
from kubechain.server.syntax import first_fault

RBAC = "rbac.authorization.k8s.io"
DATA_LIMIT = 1024 * 1024
_KEY = "[-._a-zA-Z0-9]+"
_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
    f"(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '{_KEY}')"
)
_FROZEN = "field is immutable when `immutable` is set"
_ACCOUNT = "kubernetes.io/service-account.name"


def name_check(kind: Kind[Any]) -> NameCheck:
    """The check for the names of a kind."""
    if kind.kind == "Namespace":
        return dns_label
    if kind.group == RBAC:
        return lambda name, prefix: path_segment(name)
    return subdomain


def complete(kind: Kind[Any], obj: JsonObject) -> JsonObject:
    """The object with a real server's defaults."""
    match kind.kind:
        case "Secret":
            return _secret_defaults(obj)
        case "Namespace":
            return _namespace_defaults(obj)
        case "RoleBinding" | "ClusterRoleBinding":
            return _binding_defaults(obj)
    return obj


def _secret_defaults(obj: JsonObject) -> JsonObject:
    out = {**obj, "type": obj.get("type") or "Opaque"}
    texts = out.pop("stringData", None)
    if isinstance(texts, dict):
        encoded: JsonObject = {k: base64.b64encode(str(v).encode()).decode() for k, v in texts.items()}
        out["data"] = {**_object(obj.get("data")), **encoded}
    return out


def _namespace_defaults(obj: JsonObject) -> JsonObject:
    meta, spec, status = _object(obj.get("metadata")), _object(obj.get("spec")), _object(obj.get("status"))
    name = meta.get("name")
    if name:
        meta = {**meta, "labels": {**_object(meta.get("labels")), "kubernetes.io/metadata.name": name}}
    if not meta.get("deletionTimestamp"):
        spec = {**spec, "finalizers": _list(spec.get("finalizers")) or ["kubernetes"]}
    if "kubernetes" not in _list(spec.get("finalizers")) and not meta.get("deletionTimestamp"):
        spec = {**spec, "finalizers": [*_list(spec.get("finalizers")), "kubernetes"]}
    return {**obj, "metadata": meta, "spec": spec, "status": {**status, "phase": status.get("phase") or "Active"}}


def _binding_defaults(obj: JsonObject) -> JsonObject:
    out = dict(obj)
    reference = _object(obj.get("roleRef"))
    out["roleRef"] = {**reference, "apiGroup": reference.get("apiGroup") or RBAC}
    if "subjects" in obj:
        out["subjects"] = [
            {"apiGroup": RBAC, **subject} if subject.get("kind") in ("User", "Group") else subject
            for subject in _objects(obj["subjects"])
        ]
    return out


def check(
    kind: Kind[Any], obj: JsonObject, old: JsonObject | None, address: Kind[Any] | None = None
) -> Iterator[Cause]:
    """The causes for which a real server refuses a built-in object; `old` on update.

    `address`: the kind that the URL names, where the object is kept as another.
    """
    checks = _core_event if address is not None and address.kind == "Event" else _CHECKS.get(kind.kind)
    if checks is not None:
        yield from checks(obj, old)


def _secret(obj: JsonObject, old: JsonObject | None) -> Iterator[Cause]:
    if old is not None:
        if obj.get("type") != old.get("type"):
            yield invalid("type", obj.get("type"), "field is immutable")
        yield from _frozen(obj, old, "data")
    data = _object(obj.get("data"))
    yield from _keys("data", data)
    if sum(len(str(value)) * 3 // 4 - str(value)[-2:].count("=") for value in data.values()) > DATA_LIMIT:
        yield too_long("data", DATA_LIMIT)
    match obj.get("type"):
        case "kubernetes.io/service-account-token":
            owner = _object(lookup(obj, "metadata.annotations")).get(_ACCOUNT)
            if not owner:
                yield required(f"metadata.annotations[{_ACCOUNT}]")
        case "kubernetes.io/dockercfg":
            yield from _json_under(".dockercfg", data)
        case "kubernetes.io/dockerconfigjson":
            yield from _json_under(".dockerconfigjson", data)
        case "kubernetes.io/basic-auth" if not {"username", "password"} & data.keys():
            yield from (required(f"data[{key}]") for key in ("username", "password"))
        case "kubernetes.io/ssh-auth" if not data.get("ssh-privatekey"):
            yield required("data[ssh-privatekey]")
        case "kubernetes.io/tls":
            yield from (required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data)


def _json_under(key: str, data: JsonObject) -> Iterator[Cause]:
    if key not in data:
        yield required(f"data[{key}]")
        return
    content = base64.b64decode(str(data[key]))
    fault = first_fault(content)
    if fault != "invalid UTF-8 in string":
        yield invalid(f"data[{key}]", "<secret contents redacted>", fault)


def _config_map(obj: JsonObject, old: JsonObject | None) -> Iterator[Cause]:
    if old is not None:
        yield from _frozen(obj, old, "data", "binaryData")
    data, binary = _object(obj.get("data")), _object(obj.get("binaryData"))
    for key in sorted(data):
        yield from _keys("data", {key: None})
        if key in binary:
            yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    yield from _keys("binaryData", binary)
    size = sum(len(str(text).encode()) for text in data.values())
    if size + sum(len(str(text)) * 3 // 4 for text in binary.values()) > DATA_LIMIT:
        yield too_long("[]", DATA_LIMIT)


def _frozen(obj: JsonObject, old: JsonObject, *bags: str) -> Iterator[Cause]:
    if old.get("immutable") is not True:
        return
    if obj.get("immutable") is not True:
        yield forbidden("immutable", _FROZEN)
    yield from (forbidden(bag, _FROZEN) for bag in bags if (obj.get(bag) or {}) != (old.get(bag) or {}))


def _keys(bag: str, data: JsonObject) -> Iterator[Cause]:
    for key in sorted(data):
        if len(key) > 253:
            yield invalid(f"{bag}[{key}]", key, "must be no more than 253 bytes")
        if not re.fullmatch(_KEY, key):
            yield invalid(f"{bag}[{key}]", key, _KEY_TEXT)
        if key == ".":
            yield invalid(f"{bag}[{key}]", key, "must not be '.'")
        elif key.startswith(".."):
            yield invalid(f"{bag}[{key}]", key, f"must not {'be' if key == '..' else 'start with'} '..'")


def _namespace(obj: JsonObject, old: JsonObject | None) -> Iterator[Cause]:
    for finalizer in _list(lookup(obj, "spec.finalizers")) if old is None else []:
        name, path = str(finalizer), "spec.finalizers"
        yield from (invalid(path, name, fault) for fault in qualified_name(name))
        if "/" not in name and name not in ("kubernetes", "orphan", "foregroundDeletion"):
            yield invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified")


def _lease(obj: JsonObject, old: JsonObject | None) -> Iterator[Cause]:
    seconds, transitions = lookup(obj, "spec.leaseDurationSeconds"), lookup(obj, "spec.leaseTransitions")
    if isinstance(seconds, int) and seconds <= 0:
        yield invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    if isinstance(transitions, int) and transitions < 0:
        yield invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0")


def _core_event(obj: JsonObject, old: JsonObject | None) -> Iterator[Cause]:
    """An event of core/v1 may have as few fields as before events.k8s.io."""
    return _event_basics(obj, "reportingComponent")


def _event_basics(obj: JsonObject, controller: str) -> Iterator[Cause]:
    namespace, about = lookup(obj, "metadata.namespace") or "default", lookup(obj, "regarding.namespace")
    if obj.get("eventTime"):
        if not about and namespace not in ("default", "kube-system"):
            yield invalid("involvedObject.namespace", about or "", "does not match event.namespace")
        yield from _event_texts(obj, controller)
    elif (about or "default") != namespace:
        yield invalid("involvedObject.namespace", about or "", "does not match event.namespace")


def _event(obj: JsonObject, old: JsonObject | None) -> Iterator[Cause]:
    yield from _event_basics(obj, "reportingController")
    series = obj.get("series")
    if isinstance(series, dict) and (old is None or series != old.get("series")):
        count = series.get("count")
        if not isinstance(count, int) or count < 2:
            yield invalid("series.count", "", "should be at least 2")
        if not series.get("lastObservedTime"):
            yield required("series.lastObservedTime")
    if old is not None:
        yield from _event_unchanged(obj, old)
        return
    if not obj.get("eventTime"):
        yield required("eventTime")
    if obj.get("type") not in ("Normal", "Warning"):
        yield invalid("type", "", f"has invalid value: {obj.get('type') or ''}")
    for field, shown in _DEPRECATED.items():
        if obj.get(field):
            yield invalid(shown, "", "needs to be unset")


def _event_texts(obj: JsonObject, field_name: str) -> Iterator[Cause]:
    controller = str(obj.get("reportingController") or "")
    if not controller:
        yield required(field_name)
    yield from (invalid(field_name, controller, fault) for fault in qualified_name(controller))
    for field in ("reportingInstance", "action", "reason"):
        if not obj.get(field):
            yield required(field)
        elif len(str(obj[field]).encode()) > 128:
            yield invalid(field, "", "can have at most 128 characters")
    if len(str(obj.get("note") or "").encode()) > 1024:
        yield invalid("message", "", "can have at most 1024 characters")


def _event_unchanged(obj: JsonObject, old: JsonObject) -> Iterator[Cause]:
    for field, shown in _FIXED.items():
        if (obj.get(field) or None) != (old.get(field) or None):
            yield invalid(shown, obj.get(field), "field is immutable")


_DEPRECATED = {
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "deprecatedSource": "source",
}
_FIXED = {
    "regarding": "involvedObject",
    "reason": "reason",
    "note": "message",
    "type": "type",
    "eventTime": "eventTime",
    "action": "action",
    "related": "related",
    "reportingController": "reportingController",
    "reportingInstance": "reportingInstance",
}


def _role(namespaced: bool) -> Callable[[JsonObject, JsonObject | None], Iterator[Cause]]:
    def checks(obj: JsonObject, old: JsonObject | None) -> Iterator[Cause]:
        for i, rule in enumerate(_objects(obj.get("rules"))):
            yield from _policy_rule(rule, f"rules[{i}]", namespaced)
        aggregation = obj.get("aggregationRule")
        if isinstance(aggregation, dict) and not aggregation.get("clusterRoleSelectors"):
            text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
            yield required("aggregationRule.clusterRoleSelectors", text)

    return checks


def _policy_rule(rule: JsonObject, path: str, namespaced: bool) -> Iterator[Cause]:
    if not rule.get("verbs"):
        yield required(f"{path}.verbs", "verbs must contain at least one value")
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            yield invalid(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            yield invalid(f"{path}.nonResourceURLs", urls, text)
        return
    if not rule.get("apiGroups"):
        yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield required(f"{path}.resources", "resource rules must supply at least one resource")


def _binding(namespaced: bool) -> Callable[[JsonObject, JsonObject | None], Iterator[Cause]]:
    kinds = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)

    def checks(obj: JsonObject, old: JsonObject | None) -> Iterator[Cause]:
        reference = _object(obj.get("roleRef"))
        if reference.get("apiGroup") != RBAC:
            yield not_supported("roleRef.apiGroup", reference.get("apiGroup"), [RBAC])
        if reference.get("kind") not in kinds:
            yield not_supported("roleRef.kind", reference.get("kind") or "", kinds)
        if not reference.get("name"):
            yield required("roleRef.name")
        for i, subject in enumerate(_objects(obj.get("subjects"))):
            yield from _subject(subject, f"subjects[{i}]", namespaced)
        if old is not None and reference != old.get("roleRef"):
            capital: JsonObject = {k: reference.get(k[0].lower() + k[1:]) for k in ("Kind", "Name")}
            yield invalid("roleRef", {"APIGroup": reference.get("apiGroup"), **capital}, "cannot change roleRef")

    return checks


def _subject(subject: JsonObject, path: str, namespaced: bool) -> Iterator[Cause]:
    name, group = str(subject.get("name") or ""), subject.get("apiGroup") or ""
    if not name:
        yield required(f"{path}.name")
    match subject.get("kind"):
        case "ServiceAccount":
            yield from (invalid(f"{path}.name", name, fault) for fault in (subdomain(name) if name else []))
            if group:
                yield not_supported(f"{path}.apiGroup", group, [""])
            if not namespaced and not subject.get("namespace"):
                yield required(f"{path}.namespace")
        case "User" | "Group":
            if group != RBAC:
                yield not_supported(f"{path}.apiGroup", group, [RBAC])
        case kind:
            yield not_supported(f"{path}.kind", kind or "", ["ServiceAccount", "User", "Group"])


_CHECKS: dict[str, Callable[[JsonObject, JsonObject | None], Iterator[Cause]]] = {
    "Secret": _secret,
    "ConfigMap": _config_map,
    "Namespace": _namespace,
    "Lease": _lease,
    "Event": _event,
    "Role": _role(True),
    "ClusterRole": _role(False),
    "RoleBinding": _binding(True),
    "ClusterRoleBinding": _binding(False),
}


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _objects(value: JsonValue) -> list[JsonObject]:
    return [item for item in _list(value) if isinstance(item, dict)]
