"""The discovery documents, in the old form and in the aggregated one.

Called by `http` for /api, /apis, /apis/G, /apis/G/V, /api/v1 and /version. Pure.
"""

from __future__ import annotations

import platform
import sys

from kubechain import __version__
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.server.served import Served, Subresource, catalogue, group_versions

AGGREGATED = "apidiscovery.k8s.io"
SPEAKS = "v1.32.0"
"""The Kubernetes release whose clients fit best; Google's kubectl starts the client of that version."""


def version() -> JsonObject:
    """The answer to /version."""
    major, minor, _ = SPEAKS.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{SPEAKS}+kubechain.{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": sys.implementation.name,
        "platform": f"{sys.platform}/{platform.machine()}",
    }


def aggregated(*, core: bool, version: str) -> JsonObject:
    """APIGroupDiscoveryList of /api (`core`) or /apis, in apidiscovery.k8s.io `version` v2 or v2beta1."""
    groups = [g for g in _groups() if (g == "") == core]
    items: list[JsonValue] = [_group_discovery(group) for group in groups]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"{AGGREGATED}/{version}",
        "metadata": {},
        "items": items,
    }


def legacy_versions() -> JsonObject:
    """The old answer to /api."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def legacy_groups() -> JsonObject:
    """The old answer to /apis."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g) for g in _groups() if g]}


def legacy_group(group: str) -> JsonObject | None:
    """The old answer to /apis/G, None where there is no such group."""
    if not group or group not in _groups():
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}


def legacy_resources(group: str, version: str) -> JsonObject | None:
    """The old answer to /api/v1 and /apis/G/V, None where there is no such version."""
    if (group, version) not in group_versions():
        return None
    resources: list[JsonValue] = []
    for served in _of(group, version):
        resources.append(_resource(served))
        resources.extend(_subresource(served, below) for below in served.subresources)
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if group else {}),
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": resources,
    }


def _groups() -> list[str]:
    return list(dict.fromkeys(group for group, _ in group_versions()))


def _versions(group: str) -> list[str]:
    return [version for g, version in group_versions() if g == group]


def _of(group: str, version: str) -> list[Served]:
    return [s for (g, v, _), s in catalogue().items() if (g, v) == (group, version)]


def _group(group: str) -> JsonObject:
    versions: list[JsonValue] = [{"groupVersion": f"{group}/{v}", "version": v} for v in _versions(group)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resource(served: Served) -> JsonObject:
    kind = served.kind
    out: JsonObject = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(served.verbs),
    }
    if kind.short_names:
        out["shortNames"] = list(kind.short_names)
    if kind.categories:
        out["categories"] = list(kind.categories)
    return out


def _subresource(served: Served, below: Subresource) -> JsonObject:
    out: JsonObject = {
        "name": f"{served.kind.plural}/{below.name}",
        "singularName": "",
        "namespaced": served.kind.namespaced,
        "kind": below.kind or served.kind.kind,
        "verbs": list(below.verbs),
    }
    if below.group:
        out |= {"group": below.group, "version": below.version}
    return out


def _group_discovery(group: str) -> JsonObject:
    versions: list[JsonValue] = [
        {
            "version": version,
            "freshness": "Current",
            "resources": [_resource_discovery(served) for served in _of(group, version)],
        }
        for version in _versions(group)
    ]
    return {"metadata": {"name": group} if group else {}, "versions": versions}


def _resource_discovery(served: Served) -> JsonObject:
    kind = served.kind
    out: JsonObject = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(served.verbs),
    }
    if kind.short_names:
        out["shortNames"] = list(kind.short_names)
    if kind.categories:
        out["categories"] = list(kind.categories)
    if served.subresources:
        out["subresources"] = [
            {
                "subresource": below.name,
                "responseKind": {
                    "group": below.group or kind.group,
                    "version": below.version or kind.version,
                    "kind": below.kind or kind.kind,
                },
                "verbs": list(below.verbs),
            }
            for below in served.subresources
        ]
    return out
