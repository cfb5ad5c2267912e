"""Query parameters -> options, with the refusals that a Kubernetes API server gives.

Called by `read`, `watch` and `write`. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from kubechain.errors import BadRequest, Cause, Details, Invalid
from kubechain.resources.builtin import EVENTS
from kubechain.runtime.api import DeleteOptions, ListOptions, WatchOptions
from kubechain.runtime.selectors import FieldSelector, Requirement, parse_fields, parse_labels
from kubechain.server.causes import shown
from kubechain.server.paths import Target
from kubechain.server.views import field_label

Query = Mapping[str, str]
Validation = Literal["Ignore", "Warn", "Strict"]
META = "meta.k8s.io"
MAX_WATCH_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a write is to be done; `manager` owns the fields that it sets."""

    manager: str
    dry_run: bool = False
    validation: Validation = "Warn"
    force: bool = False


def flag(query: Query, name: str) -> bool:
    """Whether a boolean parameter is set; any text but `false` and `0` sets it."""
    return name in query and query[name].lower() not in ("false", "0")


def number(query: Query, name: str) -> int:
    """A whole number, 0 where the parameter is absent. Raises BadRequest."""
    text = query.get(name, "")
    if not text:
        return 0
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f'{name}: strconv.ParseInt: parsing "{text}": invalid syntax') from None


def list_options(query: Query, target: Target) -> ListOptions:
    """Selectors, page and version of a LIST. Raises BadRequest, Invalid."""
    if flag(query, "sendInitialEvents"):
        raise _options_invalid(
            "ListOptions", "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list"
        )
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    token, limit = query.get("continue", ""), number(query, "limit")
    _check_version(version)
    if match and not version:
        text = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise _options_invalid("ListOptions", "resourceVersionMatch", text)
    if match not in ("", "Exact", "NotOlderThan"):
        text = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        raise _options_invalid("ListOptions", "resourceVersionMatch", text)
    if match == "Exact" and version == "0":
        text = 'Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
        raise _options_invalid("ListOptions", "resourceVersionMatch", text)
    if token and version not in ("", "0"):
        raise BadRequest("specifying resource version is not allowed when using continue")
    return ListOptions(
        labels=parse_labels(query.get("labelSelector", "")),
        fields=_fields(query, target),
        limit=max(0, limit),
        continue_token=token,
        resource_version="" if token else version,
        match=cast("Literal['', 'Exact', 'NotOlderThan']", match),
    )


def watch_options(query: Query, target: Target) -> WatchOptions:
    """Selectors and starting point of a WATCH. Raises BadRequest, Invalid."""
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    initial = flag(query, "sendInitialEvents")
    _check_version(version)
    if "sendInitialEvents" in query and match != "NotOlderThan":
        text = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise _options_invalid("ListOptions", "resourceVersionMatch", text)
    if match and "sendInitialEvents" not in query:
        text = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise _options_invalid("ListOptions", "resourceVersionMatch", text)
    return WatchOptions(
        labels=parse_labels(query.get("labelSelector", "")),
        fields=_fields(query, target),
        since=version,
        initial_events=initial,
        bookmarks=flag(query, "allowWatchBookmarks"),
    )


def watch_seconds(query: Query) -> float:
    """How long a watch lasts: as asked, else between half an hour and one hour so that clients spread."""
    asked = number(query, "timeoutSeconds")
    return float(asked) if asked > 0 else MAX_WATCH_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311


def write_options(query: Query, user_agent: str, options: str = "CreateOptions") -> WriteOptions:
    """dryRun, fieldManager, fieldValidation, force; `options` names the type in error texts. Raises Invalid."""
    validation = query.get("fieldValidation", "") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        text = f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
        raise _options_invalid(options, "fieldValidation", text)
    manager = query.get("fieldManager", "")
    if len(manager) > 128:
        raise _options_invalid(options, "fieldManager", "Too long: may not be more than 128 bytes")
    for at, char in enumerate(manager):
        if not char.isprintable():
            text = f"Invalid value: {shown(manager)}: invalid character U+{ord(char):04X} (at position {at})"
            raise _options_invalid(options, "fieldManager", text)
    return WriteOptions(
        manager=manager or user_agent.split("/", 1)[0][:128] or "unknown",
        dry_run=dry_run(query.get("dryRun", ""), options),
        validation=cast("Validation", validation),
        force=flag(query, "force"),
    )


def dry_run(text: str, options: str) -> bool:
    """Whether a `dryRun` value asks for one. Raises Invalid."""
    if text not in ("", "All"):
        raise _options_invalid(options, "dryRun", f'Unsupported value: "{text}": supported values: "All"')
    return text == "All"


def delete_options(query: Query, body: Mapping[str, object]) -> DeleteOptions:
    """The options of a DELETE: those of the body, else those of the query. Raises Invalid, BadRequest."""
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy", "")
    orphan = body.get("orphanDependents")
    if orphan is None and "orphanDependents" in query:
        orphan = flag(query, "orphanDependents")
    if orphan is not None and not propagation:
        propagation = "Orphan" if orphan else "Background"
    if propagation not in ("", "Background", "Foreground", "Orphan"):
        text = f'Unsupported value: "{propagation}": supported values: "Background", "Foreground", "Orphan", ""'
        raise _options_invalid("DeleteOptions", "propagationPolicy", text)
    asked = body.get("dryRun")
    dry = str(asked[0]) if isinstance(asked, list) and asked else query.get("dryRun", "")
    preconditions = body.get("preconditions")
    wanted = preconditions if isinstance(preconditions, dict) else {}
    return DeleteOptions(
        propagation=propagation,
        uid=str(wanted.get("uid") or ""),
        resource_version=str(wanted.get("resourceVersion") or ""),
        dry_run=dry_run(dry, "DeleteOptions"),
    )


def _check_version(version: str) -> None:
    if version and not version.isdecimal():
        raise BadRequest(f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: invalid syntax')


def _fields(query: Query, target: Target) -> FieldSelector:
    """The field selector, each label known to this resource; an object's own watch selects its name."""
    kind = target.served.stored
    requirements = list(parse_fields(query.get("fieldSelector", "")).requirements)
    if kind.key == EVENTS.key:
        requirements = [Requirement(field_label(r.key), r.operator, r.values) for r in requirements]
    for requirement in requirements:
        if requirement.key not in ("metadata.name", "metadata.namespace", *kind.selectable):
            raise BadRequest(f"field label not supported: {requirement.key}")
    if target.name:
        requirements.append(Requirement("metadata.name", "=", (target.name,)))
    return FieldSelector(tuple(requirements))


def _options_invalid(options: str, field: str, text: str) -> Invalid:
    reason = {
        "Forbidden": "FieldValueForbidden",
        "Invalid value": "FieldValueInvalid",
        "Unsupported value": "FieldValueNotSupported",
        "Required value": "FieldValueRequired",
        "Too long": "FieldValueTooLong",
    }[text.split(":", 1)[0]]
    cause = Cause(reason, text, field)
    details = Details(group=META, kind=options, causes=(cause,))
    return Invalid(f'{options}.{META} "" is invalid: {field}: {text}', details)


def apply_needs_manager() -> Invalid:
    """The refusal of an apply patch whose manager nobody named."""
    return _options_invalid("PatchOptions", "fieldManager", "Required value: is required for apply patch")


def force_needs_apply() -> Invalid:
    """The refusal of `force` on any other patch."""
    return _options_invalid("PatchOptions", "force", "Forbidden: may not be specified for non-apply patch")
