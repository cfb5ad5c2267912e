"""ClusterRoles of the embedded engine: those of every cluster, and those that `kubechain install` creates in one.

`embedded` calls `install_roles` at every start, before anyone is served. As with the built-in roles of a server, a
missing role is created, and one with other rules gets those of this version. It creates no bindings. `gather`
aggregates ClusterRoles, as the controller of a cluster does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from msgspec import Struct, ValidationError, json

from kubechain.app.bootstrap import cluster_roles
from kubechain.deploying.network import metrics_reader
from kubechain.deploying.rbac import people
from kubechain.deploying.settings import InstallSettings
from kubechain.resources.builtin import CLUSTER_ROLES
from kubechain.resources.json import JsonObject
from kubechain.resources.reference import LabelSelector
from kubechain.runtime.api import Api

Rule = dict[str, list[str]]
DEPTH = 10
"""How many levels of aggregated roles a start fills."""


class _Meta(Struct):
    name: str
    labels: dict[str, str] = {}


class _Aggregation(Struct, rename="camel"):
    cluster_role_selectors: list[LabelSelector] = []


class Role(Struct, rename="camel"):
    """The fields of a ClusterRole that aggregation needs."""

    metadata: _Meta
    rules: list[Rule] | None = None
    aggregation_rule: _Aggregation | None = None

    @property
    def gathers(self) -> bool:
        return self.aggregation_rule is not None and bool(self.aggregation_rule.cluster_role_selectors)


async def install_roles(api: Api) -> None:
    """Creates or corrects the roles, and fills those that aggregate others."""
    roles = (*cluster_roles(), *people(), metrics_reader(InstallSettings()))
    await asyncio.gather(*(_install(api, role) for role in roles))
    for _ in range(DEPTH):
        if not await gather(api):
            break


async def _install(api: Api, role: JsonObject) -> None:
    kept: bytes = await api.ensure(CLUSTER_ROLES.raw, json.encode(role))
    found: JsonObject = json.decode(kept)
    wanted: JsonObject = {"aggregationRule": role["aggregationRule"]} if "aggregationRule" in role else {}
    right = {**found, **(wanted or {"rules": role["rules"]}), "metadata": _labelled(found, role)}
    if right != found:
        await api.put(CLUSTER_ROLES.raw, json.encode(right))


def _labelled(found: JsonObject, role: JsonObject) -> JsonObject:
    """The stored metadata with the labels of the role added."""
    held, wanted = (part if isinstance(part, dict) else {} for part in (found["metadata"], role["metadata"]))
    labels = [part if isinstance(part, dict) else {} for part in (held.get("labels"), wanted.get("labels"))]
    return {**held, "labels": {**labels[0], **labels[1]}}


async def gather(api: Api) -> bool:
    """Updates the rules of roles that aggregate others. True if any role was changed."""
    read = [(document, _read(document)) for document in (await api.list(CLUSTER_ROLES.raw)).items]
    roles = [role for _, role in read if role]
    changed = False
    for document, role in read:
        if role and role.gathers and (rules := gathered(role, roles)) != (role.rules or []):
            await api.put(CLUSTER_ROLES.raw, json.encode({**json.decode(document), "rules": rules}))
            changed = True
    return changed


def _read(document: bytes) -> Role | None:
    """The ClusterRole. None if its selectors are invalid: such a role is not aggregated."""
    try:
        return json.decode(document, type=Role)
    except ValidationError:
        return None


def gathered(role: Role, roles: Iterable[Role]) -> Sequence[Rule]:
    """The rules of the other roles that the selectors match, without duplicates, in the order of their names."""
    selectors = role.aggregation_rule.cluster_role_selectors if role.aggregation_rule else []
    found: list[Rule] = []
    for other in sorted(roles, key=lambda one: one.metadata.name):
        if other.metadata.name != role.metadata.name and any(s.matches(other.metadata.labels) for s in selectors):
            found += [rule for rule in other.rules or () if rule not in found]
    return found
