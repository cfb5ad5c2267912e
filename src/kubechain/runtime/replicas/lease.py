"""The Leases of replicas as documents: made, renewed, read. Pure; `members` reads and `replica` writes them.

`kubechain-replica-NAME` shows that a replica is alive, and contains its claim. `kubechain-leader` says which one
leads.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from kubechain.resources.builtin import Lease, LeaseSpec
from kubechain.resources.kind import GROUP
from kubechain.resources.model import ObjectMeta
from kubechain.resources.model import moment as moment_of
from kubechain.runtime.replicas.claim import Claim

SCOPE = f"{GROUP}/replica"
"""Label of every replica's Lease: `cluster`, or `namespace` where it looks after one alone."""
PREFIX = "kubechain-replica-"
LONGEST = 253


class Group(msgspec.Struct, frozen=True):
    """Replicas that share the work in all namespaces, or in `only`. Their Leases are in `namespace`."""

    namespace: str
    only: str = ""

    @property
    def scope(self) -> str:
        return "namespace" if self.only else "cluster"

    @property
    def leader(self) -> str:
        """The name of the leader's Lease."""
        return f"kubechain-leader-{self.only}" if self.only else "kubechain-leader"


def lease_name(identity: str) -> str:
    """The name of a replica's Lease: its identity, in characters that Kubernetes allows."""
    return PREFIX + re.sub(r"[^a-z0-9-]+", "-", identity.lower())[: LONGEST - len(PREFIX)].strip("-")


def micro_time(moment: datetime) -> str:
    """RFC 3339 with microseconds, as Leases have it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def written(lease: Lease) -> datetime | None:
    """When the Lease was last written, by the API server's clock (whole seconds); None where it does not say."""
    times = [entry.time for raw in lease.metadata.managed_fields if (entry := _entry.decode(raw)).time]
    return max(map(moment_of, times), default=None)


class _Entry(msgspec.Struct):
    time: str = ""


_entry = msgspec.json.Decoder(_Entry)


def own(group: Group, name: str, holder: str, duration: float, moment: datetime, old: Lease | None) -> Lease:
    """The Lease of a replica that starts: a new one, or its earlier one without the earlier claims."""
    fresh = Lease(metadata=ObjectMeta(name=name, namespace=group.namespace, labels={SCOPE: group.scope}))
    return claimed(taken(old or fresh, holder, duration, moment), Claim(name), moment)


def taken(lease: Lease, holder: str, duration: float, moment: datetime) -> Lease:
    """The Lease with another holder."""
    now, before = micro_time(moment), lease.spec
    transitions = (before.lease_transitions or 0) + bool(before.acquire_time)
    spec = LeaseSpec(
        holder_identity=holder,
        lease_duration_seconds=math.ceil(duration),
        acquire_time=now,
        renew_time=now,
        lease_transitions=transitions,
    )
    return replace(lease, spec=spec)


def renewed(lease: Lease, moment: datetime) -> Lease:
    return replace(lease, spec=replace(lease.spec, renew_time=micro_time(moment)))


def claimed(lease: Lease, claim: Claim, moment: datetime) -> Lease:
    """The Lease renewed, with that claim in it."""
    meta = lease.metadata
    kept = {key: value for key, value in meta.annotations.items() if not key.startswith(f"{GROUP}/")}
    return replace(renewed(lease, moment), metadata=replace(meta, annotations=kept | claim.annotations()))


def released(lease: Lease, moment: datetime) -> Lease:
    """The Lease free to be taken."""
    return replace(
        renewed(lease, moment), spec=replace(lease.spec, holder_identity="", renew_time=micro_time(moment))
    )
