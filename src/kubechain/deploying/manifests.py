"""Every object of an installation, in the order in which a cluster should get them, and as YAML.

Called by `kubechain install` and by what writes deploy/. Asks no cluster.
"""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from kubechain.deploying import network, rbac, workload
from kubechain.deploying.settings import InstallSettings
from kubechain.resources.crd import definition
from kubechain.resources.json import JsonObject, JsonValue
from kubechain.resources.registry import OURS


def crds() -> list[JsonObject]:
    """The kinds."""
    return [definition(kind) for kind in OURS]


def everything(settings: InstallSettings) -> list[JsonObject]:
    """An installation, whole. A namespace that is looked after is somebody's already: it is not made here."""
    return [
        *([] if settings.own_namespace else [workload.namespace(settings)]),
        *crds(),
        *rights(settings),
        *roles(settings),
        *program(settings),
    ]


def program(settings: InstallSettings) -> list[JsonObject]:
    """What runs, and what stands around it."""
    return [
        *([] if settings.service_account else [workload.service_account(settings)]),
        workload.deployment(settings),
        network.service(settings),
        workload.disruption_budget(settings),
        network.network_policy(settings),
    ]


def rights(settings: InstallSettings) -> list[JsonObject]:
    """What the operator may do: where it looks after, among its replicas, and with the Secrets that are named."""
    made = [
        *rbac.operator(settings.account, settings.watch),
        *rbac.replicas(settings.account, settings.watch),
        *rbac.secrets(settings.account, settings.secrets),
        *(rbac.containers(settings.account, settings.watch) if settings.containers else []),
        *(rbac.pods(settings.account, settings.watch) if settings.mcp_pods else []),
    ]
    return labelled(made, settings)


def roles(settings: InstallSettings) -> list[JsonObject]:
    """Roles for people, and for collectors of metrics."""
    return labelled([*rbac.people(), network.metrics_reader(settings)], settings)


def labelled(objects: Iterable[JsonObject], settings: InstallSettings) -> list[JsonObject]:
    """The objects with the labels of the installation beside their own."""
    made: list[JsonObject] = []
    for obj in objects:
        metadata = obj["metadata"]
        own = metadata.get("labels") if isinstance(metadata, dict) else None
        if not isinstance(metadata, dict) or not isinstance(own, dict):
            raise TypeError(f"{obj['kind']} has no labels")
        made.append({**obj, "metadata": {**metadata, "labels": {**own, **settings.labels}}})
    return made


def document(objects: Iterable[JsonObject]) -> str:
    """Objects as one YAML."""
    return "---\n".join(yaml_of(obj) for obj in objects)


def yaml_of(value: JsonValue) -> str:
    """Any value as people read it."""
    return yaml.dump(value, Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    """Writes an object that occurs twice in full each time, and lines as lines."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _lines(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _lines)
