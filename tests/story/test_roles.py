"""Roles for people on the embedded engine: as on a cluster, without an installation."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from kubechain.deploying.rbac import people
from tests.story.program import SECONDS, Story, story

ROLES = (
    "kubechain-admin",
    "kubechain-approver",
    "kubechain-editor",
    "kubechain-metrics-reader",
    "kubechain-viewer",
)


async def test_the_roles_of_the_documentation_are_there_and_can_be_bound(tmp_path: Path) -> None:
    async with story(tmp_path) as running:
        found = (await running.ok("get", "clusterroles", "--output=name")).split()
        assert {f"clusterrole.rbac.authorization.k8s.io/{name}" for name in ROLES} <= {*found}
        await running.ok("create", "namespace", "team-a")
        team = "--namespace=team-a"
        await running.ok("create", "rolebinding", "jane", team, "--clusterrole=kubechain-approver", "--user=jane")
        await running.ok("create", "rolebinding", "joe", team, "--clusterrole=kubechain-editor", "--user=joe")
        assert await may(running, "jane", "patch", "toolcalls", "--subresource=status", team)
        assert not await may(running, "jane", "create", "taskruns", team)
        assert await may(running, "joe", "create", "taskruns", team)
        assert not await may(running, "joe", "create", "tools", team)
        assert not await may(running, "joe", "create", "taskruns", "--namespace=default")


KUBERNETES = ("admin", "cluster-admin", "edit", "view")
MAY = {
    "view": ("list configmaps", "watch taskruns", "get namespaces"),
    "edit": ("create taskruns", "delete configmaps", "get secrets", "create serviceaccounts/token"),
    "admin": ("create taskruns", "create rolebindings", "patch toolcalls/status"),
    "cluster-admin": ("create tools", "delete secrets", "escalate roles"),
}
MAY_NOT = {
    "view": ("get secrets", "create taskruns", "list roles"),
    "edit": ("create tools", "update mcpservers", "create rolebindings", "patch toolcalls/status"),
    "admin": ("create tools", "escalate roles", "create clusterroles"),
    "cluster-admin": (),
}


@pytest.mark.parametrize("role", KUBERNETES)
async def test_the_roles_of_every_cluster_allow_what_they_do_there_ours_included(
    tmp_path: Path, role: str
) -> None:
    async with story(tmp_path) as running:
        await running.ok("create", "rolebinding", "jane", f"--clusterrole={role}", "--user=jane")
        for words in MAY[role]:
            assert await may(running, "jane", *_asked(words)), words
        for words in MAY_NOT[role]:
            assert not await may(running, "jane", *_asked(words)), words
        assert not await may(running, "jane", "list", "configmaps", "--namespace=kube-system")


def _asked(words: str) -> tuple[str, ...]:
    verb, _, resource = words.partition(" ")
    name, _, subresource = resource.partition("/")
    return (verb, name, *((f"--subresource={subresource}",) if subresource else ()))


async def test_a_role_with_the_label_goes_into_view_and_out_of_it_again(tmp_path: Path) -> None:
    async with story(tmp_path) as running:
        await running.ok("create", "clusterrole", "leases", "--verb=list", "--resource=leases")
        await running.ok("create", "rolebinding", "jane", "--clusterrole=view", "--user=jane")
        assert not await may(running, "jane", "list", "leases")
        label = "rbac.authorization.k8s.io/aggregate-to-view"
        for change, expected in ((f"{label}=true", True), (f"{label}-", False)):
            await running.ok("label", "clusterrole", "leases", change)
            async with asyncio.timeout(SECONDS):
                while await may(running, "jane", "list", "leases") != expected:
                    pass


async def test_every_namespace_has_a_default_service_account_again_when_it_is_deleted(tmp_path: Path) -> None:
    async with story(tmp_path) as running:
        await running.ok("create", "namespace", "team-a")
        for namespace in ("default", "kube-system", "team-a"):
            there = (
                "get",
                "serviceaccount",
                "default",
                f"--namespace={namespace}",
                "--output=jsonpath={.metadata.uid}",
            )
            uid = await eventually(running, *there)
            await running.ok("delete", "serviceaccount", "default", f"--namespace={namespace}")
            assert await eventually(running, *there) != uid
        assert (await running.ok("create", "token", "default")).count(".") == 2
        await running.ok("delete", "namespace", "team-a")


async def eventually(running: Story, *words: str) -> str:
    """What kubectl says once it succeeds."""
    async with asyncio.timeout(SECONDS):
        while (said := await running.kubectl(*words)).code:
            pass
    return said.out


async def may(running: Story, user: str, *words: str) -> bool:
    said = await running.kubectl("auth", "can-i", *words, f"--as={user}")
    assert said.out.strip() in ("yes", "no"), said.err
    return said.out.strip() == "yes"


@pytest.mark.parametrize("how", ["deleted", "emptied"])
async def test_a_role_that_was_deleted_or_changed_is_right_again_after_a_start(tmp_path: Path, how: str) -> None:
    async with story(tmp_path) as running:
        if how == "deleted":
            await running.ok("delete", "clusterrole", "kubechain-viewer")
        else:
            await running.ok("patch", "clusterrole", "kubechain-viewer", "--type=merge", "-p", '{"rules": []}')
    async with story(tmp_path) as running:
        role = json.loads(await running.ok("get", "clusterrole", "kubechain-viewer", "--output=json"))
        (viewer,) = [one for one in people() if json.dumps(one).count("kubechain-viewer")]
        assert role["rules"] == viewer["rules"]
