"""What every typed object is made of: field naming, object metadata, conditions, readiness, timestamps.

Used by each kind's module. Never decides anything and never does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, Protocol

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from kubechain.resources.json import JsonObject, JsonValue

_ACRONYMS = {
    "base_url": "baseURL",
    "token_url": "tokenURL",
    "proxy_url": "proxyURL",
    "client_id_from": "clientIDFrom",
    "uid": "uid",
}
Clock = Callable[[], datetime]


def wire_name(attribute: str) -> str:
    """`tool_call_id` -> `toolCallId`, with the acronyms Kubernetes writes in capitals."""
    if attribute in _ACRONYMS:
        return _ACRONYMS[attribute]
    head, *rest = attribute.rstrip("_").split("_")
    return head + "".join(part.capitalize() for part in rest)


def doc(
    text: str,
    *,
    ge: int | None = None,
    le: int | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    schema: JsonObject | None = None,
) -> Meta:
    """A field's description (what `kubectl explain` prints), its limits, and further schema keywords."""
    limits = {"ge": ge, "le": le, "min_length": min_length, "max_length": max_length, "pattern": pattern}
    return Meta(description=text, extra_json_schema=schema, **limits)  # type: ignore[arg-type]


class Rule(msgspec.Struct, frozen=True):
    """One validation rule in two tongues: CEL for a real API server, `holds` for the embedded one.

    `holds(self, old)` gets the plain JSON of the node the rule stands on and, on update, of its former
    state (None on create). A rule that mentions `oldSelf` is a transition rule: not run on create.
    """

    cel: str
    message: str
    holds: Callable[[JsonValue, JsonValue], bool]
    field_path: str = ""

    @property
    def transition(self) -> bool:
        return "oldSelf" in self.cel


def immutable(message: str) -> Rule:
    """The rule of a node that stays as it was created."""
    return Rule("self == oldSelf", message, lambda node, old: node == old)


class Model(msgspec.Struct, omit_defaults=True, rename=wire_name, kw_only=True, gc=False):
    """A part of an object. `rules` become x-kubernetes-validations of the node it describes,
    `initial` becomes its schema default."""

    rules: ClassVar[tuple[Rule, ...]] = ()
    initial: ClassVar[JsonObject | None] = None


class OwnerReference(Model, kw_only=True, gc=False):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | UnsetType = UNSET
    block_owner_deletion: bool | UnsetType = UNSET


class ObjectMeta(Model, kw_only=True, gc=False):
    """Standard object metadata; times are RFC 3339 in UTC with whole seconds."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[OwnerReference] = []
    finalizers: list[str] = []
    managed_fields: list[Raw] = []


class Resource(Model, kw_only=True, gc=False):
    """An object of a known kind. Subclasses add `spec` and `status`."""

    api_version: str = ""
    kind: str = ""
    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)


class Condition(Model, omit_defaults=False, kw_only=True, gc=False):
    """metav1.Condition: one claim about the object that is True, False or Unknown."""

    type: Annotated[str, doc("What is claimed, in CamelCase: Ready, Succeeded, ...", max_length=316)]
    status: Annotated[Literal["True", "False", "Unknown"], doc("Status of the condition: True, False or Unknown.")]
    reason: Annotated[str, doc("Why, as one CamelCase word.", min_length=1, max_length=1024)]
    message: Annotated[str, doc("Why, as a sentence for people.", max_length=32768)]
    last_transition_time: Annotated[str, doc("When status last changed (RFC 3339).")]
    observed_generation: Annotated[int, doc("metadata.generation for which the condition was determined.")] = 0


def timestamp(moment: datetime) -> str:
    """RFC 3339 with whole seconds, as Kubernetes writes times: `2026-01-02T03:04:05Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return _second(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)


@lru_cache(maxsize=16)
def _second(year: int, month: int, day: int, hour: int, minute: int, second: int) -> str:
    """Thousands of objects are stamped in the same second."""
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"


def moment(text: str) -> datetime:
    """The inverse of `timestamp`; also reads fractions of a second."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class Judged(Protocol):
    """The status of a kind that gets ready."""

    ready: bool
    observed_generation: int


def settled(status: Judged, generation: int) -> bool:
    """Ready, and judged on what is asked for now."""
    return status.ready and status.observed_generation == generation


def with_condition(conditions: Iterable[Condition], new: Condition) -> list[Condition]:
    """The list with `new` in it; the transition time is kept when the status did not change."""
    kept: list[Condition] = []
    placed = False
    for old in conditions:
        if old.type != new.type:
            kept.append(old)
            continue
        since = old.last_transition_time if old.status == new.status else new.last_transition_time
        kept.append(msgspec.structs.replace(new, last_transition_time=since))
        placed = True
    return kept if placed else [*kept, new]


def is_true(conditions: Iterable[Condition], type_: str) -> bool:
    """Whether the condition of that type is present and True."""
    return any(c.type == type_ and c.status == "True" for c in conditions)
