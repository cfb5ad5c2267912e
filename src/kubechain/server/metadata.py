"""Checks of object metadata: names, labels, annotations, owners, finalizers, what an update may not change.

Called by `admission` for every kind. Pure; texts and order are those of a Kubernetes API server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, cast

from kubechain.errors import Cause
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.kind import Kind
from kubechain.server.causes import MAX_CAUSES, forbidden, invalid, required, shown, too_long

ANNOTATIONS_LIMIT = 256 * 1024
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_NAME})?"
_DOTTED = "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character "
    f"(e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_NAME_TEXT = f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME}')"
_VALUE_TEXT = (
    f"a valid label must be an empty string or consist of {_DOTTED} "
    f"(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_VALUE}')"
)
NameCheck = Callable[[str, bool], list[str]]


def subdomain(name: str, prefix: bool = False) -> list[str]:
    """What keeps a text from being a DNS subdomain; of a prefix the last character may be `-`."""
    faults = ["must be no more than 253 characters"] if len(name) > 253 else []
    if not re.fullmatch(_SUBDOMAIN, _without_dash(name) if prefix else name):
        faults.append(_SUBDOMAIN_TEXT)
    return faults


def dns_label(name: str, prefix: bool = False) -> list[str]:
    """What keeps a text from being a DNS label."""
    faults = ["must be no more than 63 characters"] if len(name) > 63 else []
    if "." in name:
        return [*faults, "must not contain dots"]
    if not re.fullmatch(_LABEL, _without_dash(name) if prefix else name):
        faults.append(_LABEL_TEXT)
    return faults


def path_segment(name: str, prefix: bool = False) -> list[str]:
    """What keeps a text from being one segment of a URL path."""
    if not prefix and name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{char}'" for char in "/%" if char in name]


def qualified_name(text: str) -> list[str]:
    """What keeps a text from being `name` or `prefix/name`, as keys of labels and finalizers are."""
    parts = text.split("/")
    if len(parts) > 2:
        return [
            f"a valid label key must consist of {_DOTTED} {_NAME_TEXT} with an optional DNS subdomain prefix and "
            "'/' (e.g. 'example.com/MyName')"
        ]
    faults: list[str] = []
    if len(parts) == 2:
        if not parts[0]:
            faults.append("prefix part must be non-empty")
        else:
            faults += [f"prefix part {fault}" for fault in subdomain(parts[0])]
    name = parts[-1]
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 bytes")
    if not re.fullmatch(_NAME, name):
        faults.append(f"name part must consist of {_DOTTED} {_NAME_TEXT}")
    return faults


def label_value(text: str) -> list[str]:
    """What keeps a text from being a label's value."""
    faults = ["must be no more than 63 bytes"] if len(text.encode()) > 63 else []
    return faults if re.fullmatch(_VALUE, text) else [*faults, _VALUE_TEXT]


def _without_dash(name: str) -> str:
    return name[:-1] + "a" if name.endswith("-") else name


def check(kind: Kind[Any], meta: JsonObject, name_check: NameCheck) -> Iterator[Cause]:
    """Everything that must hold of metadata on create and update."""
    name, generate = str(meta.get("name") or ""), str(meta.get("generateName") or "")
    if generate:
        yield from (invalid("metadata.generateName", generate, f) for f in name_check(generate, True))
    if name:
        yield from (invalid("metadata.name", name, fault) for fault in name_check(name, False))
    elif not generate:  # the store completes generated names
        yield required("metadata.name", "name or generateName is required")
    namespace = str(meta.get("namespace") or "")
    if namespace and not kind.namespaced:
        yield forbidden("metadata.namespace", "not allowed on this type")
    elif namespace:
        yield from (invalid("metadata.namespace", namespace, fault) for fault in dns_label(namespace))
    yield from _marks(meta)
    yield from _finalizers(meta)


def check_update(meta: JsonObject, old: JsonObject) -> Iterator[Cause]:
    """What an update may not change, and the marks once more, as a real server does."""
    if old.get("deletionTimestamp"):
        known = set(_strings(old.get("finalizers")))
        new = sorted(set(_strings(meta.get("finalizers"))) - known)
        if new:
            listed = ", ".join(shown(name) for name in new)
            yield forbidden(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}",
            )
    for field in ("name", "namespace", "deletionTimestamp"):  # the store compares uids
        value = meta.get(field) or old.get(field)
        if value != old.get(field):
            yield invalid(f"metadata.{field}", value, "field is immutable")
    yield from _marks(meta)


