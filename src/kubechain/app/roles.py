"""Roles for people in the embedded engine: the ClusterRoles that `kubechain install` brings to a cluster.

`embedded` calls it at every start, before anyone is served. As with the built-in roles of an API server, a missing
role is created, and one with other rules gets those of this version. It creates no bindings.
"""

from __future__ import annotations

import asyncio

from msgspec import json

from kubechain.deploying.network import metrics_reader
from kubechain.deploying.rbac import people
from kubechain.deploying.settings import InstallSettings
from kubechain.resources.builtin import CLUSTER_ROLES
from kubechain.resources.json import JsonObject
from kubechain.runtime.api import Api


async def install_roles(api: Api) -> None:
    """Creates or corrects the roles."""
    roles = (*people(), metrics_reader(InstallSettings()))
    await asyncio.gather(*(_install(api, role) for role in roles))


async def _install(api: Api, role: JsonObject) -> None:
    kept: bytes = await api.ensure(CLUSTER_ROLES.raw, json.encode(role))
    found = json.decode(kept, type=dict[str, object])
    if found.get("rules") != role["rules"]:
        await api.put(CLUSTER_ROLES.raw, json.encode({**found, "rules": role["rules"]}))
