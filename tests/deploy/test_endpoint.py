"""`kubechain operator` over HTTP on a real Kubernetes: ready, measured, and closed to strangers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from kubechain.app.operator import OperatorSettings
from kubechain.app.operator import operator as run_operator
from kubechain.app.program import Program
from kubechain.app.settings import ProviderSettings
from kubechain.cluster.callers import Callers
from kubechain.cluster.kubeconfig import load
from kubechain.cluster.target import ClusterSettings
from kubechain.errors import Forbidden, Unauthorized
from kubechain.runtime.clock import now
from tests.kubernetes import Kubernetes
from tests.story import manifests, metrics
from tests.story.program import SECONDS, Place, Story, place
from tests.world import kubectl_command, said

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]
READER = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAMESPACE-reader}
rules: [{nonResourceURLs: [/metrics], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: NAMESPACE-reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NAMESPACE-reader}
subjects: [{kind: ServiceAccount, name: prometheus, namespace: NAMESPACE}]
"""


@pytest.fixture
async def home(kubernetes: Kubernetes, tmp_path: Path) -> AsyncIterator[Place]:
    async with place(kubernetes, tmp_path) as found:
        yield found


async def kubectl(home: Place, *words: str, stdin: str = "") -> str:
    command, environment = kubectl_command(
        *words, version="1.32", kubeconfig=home.kubeconfig, home=home.kubeconfig.parent
    )
    done = await said(command, environment, stdin)
    assert done.code == 0, done.err
    return done.out.strip()


@asynccontextmanager
async def operator(home: Place, address: str) -> AsyncIterator[tuple[Program, aiohttp.ClientSession]]:
    cluster, providers = ClusterSettings(home.kubeconfig), ProviderSettings("scripted")
    settings = OperatorSettings(cluster, home.namespace, listen=(address, 0), providers=providers)
    async with asyncio.timeout(SECONDS):
        async with run_operator(settings) as program:
            port = program.running.port
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                yield program, session


async def numbers(session: aiohttp.ClientSession, token: str = "") -> dict[str, float]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with session.get("/metrics", headers=headers) as answer:
        assert answer.status == 200
        return metrics.numbers(await answer.text())


async def test_the_numbers_of_a_run_are_those_that_the_run_shows(home: Place, tmp_path: Path) -> None:
    async with operator(home, "127.0.0.1") as (program, session):
        for informer in program.loops.caches.all():
            await informer.synced.wait()
        async with session.get("/readyz") as answer:
            assert answer.status == 200
        await kubectl(
            home, "apply", "-f", "-", stdin="\n---\n".join([manifests.SECRET, *manifests.walkthrough().values()])
        )
        run = await Story(program, tmp_path, home.namespace).finished("hello-world-run")
        found = await numbers(session)
    metrics.of_the_walkthrough(found, home.namespace)
    assert run.status.turns == 2
    assert found['kubechain_api_requests_total{code="201",method="POST",reason=""}'] >= 1


async def test_metrics_off_loopback_are_for_those_whom_the_cluster_allows_it(home: Place) -> None:
    for account in ("prometheus", "stranger"):
        await kubectl(home, "create", "serviceaccount", account)
    await kubectl(home, "apply", "-f", "-", stdin=READER.replace("NAMESPACE", home.namespace))
    allowed, stranger = [await kubectl(home, "create", "token", name) for name in ("prometheus", "stranger")]
    async with operator(home, "0.0.0.0") as (_, session):
        assert await numbers(session, allowed)
        for token, code in (("", 401), ("made-up", 401), (stranger, 403)):
            async with session.get("/metrics", headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status == code, await answer.text()
        async with session.get("/healthz") as answer:
            assert answer.status == 200


async def test_the_gate_asks_as_the_caller_even_where_we_act_for_someone_else(
    kubernetes: Kubernetes, tmp_path: Path
) -> None:
    config = json.loads(kubernetes.kubeconfig.read_text())
    config["users"][0]["user"]["as"] = "system:admin"
    config["users"][0]["user"]["as-groups"] = ["system:masters"]
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    gate = Callers(load([tmp_path / "kubeconfig"], "", now), "/metrics")
    async with asyncio.timeout(SECONDS):
        await gate.admit(config["users"][0]["user"]["token"])
        with pytest.raises((Unauthorized, Forbidden)):
            await gate.admit("made-up")
