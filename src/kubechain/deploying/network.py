"""Who reaches the operator over the network: those who collect metrics, and nobody else.

Called by `manifests`. What the operator and the tools in its pod may reach is not limited here: models and MCP
servers are anywhere.
"""

from __future__ import annotations

from kubechain.deploying.settings import PORT, InstallSettings
from kubechain.resources.json import JsonObject
from kubechain.resources.kind import GROUP

METRICS_LABEL = f"{GROUP}/metrics"
"""A namespace with this label set to `allowed` may connect."""


def service(settings: InstallSettings) -> JsonObject:
    """The metrics, under one name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": settings.metadata(),
        "spec": {
            "type": "ClusterIP",
            "selector": settings.selector,
            "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def network_policy(settings: InstallSettings) -> JsonObject:
    """Lets in the port of the metrics from labelled namespaces; kubelets are let in by the network itself."""
    collectors: JsonObject = {"namespaceSelector": {"matchLabels": {METRICS_LABEL: "allowed"}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": settings.metadata(),
        "spec": {
            "podSelector": {"matchLabels": settings.selector},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [collectors], "ports": [{"port": "http", "protocol": "TCP"}]}],
        },
    }


def metrics_reader(settings: InstallSettings) -> JsonObject:
    """What a collector must be bound to."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "kubechain-metrics-reader", "labels": settings.labels},
        "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
    }
