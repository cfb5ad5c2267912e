"""The causes of a 422, worded as a Kubernetes API server words them.

Called by every check of the server; `refuse` turns a list of them into the error that is raised.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

from kubechain.errors import Cause, Details, Invalid
from kubechain.resources.json import JsonValue
from kubechain.resources.kind import Kind

NOWHERE = "<nil>"
MAX_CAUSES = 100
"""Of one refusal; an object of some hundred thousand labels could have as many."""
SKIPPED = Cause(
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
    NOWHERE,
)
BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
"""Reasons after which rules are not evaluated."""


def shown(value: JsonValue) -> str:
    """A value as error texts show it: JSON, compact."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def invalid(path: str, value: JsonValue, detail: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}", path)


def type_invalid(path: str, value: JsonValue, detail: str) -> Cause:
    return Cause("FieldValueTypeInvalid", f"Invalid value: {shown(value)}: {detail}", path)


def rule_broken(path: str, detail: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {detail}", path)


def required(path: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", f"Required value: {detail}" if detail else "Required value", path)


def not_supported(path: str, value: JsonValue, supported: Iterable[str]) -> Cause:
    names = ", ".join(shown(name) for name in supported)
    return Cause("FieldValueNotSupported", f"Unsupported value: {shown(value)}: supported values: {names}", path)


def too_long(path: str, limit: int) -> Cause:
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", path)


def too_many(path: str, actual: int, limit: int) -> Cause:
    return Cause("FieldValueTooMany", f"Too many: {actual}: must have at most {limit} items", path)


def duplicate(path: str, value: JsonValue) -> Cause:
    return Cause("FieldValueDuplicate", f"Duplicate value: {shown(value)}", path)


def forbidden(path: str, detail: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", path)


def refuse(kind: Kind[Any], name: str, causes: Iterable[Cause], *, called: str = "") -> None:
    """Raises Invalid if there is any cause. A repeated text is in the message once.

    `called`: the name of the kind in the message, if it is a different one.
    """
    found = tuple(islice(causes, MAX_CAUSES))
    if not found:
        return
    said = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in found))
    text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    group = "" if kind.kind == "Event" else kind.group  # a real server judges events in their old group
    word = called or kind.kind
    qualified = f"{word}.{group}" if group else word
    details = Details(name=name, group=group, kind=word, causes=found)
    raise Invalid(f"{qualified} {shown(name)} is invalid: {text}", details)
