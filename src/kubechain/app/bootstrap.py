"""The ClusterRoles that every cluster has: cluster-admin, admin, edit and view, and what goes into the last three.

Read by `roles`. Their rules are those of Kubernetes for what we serve here; `admin`, `edit` and `view`
have none of their own, and gather those of each ClusterRole with the label `aggregate-to-...`.
"""

from __future__ import annotations

from kubechain.resources.json import JsonObject, JsonValue

RBAC = "rbac.authorization.k8s.io"
_LABELS: JsonObject = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")


def cluster_roles() -> list[JsonObject]:
    """Their manifests."""
    return [
        _role("cluster-admin", rules=[_rule("*", "*", "*"), {"nonResourceURLs": ["*"], "verbs": ["*"]}]),
        _gathering("admin"),
        _gathering("edit", into="admin"),
        _gathering("view", into="edit"),
        _role(
            "system:aggregate-to-admin",
            into="admin",
            rules=[
                _rule("authorization.k8s.io", "localsubjectaccessreviews", "create"),
                _rule(RBAC, "rolebindings roles", *_READ, *_WRITE),
            ],
        ),
        _role(
            "system:aggregate-to-edit",
            into="edit",
            rules=[
                _rule("", "secrets", *_READ),
                _rule("", "serviceaccounts", "impersonate"),
                _rule("", "configmaps secrets serviceaccounts services", *_WRITE),
                _rule("", "serviceaccounts/token", "create"),
                _rule(" events.k8s.io", "events", *_WRITE),
                _rule("coordination.k8s.io", "leases", *_READ, *_WRITE),
            ],
        ),
        _role(
            "system:aggregate-to-view",
            into="view",
            rules=[
                _rule("", "configmaps serviceaccounts services", *_READ),
                _rule("", "namespaces", *_READ),
                _rule(" events.k8s.io", "events", *_READ),
            ],
        ),
    ]


def _rule(groups: str, resources: str, *verbs: str) -> JsonObject:
    return {"apiGroups": [*groups.split(" ")], "resources": [*resources.split(" ")], "verbs": [*verbs]}


def _gathering(name: str, into: str = "") -> JsonObject:
    selector: JsonValue = {"matchLabels": {f"{RBAC}/aggregate-to-{name}": "true"}}
    return {**_role(name, into=into), "aggregationRule": {"clusterRoleSelectors": [selector]}}


def _role(name: str, *, into: str = "", rules: list[JsonObject] | None = None) -> JsonObject:
    labels = {**_LABELS, **({f"{RBAC}/aggregate-to-{into}": "true"} if into else {})}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
        "rules": [*(rules or [])],
    }
