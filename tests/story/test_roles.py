"""Roles for people on the embedded engine: as on a cluster, without an installation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kubechain.deploying.rbac import people
from tests.story.program import Story, story

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
