"""Rights over HTTP: who may be impersonated, and by whom."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.test_server import AGENTS_URL, Client, http
from tests.world import PLAIN_TOKEN

__all__ = ["http"]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
MAY = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def bound(http: Client, name: str, *rules: dict[str, Any]) -> None:
    """The user without rights gets these, everywhere."""
    made = await http("POST", f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": list(rules)})
    assert made.code == 201, made.text
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}],
    }
    assert (await http("POST", f"{RBAC}/clusterrolebindings", binding)).code == 201


def impersonate(group: str, *resources: str, **more: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": list(resources), "verbs": ["impersonate"], **more}


async def test_the_verb_impersonate_opens_who_it_names_and_nobody_else(http: Client) -> None:
    await bound(http, "as-jane", impersonate("", "users", resourceNames=["jane"]), impersonate("", "groups"))
    who = await http("POST", WHO, {}, token=PLAIN_TOKEN, impersonate_user="jane", impersonate_group="dev")
    assert who.body["status"]["userInfo"] == {"username": "jane", "groups": ["dev", "system:authenticated"]}
    refused = await http("POST", WHO, {}, token=PLAIN_TOKEN, impersonate_user="joe")
    assert (refused.code, refused.body["details"]) == (403, {"name": "joe", "kind": "users"})
    assert 'User "nobody" cannot impersonate resource "users"' in refused.body["message"]


@pytest.mark.parametrize(
    ("header", "value", "resource"),
    [
        ("impersonate_uid", "7", "uids"),
        ("impersonate_group", "system:masters", "groups"),
        ("impersonate_extra_scope", "all", "userextras/scope"),
    ],
)
async def test_who_may_be_a_user_may_not_be_more_of_it_than_that(
    http: Client, header: str, value: str, resource: str
) -> None:
    await bound(http, "users", impersonate("", "users"))
    asked = {"impersonate_user": "jane", header: value}
    refused = await http("POST", WHO, {}, token=PLAIN_TOKEN, **asked)
    assert refused.code == 403
    assert f'cannot impersonate resource "{resource}"' in refused.body["message"]
    group = "" if resource == "groups" else "authentication.k8s.io"
    await bound(http, "more", impersonate(group, resource))
    assert (await http("POST", WHO, {}, token=PLAIN_TOKEN, **asked)).code == 201


async def test_a_service_account_that_is_impersonated_has_the_rights_of_its_groups(http: Client) -> None:
    name = "system:serviceaccount:default:bot"
    role = {"metadata": {"name": "r"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["list"]}]}
    await http("POST", f"{RBAC}/namespaces/default/roles", role)
    binding = {
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:serviceaccounts:default"}
        ],
    }
    await http("POST", f"{RBAC}/namespaces/default/rolebindings", binding)
    assert (await http("GET", AGENTS_URL, impersonate_user=name)).code == 200
    assert (await http("GET", AGENTS_URL, impersonate_user=name, impersonate_group="dev")).code == 403
    assert (await http("GET", AGENTS_URL, impersonate_user=name.replace("default", "other"))).code == 403
    asked = {"spec": {"resourceAttributes": {"verb": "list", "resource": "configmaps", "namespace": "default"}}}
    told = await http("POST", MAY, asked, impersonate_user=name)
    assert told.body["status"] == {"allowed": True, "reason": "RBAC: allowed"}
    refused = await http("POST", WHO, {}, token=PLAIN_TOKEN, impersonate_user=name)
    assert (
        'cannot impersonate resource "serviceaccounts" in API group "" in the namespace "default"'
        in refused.text.replace('\\"', '"')
    )


async def test_rights_that_aggregate_may_only_be_given_by_who_has_all(http: Client) -> None:
    await bound(
        http,
        "roles",
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["create", "patch"]},
    )
    role = {
        "metadata": {"name": "sum"},
        "rules": [],
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
    }
    refused = await http("POST", f"{RBAC}/clusterroles", role, token=PLAIN_TOKEN)
    assert refused.code == 403
    assert refused.body["message"].endswith("must have cluster-admin privileges to use the aggregationRule")
    assert (await http("POST", f"{RBAC}/clusterroles", role)).code == 201
    patch = {"metadata": {"labels": {"x": "y"}}}
    merge = "application/merge-patch+json"
    url = f"{RBAC}/clusterroles/sum"
    assert (await http("PATCH", url, patch, token=PLAIN_TOKEN, content_type=merge)).code == 403
