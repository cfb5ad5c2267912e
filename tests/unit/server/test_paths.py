"""Which resource, object and subresource a URL path names."""

from __future__ import annotations

import pytest

from kubechain.server.paths import resolve

OURS = "/apis/kubechain.humanlayer.dev/v1alpha1"


@pytest.mark.parametrize(
    ("path", "kind", "namespace", "name", "subresource"),
    [
        (f"{OURS}/agents", "Agent", "", "", ""),
        (f"{OURS}/namespaces/default/agents", "Agent", "default", "", ""),
        (f"{OURS}/namespaces/default/agents/a1", "Agent", "default", "a1", ""),
        (f"{OURS}/namespaces/default/agents/a1/status", "Agent", "default", "a1", "status"),
        ("/api/v1/namespaces", "Namespace", "", "", ""),
        ("/api/v1/namespaces/x", "Namespace", "", "x", ""),
        ("/api/v1/namespaces/x/status", "Namespace", "", "x", "status"),
        ("/api/v1/namespaces/x/secrets", "Secret", "x", "", ""),
        ("/api/v1/namespaces/x/serviceaccounts/sa/token", "ServiceAccount", "x", "sa", "token"),
        ("/api/v1/events", "Event", "", "", ""),
        ("/apis/events.k8s.io/v1/events", "Event", "", "", ""),
    ],
)
def test_a_path_names_a_resource(path: str, kind: str, namespace: str, name: str, subresource: str) -> None:
    target = resolve(path)
    assert target is not None
    held = target.subresource.name if target.subresource else ""
    assert (target.served.kind.kind, target.namespace, target.name, held) == (kind, namespace, name, subresource)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1",
        "/api/v1/pods",
        "/api/v2/secrets",
        f"{OURS}/agents/a1",
        f"{OURS}/namespaces/default/agents/a1/scale",
        f"{OURS}/namespaces/default/agents/a1/status/more",
        f"{OURS}/namespaces//agents",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/x/clusterroles",
        "/nothing",
    ],
)
def test_a_path_that_names_nothing_is_not_resolved(path: str) -> None:
    assert resolve(path) is None


def test_the_same_events_are_served_at_two_addresses() -> None:
    core, new = resolve("/api/v1/events"), resolve("/apis/events.k8s.io/v1/events")
    assert core is not None
    assert new is not None
    assert core.served.stored == new.served.stored
    assert core.served.kind.api_version == "v1"


@pytest.mark.parametrize(
    ("method", "path", "watch", "verb"),
    [
        ("GET", f"{OURS}/agents", False, "list"),
        ("GET", f"{OURS}/agents", True, "watch"),
        ("GET", f"{OURS}/watch/agents", False, "watch"),
        ("GET", f"{OURS}/namespaces/d/agents/a", False, "get"),
        ("POST", f"{OURS}/namespaces/d/agents", False, "create"),
        ("POST", f"{OURS}/namespaces/d/agents/a", False, "create"),
        ("POST", "/api/v1/namespaces/d/serviceaccounts/a/token", False, "create"),
        ("PUT", f"{OURS}/namespaces/d/agents/a", False, "update"),
        ("PUT", f"{OURS}/namespaces/d/agents", False, ""),
        ("PATCH", f"{OURS}/namespaces/d/agents/a/status", False, "patch"),
        ("DELETE", f"{OURS}/namespaces/d/agents", False, "deletecollection"),
        ("OPTIONS", f"{OURS}/namespaces/d/agents", False, ""),
    ],
)
def test_method_and_path_make_the_verb_that_roles_name(method: str, path: str, watch: bool, verb: str) -> None:
    target = resolve(path)
    assert target is not None
    assert target.verb(method, watch=watch) == verb
