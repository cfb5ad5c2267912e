"""Events as core/v1 shows them: the same objects as events.k8s.io/v1, under older names.

Called by `read`, `watch` and `write` for `/api/v1/.../events`. Pure.
"""

from __future__ import annotations

from kubechain.resources.builtin import EVENTS, Plain
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import Kind

CORE_EVENTS = Kind(
    "", "v1", "Event", "events", Plain, short_names=("ev",), selectable=EVENTS.selectable,
    description="Event is a report of something that happened to an object.",
)  # fmt: skip

_NEW_TO_OLD = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_OLD_TO_NEW = {old: new for new, old in _NEW_TO_OLD.items()}


def to_core(event: JsonObject) -> JsonObject:
    """An event of events.k8s.io/v1 as core/v1 has it."""
    core = {_NEW_TO_OLD.get(name, name): value for name, value in event.items()}
    core["apiVersion"] = "v1"
    core.setdefault("involvedObject", {})
    core.setdefault("source", {})
    core.setdefault("firstTimestamp", None)
    core.setdefault("lastTimestamp", None)
    core.setdefault("reportingComponent", "")
    core.setdefault("reportingInstance", "")
    return core


def from_core(event: JsonObject) -> JsonObject:
    """The inverse of `to_core`; what was absent stays absent."""
    new: JsonObject = {_OLD_TO_NEW.get(name, name): value for name, value in event.items() if value is not None}
    new["apiVersion"] = "events.k8s.io/v1"
    return new


def field_label(path: str) -> str:
    """The name under which a field selector of events.k8s.io/v1 is known to the store."""
    if path.startswith("regarding."):
        return "involvedObject." + path.removeprefix("regarding.")
    return {"reportingController": "reportingComponent"}.get(path, path)
