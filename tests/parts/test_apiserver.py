"""The control plane starts, deletes children with their owner, counts requests, and leaves nothing."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.parts.apiserver import VERSION, Cluster
from tests.parts.cache import PartMissing, run
from tests.parts.kubectl import kubectl
from tests.parts.process import accepts


async def test_a_real_cluster_answers_kubectl_and_is_gone_afterwards() -> None:
    try:
        client = await asyncio.to_thread(kubectl, "1.33")
        cluster = await Cluster().__aenter__()
    except PartMissing as error:
        pytest.skip(str(error))
    try:

        async def ask(*words: str) -> str:
            argv: list[str | Path] = [client, "--kubeconfig", cluster.kubeconfig, *words]
            return await asyncio.to_thread(run, argv, timeout=60)

        version = json.loads(await ask("version", "-o", "json"))["serverVersion"]
        assert version["gitVersion"] == VERSION
        await ask("create", "namespace", "left")
        await ask("delete", "namespace", "left", "--timeout=30s")
        seen = [(entry["verb"], entry["user"]["username"]) for entry in cluster.audit()]
        assert ("delete", "admin") in seen
    finally:
        await cluster.__aexit__(None, None, None)
    assert not cluster.folder.exists()
    assert not await accepts(int(cluster.url.rsplit(":", 1)[1]))