def unversioned(meta: JsonObject) -> Iterator[Cause]:
    """The complaint of kinds whose updates must name the version they replace."""
    if meta.get("resourceVersion") in (None, "", "0"):
        yield Cause(
            "FieldValueInvalid", "Invalid value: 0: must be specified for an update", "metadata.resourceVersion"
        )


def _marks(meta: JsonObject) -> Iterator[Cause]:
    labels, annotations = _texts(meta.get("labels")), _texts(meta.get("annotations"))
    for key in sorted(labels):
        yield from (invalid("metadata.labels", key, fault) for fault in qualified_name(key))
        yield from (invalid("metadata.labels", labels[key], fault) for fault in label_value(labels[key]))
    for key in sorted(annotations):
        yield from (invalid("metadata.annotations", key, fault) for fault in qualified_name(key.lower()))
    if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > ANNOTATIONS_LIMIT:
        yield too_long("metadata.annotations", ANNOTATIONS_LIMIT)
    yield from _owners(meta)


def _owners(meta: JsonObject) -> Iterator[Cause]:
    path, first, more = "metadata.ownerReferences", "", 0
    owners = meta.get("ownerReferences")
    references = cast("list[JsonObject]", owners if isinstance(owners, list) else [])
    complete = [_reference(reference) for reference in references]
    for reference in complete:
        version = str(reference["apiVersion"])
        if not version or version.count("/") > 1:
            yield invalid(f"{path}.apiVersion", version, "version must not be empty")
        for field in ("kind", "name", "uid"):
            if not reference[field]:
                yield invalid(f"{path}.{field}", "", "must not be empty")
        if (version, reference["kind"]) == ("v1", "Event"):
            yield invalid(path, reference, "/v1, Kind=Event is disallowed from being an owner")
        if reference.get("controller") is True:
            this = f"{reference['kind']}/{reference['name']}"
            more += bool(first)
            if first and more <= MAX_CAUSES:
                text = 'Only one reference can have Controller set to true. Found "true" in references for'
                yield invalid(path, cast("JsonValue", complete), f"{text} {first} and {this}")
            first = first or this


def _reference(reference: JsonObject) -> JsonObject:
    """In the order and completeness of a Go struct."""
    whole: JsonObject = {field: reference.get(field) or "" for field in ("apiVersion", "kind", "name", "uid")}
    return whole | {f: reference[f] for f in ("controller", "blockOwnerDeletion") if f in reference}


def _finalizers(meta: JsonObject) -> Iterator[Cause]:
    finalizers = _strings(meta.get("finalizers"))
    for finalizer in finalizers:
        yield from (invalid("metadata.finalizers", finalizer, fault) for fault in qualified_name(finalizer))
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        yield invalid("metadata.finalizers", cast("JsonValue", finalizers), text)


def each_owner_once(obj: JsonObject) -> tuple[JsonObject, list[str]]:
    """The object with the first of several references to one owner, and the warning about the others."""
    meta = obj.get("metadata")
    owners = meta.get("ownerReferences") if isinstance(meta, dict) else None
    if not isinstance(meta, dict) or not isinstance(owners, list) or len(owners) < 2:
        return obj, []
    first: dict[str, JsonValue] = {}
    twice: list[str] = []
    for owner in owners:
        uid = str(owner.get("uid")) if isinstance(owner, dict) else ""
        if uid in first:
            twice.append(uid)
        first.setdefault(uid, owner)
    if not twice:
        return obj, []
    text = (
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and "
        "may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
    )
    return {**obj, "metadata": {**meta, "ownerReferences": [*first.values()]}}, [text + ", ".join(twice)]


def undomained(obj: JsonObject) -> list[str]:
    """The warnings about finalizers without a domain in their names."""
    meta = obj.get("metadata")
    names = _strings(meta.get("finalizers")) if isinstance(meta, dict) else []
    advice = "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
    known = ("orphan", "foregroundDeletion", "kubernetes")
    return [f"metadata.finalizers: {shown(n)}: {advice}" for n in names if "/" not in n and n not in known]


def _texts(value: JsonValue) -> dict[str, str]:
    return {key: str(text) for key, text in value.items()} if isinstance(value, dict) else {}


def _strings(value: JsonValue) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
