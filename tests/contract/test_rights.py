"""Rights over HTTP: who may be impersonated and by whom, and how long a token is one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from kubechain.errors import Unauthorized
from kubechain.runtime.clock import now
from kubechain.server import accounts
from tests.contract.test_server import AGENTS_URL, Client, http
from tests.world import PLAIN_TOKEN, TOKEN, World

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
    empty = {**role, "metadata": {"name": "empty"}, "aggregationRule": {}}
    assert "at least one clusterRoleSelector" in (await http("POST", f"{RBAC}/clusterroles", empty)).text
    patch = {"metadata": {"labels": {"x": "y"}}}
    merge = "application/merge-patch+json"
    url = f"{RBAC}/clusterroles/sum"
    assert (await http("PATCH", url, patch, token=PLAIN_TOKEN, content_type=merge)).code == 403


ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
SECRETS = "/api/v1/namespaces/default/secrets"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


async def issued(http: Client, **spec: Any) -> str:
    """A token of the service account `bot`."""
    await http("POST", ACCOUNTS, {"metadata": {"name": "bot"}})
    made = await http("POST", f"{ACCOUNTS}/bot/token", {"spec": spec})
    assert made.code == 201, made.text
    return str(made.body["status"]["token"])


async def reviewed(http: Client, token: str, *audiences: str) -> Any:
    told = await http("POST", REVIEWS, {"spec": {"token": token, "audiences": list(audiences)}})
    return told.body["status"]


async def test_a_token_for_others_does_not_open_this_server(http: Client) -> None:
    token = await issued(http, audiences=["vault"])
    assert (await http("POST", WHO, {}, token=token)).code == 401
    refused = await reviewed(http, token)
    assert refused["user"] == {}
    assert 'token audiences ["vault"] is invalid for the target audiences' in refused["error"]
    told = await reviewed(http, token, "other", "vault")
    assert (told["authenticated"], told["audiences"]) == (True, ["vault"])
    assert told["user"]["username"] == "system:serviceaccount:default:bot"
    assert "authenticated" not in await reviewed(http, TOKEN, "vault")
    own = (await http("POST", f"{ACCOUNTS}/bot/token", {})).body["spec"]["audiences"]
    both = await issued(http, audiences=["vault", *own])
    assert (await http("POST", WHO, {}, token=both)).code == 201


async def test_a_token_falls_with_the_secret_that_it_is_bound_to(http: Client) -> None:
    await http("POST", SECRETS, {"metadata": {"name": "life"}})
    bound = {"kind": "Secret", "apiVersion": "v1", "name": "life"}
    token = await issued(http, boundObjectRef=bound)
    assert (await http("POST", WHO, {}, token=token)).code == 201
    await http("DELETE", f"{SECRETS}/life")
    assert (await http("POST", WHO, {}, token=token)).code == 401
    told = await reviewed(http, token)
    assert told["error"] == "[invalid bearer token, service account token has been invalidated]"
    await http("POST", SECRETS, {"metadata": {"name": "life"}})
    assert (await http("POST", WHO, {}, token=token)).code == 401, "another Secret of the same name"


async def test_a_token_falls_with_its_account_though_another_takes_its_name(http: Client) -> None:
    token = await issued(http)
    extra = (await http("POST", WHO, {}, token=token)).body["status"]["userInfo"]["extra"]
    assert extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")
    await http("DELETE", f"{ACCOUNTS}/bot")
    await issued(http)
    assert (await http("POST", WHO, {}, token=token)).code == 401
    assert (await reviewed(http, token))["error"].startswith("[invalid bearer token, service account")


async def test_a_token_of_an_earlier_build_still_stands_for_its_account(running: World, http: Client) -> None:
    made = (await http("POST", ACCOUNTS, {"metadata": {"name": "bot"}})).body
    claims = accounts.Claims(
        "system:serviceaccount:default:bot", 10**10, 0, [accounts.ISSUER], uid=made["metadata"]["uid"]
    )
    assert (await accounts.account(running.api, claims, now())).name == claims.sub
    with pytest.raises(Unauthorized, match="has expired"):
        await accounts.account(running.api, replace(claims, exp=1), now())
    with pytest.raises(Unauthorized, match="has been deleted"):
        await accounts.account(running.api, replace(claims, uid=""), now())
