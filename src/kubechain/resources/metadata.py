"""What Kubernetes demands of metadata: names, labels, annotations, owner references.

Called by the store for what a caller changes. Pure; returns causes, raises nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from kubechain.errors import Cause
from kubechain.resources.kind import Kind
from kubechain.resources.model import ObjectMeta

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_ANNOTATION_BYTES = 256 * 1024
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
    "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def bad_value(field: str, value: str, why: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {value}: {why}", field)


def name_problems(kind: Kind[Any], name: str) -> list[Cause]:
    """What is wrong with the name of a new object."""
    field = "metadata.name"
    if not name:
        text = "Required value: name or generateName is required"
        return [Cause("FieldValueRequired", text, field)]
    if kind.group == "rbac.authorization.k8s.io":
        bad = name in (".", "..") or "/" in name or "%" in name
        return [bad_value(field, f'"{name}"', "may not be '.' or '..' or contain '/' or '%'")] if bad else []
    pattern, text, limit = _SUBDOMAIN, _SUBDOMAIN_TEXT, 253
    if (kind.group, kind.plural) == ("", "namespaces"):
        pattern, text, limit = _LABEL, _LABEL_TEXT, 63
        text = "must not contain dots" if "." in name else text
    if len(name) > limit:
        return [bad_value(field, f'"{name}"', f"must be no more than {limit} characters")]
    return [] if pattern.fullmatch(name) else [bad_value(field, f'"{name}"', text)]


def problems(meta: ObjectMeta, old: ObjectMeta | None = None) -> list[Cause]:
    """What is wrong with labels, annotations and owner references, where they differ from `old`."""
    found: list[Cause] = []
    if meta.labels and (old is None or meta.labels != old.labels):
        found += _label_problems(meta.labels)
    if meta.annotations and (old is None or meta.annotations != old.annotations):
        found += _annotation_problems(meta.annotations)
    if len(meta.owner_references) > 1 and sum(r.controller is True for r in meta.owner_references) > 1:
        text = "Invalid value: Only one reference can have Controller set to true"
        found.append(Cause("FieldValueInvalid", text, "metadata.ownerReferences"))
    return found


def _label_problems(labels: dict[str, str]) -> Iterator[Cause]:
    field = "metadata.labels"
    for key, value in labels.items():
        if not _is_key(key):
            yield from _key_problems(field, key)
        if len(value) > 63:
            yield bad_value(field, f'"{value}"', "must be no more than 63 characters")
        elif value and not _QUALIFIED.fullmatch(value):
            yield bad_value(field, f'"{value}"', _VALUE_TEXT)


def _annotation_problems(annotations: dict[str, str]) -> Iterator[Cause]:
    field = "metadata.annotations"
    for key in annotations:
        yield from _key_problems(field, key)
    if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > _ANNOTATION_BYTES:
        yield Cause("FieldValueTooLong", f"Too long: may not be more than {_ANNOTATION_BYTES} bytes", field)


@lru_cache(maxsize=256)
def _is_key(key: str) -> bool:
    """Whether it may name a label: few keys are in use, on many objects."""
    return not list(_key_problems("", key))


def _key_problems(field: str, key: str) -> Iterator[Cause]:
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix)):
        yield bad_value(field, f'"{key}"', f"prefix part {_SUBDOMAIN_TEXT}")
    if len(name) > 63:
        yield bad_value(field, f'"{key}"', "name part must be no more than 63 characters")
    elif not _QUALIFIED.fullmatch(name):
        yield bad_value(field, f'"{key}"', _QUALIFIED_TEXT)
