"""Everything that installs is put on an empty, real Kubernetes as users do it, and must be taken strictly."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from kubechain.app.operator import OperatorSettings, operator
from kubechain.cluster.target import ClusterSettings
from tests.deploy.printed import CHART, DEPLOY, helm, install, kustomize, objects
from tests.kubernetes import can_start
from tests.parts.apiserver import Cluster
from tests.world import Said, kubectl_command, said

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]
SECONDS = 60.0


@pytest.fixture
async def empty() -> AsyncIterator[Cluster]:
    """A Kubernetes that has never heard of us."""
    can_start()
    async with Cluster() as cluster:
        yield cluster


async def kubectl(cluster: Cluster, *words: str, stdin: str = "", version: str = "1.32") -> Said:
    command, environment = kubectl_command(
        *words, version=version, kubeconfig=cluster.kubeconfig, home=cluster.folder
    )
    return await said(command, environment, stdin)


async def ok(cluster: Cluster, *words: str, stdin: str = "", version: str = "1.32") -> str:
    done = await kubectl(cluster, *words, stdin=stdin, version=version)
    assert done.code == 0, f"kubectl {' '.join(words)}: {done.err}{done.out}"
    assert "Warning" not in done.err, done.err
    return done.out


def kubeconfig_of(cluster: Cluster, token: str, namespace: str, place: Path) -> Path:
    """A kubeconfig of whoever holds the token, written to `place`."""
    config = json.loads(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    config["contexts"][0]["context"]["namespace"] = namespace
    place.write_text(json.dumps(config))
    return place


async def ready(kubeconfig: Path, namespace: str) -> str:
    """What /readyz says of an operator that may do what this kubeconfig allows, once all its lists have come."""
    settings = OperatorSettings(ClusterSettings(kubeconfig), namespace, listen=("127.0.0.1", 0))
    async with asyncio.timeout(SECONDS):
        async with operator(settings) as program:
            for informer in program.loops.caches.all():
                await informer.synced.wait()
            url = f"http://127.0.0.1:{program.running.port}/readyz"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return await answer.text()


async def test_what_install_prints_is_taken_whole_and_is_enough_for_the_operator(
    empty: Cluster, tmp_path: Path
) -> None:
    printed = install("--secret", "default/openai")
    applied = await ok(empty, "apply", "--server-side", "--validate=strict", "-f", "-", stdin=printed)
    assert len(applied.splitlines()) == len(objects(printed))
    again = await ok(empty, "diff", "--server-side", "-f", "-", stdin=printed)
    assert again == ""
    token = (await ok(empty, "create", "token", "kubechain", "-n", "kubechain-system")).strip()
    assert await ready(kubeconfig_of(empty, token, "kubechain-system", tmp_path / "config"), "") == "ok"


async def test_an_operator_of_one_namespace_is_applied_the_plain_way_and_gets_along_with_its_role(
    empty: Cluster, tmp_path: Path
) -> None:
    await ok(empty, "create", "namespace", "team-a")
    printed = install("--namespace", "team-a", "--watch-namespace", "team-a", "--secret", "team-a/openai")
    applied = await ok(empty, "apply", "--validate=strict", "-f", "-", stdin=printed, version="1.30")
    assert len(applied.splitlines()) == len(objects(printed))
    kinds = {kind for kind, _, _ in objects(printed)}
    assert "Namespace" not in kinds and "ClusterRoleBinding" not in kinds
    token = (await ok(empty, "create", "token", "kubechain", "-n", "team-a")).strip()
    assert await ready(kubeconfig_of(empty, token, "team-a", tmp_path / "config"), "team-a") == "ok"


async def test_the_pods_are_let_into_the_namespace_that_enforces_the_restricted_standard(empty: Cluster) -> None:
    found = objects(install())
    namespace = yaml.safe_dump(found["Namespace", "", "kubechain-system"])
    template: dict[str, Any] = found["Deployment", "kubechain-system", "kubechain"]["spec"]["template"]
    pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] = {"name": "one", "namespace": "kubechain-system"}
    await ok(empty, "apply", "-f", "-", stdin=namespace)
    await ok(empty, "apply", "-f", "-", stdin=yaml.safe_dump(pod))
    pod["metadata"]["name"] = "loose"
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]
    refused = await kubectl(empty, "apply", "-f", "-", stdin=yaml.safe_dump(pod))
    assert 'violates PodSecurity "restricted:latest"' in refused.err


async def test_both_kustomize_overlays_are_taken(empty: Cluster, tmp_path: Path) -> None:
    wide = DEPLOY / "operator" / "cluster-wide"
    applied = await ok(empty, "apply", "--server-side", "--validate=strict", "-k", str(wide))
    assert len(applied.splitlines()) == len(objects(await kustomize(wide, tmp_path)))
    moved = tmp_path / "moved"
    moved.mkdir()
    relative = os.path.relpath(DEPLOY / "operator" / "namespaced", moved)
    (moved / "kustomization.yaml").write_text(f"namespace: team-a\nresources: [{relative}]\n")
    printed = await kustomize(moved, tmp_path)
    assert {namespace for _, namespace, _ in objects(printed)} == {"", "team-a"}
    await ok(empty, "create", "namespace", "team-a")
    await ok(empty, "apply", "--server-side", "--validate=strict", "-f", "-", stdin=printed)
    token = (await ok(empty, "create", "token", "kubechain", "-n", "team-a")).strip()
    assert await ready(kubeconfig_of(empty, token, "team-a", tmp_path / "config"), "team-a") == "ok"


async def test_the_chart_installs_upgrades_and_leaves_the_kinds_behind(empty: Cluster, tmp_path: Path) -> None:
    async def run(*words: str) -> None:
        done = await helm(tmp_path, *words, kubeconfig=empty.kubeconfig)
        assert done.code == 0, done.err

    where = ("--namespace", "kubechain-system")
    await run("install", "kubechain", str(CHART), *where, "--create-namespace")
    token = (await ok(empty, "create", "token", "kubechain", "-n", "kubechain-system")).strip()
    assert await ready(kubeconfig_of(empty, token, "kubechain-system", tmp_path / "config"), "") == "ok"
    await run("upgrade", "kubechain", str(CHART), *where, "--set", "replicas=3,secrets.default={openai}")
    replicas = await ok(empty, "get", "deployment", "kubechain", *where, "-o", "jsonpath={.spec.replicas}")
    assert replicas == "3"
    assert "openai" in await ok(empty, "get", "role", "kubechain-secrets", "-o", "yaml")
    await run("uninstall", "kubechain", *where)
    assert "taskruns" in await ok(empty, "get", "crd", "-o", "name")
    left = await ok(empty, "get", "clusterrole,clusterrolebinding,role,deployment", "-A", "-o", "name")
    assert "/kubechain" not in left


async def test_make_deploy_operator_brings_it_and_undeploy_takes_it_away_and_leaves_the_kinds(
    empty: Cluster, tmp_path: Path
) -> None:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "kubectl").symlink_to(kubectl_command(version="1.32", kubeconfig=tmp_path, home=tmp_path)[0][0])
    environment = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "KUBECONFIG": str(empty.kubeconfig),
        "KUBECHAIN": str(Path(sys.executable).with_name("kubechain")),
        "WAIT": "0",
    }
    for _ in ("at first", "again, with a newer image of the same name"):
        done = await said([str(DEPLOY / "up"), "kubechain:test"], environment)
        assert done.code == 0, done.err
    image = await ok(empty, "get", "deploy", "kubechain", "-n", "kubechain-system", "-o", "jsonpath={..image}")
    assert image.split() == ["kubechain:test", "kubechain:test"]
    assert "restartedAt" in await ok(
        empty, "get", "deploy", "-A", "-o", "jsonpath={..template.metadata.annotations}"
    )
    assert "openai" in await ok(
        empty, "get", "role", "kubechain-secrets", "-o", "jsonpath={.rules[*].resourceNames}"
    )
    assert "simple-echo-tool" in await ok(empty, "get", "tools", "-o", "name")
    done = await said([str(DEPLOY / "down")], environment)
    assert done.code == 0, done.err
    left = await ok(empty, "get", "clusterrole,clusterrolebinding,role,rolebinding,deploy,ns", "-A", "-o", "name")
    assert "/kubechain" not in left
    assert "simple-echo-tool" in await ok(empty, "get", "tools", "-o", "name")
