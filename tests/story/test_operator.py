"""`kubechain operator`, the process: over a real Kubernetes, ended by SIGTERM, killed and started again."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from kubechain.cluster.remote import RemoteApi, connect
from kubechain.cluster.target import ClusterSettings
from kubechain.resources.registry import OURS
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.runtime.api import Change, WatchOptions
from tests.kubernetes import Kubernetes, can_start
from tests.parts.apiserver import Cluster
from tests.story import manifests
from tests.story.program import SECONDS, Place, place
from tests.world import kubectl_command, said

CRDS = Path(__file__).parents[2] / "deploy" / "crds"
pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


@pytest.fixture
async def home(kubernetes: Kubernetes, tmp_path: Path) -> AsyncIterator[Place]:
    async with place(kubernetes, tmp_path) as found:
        yield found


@asynccontextmanager
async def operator(home: Place, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The running process, once it says that it controls; killed at the end where it still runs."""
    environment = {
        **os.environ,
        "KUBECONFIG": str(home.kubeconfig),
        "PYTHONUNBUFFERED": "1",
        "POD_NAME": "operator",
    }
    command = [sys.executable, "-m", "kubechain.cli.main", "operator", "--namespace", home.namespace, *words]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, env=environment
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(SECONDS):
            line = (await process.stderr.readline()).decode()
        assert line.startswith(f"KubeChain controls namespace {home.namespace} of https://127.0.0.1:"), line
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        async with asyncio.timeout(SECONDS):
            print((await process.communicate())[1].decode())


async def kubectl(home: Place, *words: str, stdin: str = "") -> str:
    command, environment = kubectl_command(
        *words, version="1.32", kubeconfig=home.kubeconfig, home=home.kubeconfig.parent
    )
    done = await said(command, environment, stdin)
    assert done.code == 0, done.err
    return done.out


async def apply(home: Place, *texts: str) -> None:
    await kubectl(home, "apply", "-f", "-", stdin="\n---\n".join(texts))


async def until(api: RemoteApi, home: Place, *, turns: int) -> TaskRun:
    """The run once it has had that many turns."""
    async with asyncio.timeout(SECONDS):
        while True:
            async with aclosing(api.watch(TASK_RUNS, home.namespace, WatchOptions())) as events:
                async for event in events:
                    if isinstance(event, Change) and event.object.status.turns >= turns:
                        return event.object


async def test_the_operator_works_until_sigterm_ends_it_and_goes_on_after_a_kill(home: Place) -> None:
    async with connect(ClusterSettings(home.kubeconfig)) as api:
        async with operator(home, "--model", "scripted") as first:
            await apply(home, manifests.SECRET, *manifests.walkthrough().values())
            await until(api, home, turns=1)
            first.kill()
            await first.wait()
        async with operator(home, "--model", "scripted") as second:
            run = await until(api, home, turns=2)
            told = await kubectl(home, "describe", "lease", f"kubechain-leader-{home.namespace}")
            assert re.search(r"Normal +LeaderElection .* operator_[0-9a-f]{8} became leader", told)
            second.send_signal(signal.SIGTERM)
            async with asyncio.timeout(SECONDS):
                assert await second.wait() == 0
    assert run.status.phase == "FinalAnswer"
    assert [m.role for m in run.status.messages] == ["system", "user", "assistant", "tool", "assistant"]


async def test_kubectl_applies_what_install_prints(home: Place, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kubechain.cli.main", "install", "--crds"]
    printed = await said(command, {"PATH": "", "HOME": str(tmp_path)})
    assert printed.code == 0
    words = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-")
    kubectl, environment = kubectl_command(*words, version="1.32", kubeconfig=home.kubeconfig, home=tmp_path)
    applied = await said(kubectl, environment, printed.out)
    assert applied.code == 0, applied.err
    assert [line.split()[0].split("/")[1] for line in applied.out.splitlines()] == [k.qualified for k in OURS]


async def test_the_crds_that_are_shipped_install_cleanly(tmp_path: Path) -> None:
    """On a cluster of its own: of two groups on one, kubectl might take the other's tasks for ours."""
    can_start()
    async with Cluster() as empty:
        for verb in (
            ("apply", "--server-side", "--validate=strict", "-f", str(CRDS)),
            ("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS)),
        ):
            command, environment = kubectl_command(
                *verb, version="1.33", kubeconfig=empty.kubeconfig, home=tmp_path
            )
            done = await said(command, environment)
            assert (done.code, done.err) == (0, ""), done.err
            assert len(done.out.splitlines()) == len(OURS)
