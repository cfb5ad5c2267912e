"""Which resources there are at which address: every kind of the registry, the core/v1 view of events, and the
few that exist only here (reviews, our CRDs, an empty list of services).

Read by `paths`, `discovery`, `read` and `write`. Never changes after import.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import msgspec

from kubechain.resources.builtin import EVENTS, NAMESPACES, SERVICE_ACCOUNTS, Plain
from kubechain.resources.crd import definition
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import GROUP, VERSION, Column, Kind
from kubechain.resources.registry import ALL, OURS
from kubechain.server.views import CORE_EVENTS, from_core, to_core

READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_AGE = Column("Age", ".metadata.creationTimestamp", "date")
AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"


class Subresource(msgspec.Struct, frozen=True):
    """`name` below an object, the kind that its bodies have, and what can be done to it."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    group: str = ""
    version: str = ""


STATUS = Subresource("status", ("get", "patch", "update"))
TOKEN = Subresource("token", ("create",), "TokenRequest", AUTHENTICATION, "v1")


class Served(msgspec.Struct, frozen=True, eq=False):
    """One resource: the `kind` that its address names, and the kind that the store keeps it as."""

    kind: Kind[bytes]
    stored: Kind[bytes]
    verbs: tuple[str, ...] = WRITE
    subresources: tuple[Subresource, ...] = ()
    fixed: tuple[JsonObject, ...] | None = None
    """The objects, where they are not the store's."""
    to_shown: Callable[[JsonObject], JsonObject] | None = None
    to_stored: Callable[[JsonObject], JsonObject] | None = None

    def show(self, document: bytes) -> bytes:
        """A stored object as this address shows it."""
        if self.to_shown is None:
            return document
        return msgspec.json.encode(self.to_shown(msgspec.json.decode(document)))

    def subresource(self, name: str) -> Subresource | None:
        return next((s for s in self.subresources if s.name == name), None)


CRDS = Kind(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", Plain,
    short_names=("crd", "crds"), categories=("api-extensions",), namespaced=False,
    columns=(Column("Created At", ".metadata.creationTimestamp"),),
    description="CustomResourceDefinition represents a resource that should be exposed on the API server.",
).raw  # fmt: skip
SERVICES = Kind(
    "", "v1", "Service", "services", Plain, short_names=("svc",), categories=("all",), columns=(_AGE,),
    description="Service is a named abstraction of software service; there are none here.",
).raw  # fmt: skip


def _review(group: str, kind: str, *, namespaced: bool = False) -> Served:
    raw = Kind(group, "v1", kind, kind.lower() + "s", Plain, namespaced=namespaced).raw
    return Served(raw, raw, verbs=("create",))


REVIEWS = (
    _review(AUTHENTICATION, "SelfSubjectReview"),
    _review(AUTHENTICATION, "TokenReview"),
    _review(AUTHORIZATION, "SelfSubjectAccessReview"),
    _review(AUTHORIZATION, "SelfSubjectRulesReview"),
    _review(AUTHORIZATION, "SubjectAccessReview"),
    _review(AUTHORIZATION, "LocalSubjectAccessReview", namespaced=True),
)


def _crd(manifest: JsonObject) -> JsonObject:
    """The manifest as a server shows it that has accepted it."""
    metadata, spec = manifest["metadata"], manifest["spec"]
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        raise TypeError("a CRD manifest has metadata and spec")
    since = "2026-01-01T00:00:00Z"
    return {
        **manifest,
        "metadata": {
            **metadata,
            "uid": f"crd-{metadata['name']}",
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": since,
        },
        "status": {
            "acceptedNames": spec["names"],
            "storedVersions": [VERSION],
            "conditions": [
                {
                    "type": condition,
                    "status": "True",
                    "reason": reason,
                    "message": message,
                    "lastTransitionTime": since,
                }
                for condition, reason, message in (
                    ("NamesAccepted", "NoConflicts", "no conflicts found"),
                    ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
                )
            ],
        },
    }


def _served(kind: Kind[bytes]) -> Served:
    below = (STATUS,) if kind.has_status else ()
    if kind.key == SERVICE_ACCOUNTS.key:
        below = (TOKEN,)
    verbs = tuple(verb for verb in WRITE if kind.key != NAMESPACES.key or verb != "deletecollection")
    return Served(kind, kind, verbs, below)


@cache
def catalogue() -> dict[tuple[str, str, str], Served]:
    """(group, version, plural) -> resource, in the order in which discovery lists them."""
    core_events = Served(CORE_EVENTS.raw, EVENTS.raw, to_shown=to_core, to_stored=from_core)
    crds = Served(CRDS, CRDS, verbs=READ, fixed=tuple(_crd(definition(kind)) for kind in OURS))
    services = Served(SERVICES, SERVICES, verbs=READ, fixed=())
    everything = (*(_served(kind.raw) for kind in ALL), core_events, services, crds, *REVIEWS)
    return {(s.kind.group, s.kind.version, s.kind.plural): s for s in everything}


@cache
def group_versions() -> tuple[tuple[str, str], ...]:
    """Every (group, version), ours first after the core group, each once."""
    found = dict.fromkeys((group, version) for group, version, _ in catalogue())
    first = [("", "v1"), (GROUP, VERSION)]
    return (*first, *(gv for gv in found if gv not in first))
