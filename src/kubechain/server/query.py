"""Parses query parameters into options, with the error texts of a Kubernetes API server.

Called by `read`, `watch` and `write`. Pure.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Literal, cast

from msgspec import Struct

from kubechain.errors import BadRequest, Cause, Details, Invalid, Timeout
from kubechain.resources.builtin import EVENTS
from kubechain.runtime.api import DeleteOptions, ListOptions, WatchOptions
from kubechain.runtime.selectors import FieldSelector, LabelSelector, Requirement, parse_fields, parse_labels
from kubechain.server.causes import shown
from kubechain.server.metadata import label_value, qualified_name
from kubechain.server.paths import RequestInfo
from kubechain.server.views import field_label

Query = Mapping[str, str]
Validation = Literal["Ignore", "Warn", "Strict"]
META = "meta.k8s.io"
MAX_WATCH_SECONDS = 3600.0
LONGEST_WATCH = 10 * 365 * 86400
"""Seconds; what a client asks for beyond that no timer holds."""
MAX_LIMIT = 1 << 31
"""Objects in a page, which is more than there can be."""
MAX_WORDS = 10_000
"""Keys and values in a selector."""
_DIGITS = re.compile(r"[-+]?[0-9]+", re.ASCII)
_INT64, _UINT64 = range(-(1 << 63), 1 << 63), range(1 << 64)
_LONGEST = 100


class WriteOptions(Struct, frozen=True):
    """The options of a write; `manager` owns the fields that it sets."""

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
    return _parsed("ParseInt", text, _INT64) if text else 0


def _parsed(function: str, text: str, numbers: range) -> int:
    """A number as Go reads it: ASCII digits within its range. Raises BadRequest."""
    if not _DIGITS.fullmatch(text) or (text[0] in "-+" and numbers[0] == 0):
        raise BadRequest(f'strconv.{function}: parsing "{text}": invalid syntax')
    if len(text) > _LONGEST or int(text) not in numbers:
        raise BadRequest(f'strconv.{function}: parsing "{text}": value out of range')
    return int(text)


def list_options(query: Query, target: RequestInfo) -> ListOptions:
    """Selectors, page and version of a LIST. Raises BadRequest, Invalid."""
    if flag(query, "sendInitialEvents"):
        raise _options_invalid(
            "ListOptions", "sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list"
        )
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    token, limit = query.get("continue", ""), number(query, "limit")
    number(query, "timeoutSeconds")
    texts = []
    if match and not version:
        texts.append("Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match and token:
        texts.append("Forbidden: resourceVersionMatch is forbidden when continue is provided")
    if match not in ("", "Exact", "NotOlderThan"):
        texts.append(f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""')
    if match == "Exact" and version == "0":
        texts.append('Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if texts:
        raise _options_invalid("ListOptions", "resourceVersionMatch", *texts)
    check_version(version, "invalid resource version: ")
    if token and version not in ("", "0"):
        raise BadRequest("specifying resource version is not allowed when using continue")
    return ListOptions(
        labels=_labels(query),
        fields=_fields(query, target),
        limit=min(max(0, limit), MAX_LIMIT),
        continue_token=token,
        resource_version="" if token else version,
        match=cast("Literal['', 'Exact', 'NotOlderThan']", match),
    )


def watch_options(query: Query, target: RequestInfo) -> WatchOptions:
    """Selectors and starting point of a WATCH. Raises BadRequest, Invalid."""
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    initial = flag(query, "sendInitialEvents")
    check_version(version)
    if "sendInitialEvents" in query and match != "NotOlderThan":
        texts = ["Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"]
        if match:
            texts.append(f'Unsupported value: "{match}": supported values: "NotOlderThan"')
        raise _options_invalid("ListOptions", "resourceVersionMatch", *texts)
    if match and "sendInitialEvents" not in query:
        text = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        raise _options_invalid("ListOptions", "resourceVersionMatch", text)
    return WatchOptions(
        labels=_labels(query),
        fields=_fields(query, target),
        since=version,
        initial_events=initial,
        bookmarks=flag(query, "allowWatchBookmarks"),
    )


def watch_seconds(query: Query) -> float:
    """How long a watch lasts: as asked, else between half an hour and one hour so that clients spread."""
    asked = number(query, "timeoutSeconds")
    return float(min(asked, LONGEST_WATCH)) if asked > 0 else MAX_WATCH_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311


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
        dry_run=dry_run(query, options),
        validation=cast("Validation", validation),
        force=flag(query, "force"),
    )


def dry_run(query: Mapping[str, object], options: str) -> bool:
    """Whether `dryRun` (a text, or a list of texts) asks for one. Raises Invalid."""
    asked = query.get("dryRun", [])
    stages = [str(stage) for stage in (asked if isinstance(asked, list) else [asked])]
    if set(stages) - {"All"}:
        raise _options_invalid(
            options, "dryRun", f'Unsupported value: {shown([*stages])}: supported values: "All"'
        )
    return bool(stages)


def delete_options(query: Query, body: Mapping[str, object]) -> DeleteOptions:
    """The options of a DELETE: those of the body, else those of the query. Raises Invalid, BadRequest."""
    number(query, "gracePeriodSeconds")
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy", "")
    orphan = body.get("orphanDependents")
    if orphan is None and "orphanDependents" in query:
        orphan = flag(query, "orphanDependents")
    if orphan is not None and propagation:
        text = "orphanDependents and deletionPropagation cannot be both set"
        raise _options_invalid(
            "DeleteOptions", "propagationPolicy", f"Invalid value: {shown(str(propagation))}: {text}"
        )
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    if propagation not in ("", "Background", "Foreground", "Orphan"):
        text = f'Unsupported value: "{propagation}": supported values: "Foreground", "Background", "Orphan", "nil"'
        raise _options_invalid("DeleteOptions", "propagationPolicy", text)
    preconditions = body.get("preconditions")
    wanted = preconditions if isinstance(preconditions, dict) else {}
    return DeleteOptions(
        propagation=propagation,
        uid=str(wanted.get("uid") or ""),
        resource_version=str(wanted.get("resourceVersion") or ""),
        dry_run=dry_run(body if body.get("dryRun") else query, "DeleteOptions"),
    )


def check_version(version: str, blame: str = "") -> None:
    """Raises BadRequest if the text is not a resource version."""
    try:
        if version and _parsed("ParseUint", version, _UINT64) > _INT64[-1]:
            raise Timeout(f"Too large resource version: {version}", Details(retry_after=1))
    except BadRequest as fault:
        raise BadRequest(f'{blame}resourceVersion: Invalid value: "{version}": {fault}') from None


def _labels(query: Query) -> LabelSelector:
    """The label selector. Raises BadRequest for one that no object can match by its names."""
    selector = parse_labels(query.get("labelSelector", ""))
    if sum(1 + len(requirement.values) for requirement in selector.requirements) > MAX_WORDS:
        raise BadRequest(f"unable to parse requirement: a selector has at most {MAX_WORDS} keys and values")
    for requirement in selector.requirements:
        for fault in qualified_name(requirement.key):
            raise _unlikely("<nil>", requirement.key, fault)
        for i, value in enumerate(requirement.values):
            for fault in label_value(value):
                raise _unlikely(f"values[{i}][{requirement.key}]", value, fault)
    return selector


def _unlikely(place: str, text: str, fault: str) -> BadRequest:
    return BadRequest(f"unable to parse requirement: {place}: Invalid value: {shown(text)}: {fault}")


def _fields(query: Query, target: RequestInfo) -> FieldSelector:
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


_REASONS = {
    "Forbidden": "FieldValueForbidden",
    "Invalid value": "FieldValueInvalid",
    "Unsupported value": "FieldValueNotSupported",
    "Required value": "FieldValueRequired",
    "Too long": "FieldValueTooLong",
}


def _options_invalid(options: str, field: str, *texts: str) -> Invalid:
    causes = tuple(Cause(_REASONS[text.split(":", 1)[0]], text, field) for text in texts)
    said = [f"{field}: {text}" for text in texts]
    details = Details(group=META, kind=options, causes=causes)
    text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    return Invalid(f'{options}.{META} "" is invalid: {text}', details)


def apply_needs_manager() -> Invalid:
    """The refusal of an apply patch whose manager nobody named."""
    return _options_invalid("PatchOptions", "fieldManager", "Required value: is required for apply patch")


def force_needs_apply() -> Invalid:
    """The refusal of `force` on any other patch."""
    return _options_invalid("PatchOptions", "force", "Forbidden: may not be specified for non-apply patch")
