"""The few built-in kinds that our own need: namespaces, secrets, configmaps, events, leases, accounts, roles.

Typed only where the program itself reads or writes them; the others pass through as JSON.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from kubechain.resources.kind import Column, Kind
from kubechain.resources.model import Model, Resource


class Plain(Resource, kw_only=True, gc=False):
    """A built-in kind whose content the program does not read."""


class NamespaceSpec(Model, kw_only=True, gc=False):
    finalizers: list[str] = []


class NamespaceStatus(Model, kw_only=True, gc=False):
    phase: str = "Active"


class Namespace(Resource, kw_only=True, gc=False):
    """A namespace; Terminating until everything in it is gone."""

    spec: NamespaceSpec = msgspec.field(default_factory=NamespaceSpec)
    status: NamespaceStatus = msgspec.field(default_factory=NamespaceStatus)


class Secret(Resource, kw_only=True, gc=False):
    """A secret; `data` holds base64."""

    data: dict[str, str] = {}
    type: str = "Opaque"

    def value(self, key: str) -> str | None:
        """The decoded text under a key, or None where there is no such key."""
        encoded = self.data.get(key)
        return None if encoded is None else base64.b64decode(encoded).decode()


class ConfigMap(Resource, kw_only=True, gc=False):
    """A config map; `data` holds texts."""

    data: dict[str, str] = {}


class ObjectReference(Model, kw_only=True, gc=False):
    """What an event is about."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class EventSeries(Model, kw_only=True, gc=False):
    count: int = 0
    last_observed_time: str = ""


class Event(Resource, kw_only=True, gc=False):
    """events.k8s.io/v1; core/v1 shows the same objects under older field names."""

    event_time: str | None = None
    series: EventSeries | None = None
    reporting_controller: str = ""
    reporting_instance: str = ""
    action: str = ""
    reason: str = ""
    regarding: ObjectReference = msgspec.field(default_factory=ObjectReference)
    related: ObjectReference | None = None
    note: str = ""
    type: str = ""
    deprecated_source: Raw | UnsetType = UNSET
    deprecated_first_timestamp: str | None = None
    deprecated_last_timestamp: str | None = None
    deprecated_count: int | None = None


class LeaseSpec(Model, kw_only=True, gc=False):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Resource, kw_only=True, gc=False):
    """coordination.k8s.io/v1; times carry microseconds."""

    spec: LeaseSpec = msgspec.field(default_factory=LeaseSpec)


AGE = Column("Age", ".metadata.creationTimestamp", "date")
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_EVENT_FIELDS = (
    *(f"involvedObject.{field}" for field in _INVOLVED),
    *("reason", "reportingComponent", "source", "type"),
)

NAMESPACES = Kind(
    "", "v1", "Namespace", "namespaces", Namespace, short_names=("ns",), namespaced=False, has_status=True,
    columns=(Column("Status", ".status.phase"), AGE), selectable=("status.phase",),
)  # fmt: skip
SECRETS = Kind("", "v1", "Secret", "secrets", Secret, columns=(Column("Type", ".type"), AGE), selectable=("type",))
CONFIG_MAPS = Kind("", "v1", "ConfigMap", "configmaps", ConfigMap, short_names=("cm",), columns=(AGE,))
SERVICE_ACCOUNTS = Kind("", "v1", "ServiceAccount", "serviceaccounts", Plain, short_names=("sa",), columns=(AGE,))
EVENTS = Kind("events.k8s.io", "v1", "Event", "events", Event, short_names=("ev",), selectable=_EVENT_FIELDS)
LEASES = Kind(
    "coordination.k8s.io", "v1", "Lease", "leases", Lease,
    columns=(Column("Holder", ".spec.holderIdentity"), AGE),
)  # fmt: skip
_RBAC = "rbac.authorization.k8s.io"
ROLES = Kind(_RBAC, "v1", "Role", "roles", Plain, columns=(AGE,))
ROLE_BINDINGS = Kind(_RBAC, "v1", "RoleBinding", "rolebindings", Plain, columns=(AGE,))
CLUSTER_ROLES = Kind(_RBAC, "v1", "ClusterRole", "clusterroles", Plain, namespaced=False, columns=(AGE,))
CLUSTER_ROLE_BINDINGS = Kind(
    _RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", Plain, namespaced=False, columns=(AGE,)
)

BUILTIN: tuple[Kind[Any], ...] = (
    NAMESPACES, SECRETS, CONFIG_MAPS, SERVICE_ACCOUNTS, EVENTS, LEASES,
    ROLES, ROLE_BINDINGS, CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS,
)  # fmt: skip
