"""Fixtures of the contract tests: a running server, and the implementations of the port `Api`, each opened.

A further one is one more line in `IMPLEMENTATIONS`: a name and an async context manager that yields an `Api`.
`server` and `cluster` are the same client before our server and before a real Kubernetes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from kubechain.cluster.remote import connect
from kubechain.cluster.target import ClusterSettings
from kubechain.resources.builtin import NAMESPACES, Namespace
from kubechain.resources.model import ObjectMeta
from kubechain.runtime.api import Api
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.kubernetes import Kubernetes, on_cluster
from tests.world import World, world

Open = Callable[[Path, pytest.FixtureRequest], AbstractAsyncContextManager[Api]]


@asynccontextmanager
async def _store(folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    async with Store.open(folder / "store.db", clock=now, synchronous="OFF") as store:
        yield store


@asynccontextmanager
async def _server(folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    async with world(folder) as made, connect(ClusterSettings(made.kubeconfig)) as api:
        yield api


@asynccontextmanager
async def _cluster(folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    kubernetes: Kubernetes = request.getfixturevalue("kubernetes")
    async with connect(ClusterSettings(kubernetes.kubeconfig)) as api:
        yield api


IMPLEMENTATIONS: dict[str, Open] = {"store": _store, "server": _server, "cluster": _cluster}


@pytest.fixture(params=["store", "server", on_cluster])
async def api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Api]:
    """An Api in which nothing but the standard namespaces is known to exist."""
    async with IMPLEMENTATIONS[request.param](tmp_path, request) as api:
        yield api


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[World]:
    """A fresh store behind a running server."""
    async with world(tmp_path) as made:
        yield made


@pytest.fixture
async def namespace(api: Api) -> str:
    """A namespace of the test's own: an implementation may be shared."""
    made = await api.create(NAMESPACES, Namespace(metadata=ObjectMeta(generate_name="contract-")))
    return made.metadata.name
