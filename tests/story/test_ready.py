"""/readyz of an operator that loses its Lease: not ready between two lives."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
import yaml

from kubechain.app.operator import OperatorSettings, operator
from kubechain.app.settings import ProviderSettings
from kubechain.cluster.target import ClusterSettings
from kubechain.resources.llm import LLMS
from kubechain.runtime.api import Change, WatchOptions
from kubechain.runtime.replicas.replica import ReplicaSettings
from tests.replicas.proxy import wire
from tests.story import manifests
from tests.story.rights import reports
from tests.world import World, world

SECONDS = 40.0


async def ask(port: int) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as answer:
        return answer.status, (await answer.text()).strip()


async def until_judged(made: World) -> None:
    """Returns when an LLM that is created now has been looked at."""
    manifest = yaml.safe_load(manifests.llm("new", "openai", "http://127.0.0.1:1"))
    manifest["metadata"]["namespace"] = "default"
    await made.api.create(LLMS.raw, msgspec.json.encode(manifest))
    async with aclosing(made.api.watch(LLMS, "default", WatchOptions())) as events:
        async for event in events:
            if isinstance(event, Change) and event.object.status.status_detail:
                return


async def test_a_replica_that_lost_its_lease_is_not_ready_until_it_sees_everything_again(tmp_path: Path) -> None:
    async with asyncio.timeout(SECONDS), world(tmp_path) as made:
        port = urlsplit(made.server.url).port
        assert port is not None
        async with wire("127.0.0.1", port) as cable:
            behind = tmp_path / "behind-the-wire"
            behind.write_text(made.kubeconfig.read_text().replace(f":{port}", f":{cable.port}"))
            replica = ReplicaSettings("a", "default", duration=3.0, drain=0.0)
            with reports() as heard:
                cluster, providers = ClusterSettings(behind), ProviderSettings("scripted")
                settings = OperatorSettings(cluster, "default", replica, ("127.0.0.1", 0), providers)
                async with operator(settings) as program:
                    first = program.loops
                    for informer in first.caches.all():
                        await informer.synced.wait()
                    assert await ask(program.running.port) == (200, "ok")
                    cable.cut()
                    await heard.one_with("cut off, starting again")
                    code, why = await ask(program.running.port)
                    assert (code, why.split(";")[0]) == (503, "not ready: cut off from the Kubernetes API")
                    cable.mend()
                    await until_judged(made)
                    assert program.loops is not first
                    for informer in program.loops.caches.all():
                        await informer.synced.wait()
                    assert await ask(program.running.port) == (200, "ok")
