"""One real Kubernetes for all tests of a session, with our CRDs installed; a test makes a namespace of its own.

Fixtures of the contract and story tests ask for it. Where its program is not there the test is skipped and says
why; with CI=true and KUBECHAIN_REQUIRE_APISERVER=1 it fails. $KUBECHAIN_TEST_KUBECONFIG names one that runs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kubechain.cluster.remote import RemoteApi, connect
from kubechain.cluster.target import ClusterSettings
from kubechain.errors import TooManyRequests
from kubechain.resources.crd import definition
from kubechain.resources.kind import Kind
from kubechain.resources.registry import OURS
from kubechain.runtime.api import Change, WatchOptions
from kubechain.server.served import CRDS
from tests.outliving import outliving
from tests.parts.apiserver import Cluster, installed
from tests.parts.cache import PartMissing

SECONDS = 60.0
on_cluster = pytest.param("cluster", marks=[pytest.mark.cluster, pytest.mark.xdist_group("cluster")])
"""The parameter that has a test run on it too; `--dist loadgroup` puts all of these on one worker, one cluster."""


@dataclass(frozen=True)
class Kubernetes:
    """`audit` is its log of requests, None where it is not ours."""

    kubeconfig: Path
    audit: Path | None = None


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[Kubernetes]:
    """The cluster of this session, in a thread of its own."""
    if given := os.environ.get("KUBECHAIN_TEST_KUBECONFIG"):
        with ThreadPoolExecutor(1) as thread:  # an event loop may be running here already
            thread.submit(asyncio.run, install(Path(given))).result()
        yield Kubernetes(Path(given))
        return
    with started() as kubernetes:
        yield kubernetes


@contextmanager
def started(*options: str) -> Iterator[Kubernetes]:
    """A cluster with our CRDs, for as long as the block lasts; `options` are further flags of kube-apiserver."""
    can_start()
    with outliving(lambda: _cluster(options), SECONDS) as kubernetes:
        yield kubernetes


def can_start() -> None:
    """Skips the test where no cluster can be started; fails it where one is required."""
    try:
        installed()
    except PartMissing as missing:
        if os.environ.get("CI") == "true" and os.environ.get("KUBECHAIN_REQUIRE_APISERVER") == "1":
            raise
        pytest.skip(str(missing))


@asynccontextmanager
async def _cluster(options: tuple[str, ...]) -> AsyncIterator[Kubernetes]:
    async with Cluster(*options) as cluster:
        await install(cluster.kubeconfig)
        yield Kubernetes(cluster.kubeconfig, cluster.folder / "audit.log")


async def install(kubeconfig: Path) -> None:
    """Our CRDs, established, where they are not yet."""
    async with connect(ClusterSettings(kubeconfig)) as api, asyncio.timeout(SECONDS):
        for kind in OURS:
            await api.ensure(CRDS, msgspec.json.encode(definition(kind)))
        await _established(api, {kind.qualified for kind in OURS})
        await asyncio.gather(*(_answers(api, kind) for kind in OURS))


async def _established(api: RemoteApi, missing: set[str]) -> None:
    async with aclosing(api.watch(CRDS, options=WatchOptions())) as events:
        async for event in events:
            if isinstance(event, Change) and _is_established(event.object):
                missing.discard(event.key.name)
                if not missing:
                    return


async def _answers(api: RemoteApi, kind: Kind[Any]) -> None:
    """Returns when the kind can be listed: for a moment after its CRD came, the server says 429 to it."""
    while True:
        try:
            await api.list(kind.raw)
            return
        except TooManyRequests as error:
            await asyncio.sleep(error.details.retry_after or 0.1)


def _is_established(document: bytes) -> bool:
    conditions = msgspec.json.decode(document).get("status", {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
