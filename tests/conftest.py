"""What holds for every test: real model hosts are impossible to reach. And the cluster that some share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn.server

from tests.kubernetes import kubernetes
from tests.loopback import only_loopback

__all__ = ["kubernetes", "only_loopback"]


class _Often:
    """asyncio as uvicorn sees it: told to stop, it looks ten times a second whether all has stopped.

    That is a tenth of a second of nothing in each of hundreds of tests with a server.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 20)


@pytest.fixture(scope="session", autouse=True)
def servers_stop_soon() -> Iterator[None]:
    """For the whole run: uvicorn looks twenty times as often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.server, "asyncio", _Often())
        yield


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: runs on a real Kubernetes; `-m 'not cluster'` leaves it out")
    config.addinivalue_line("markers", "machine: runs on a real node, as root: kubelet, containerd, our image")
    config.addinivalue_line(
        "markers", "slow: takes more than five seconds; `make test` runs it, `make check` does not"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of connections given up while their TLS begins (a cancelled watch) asyncio leaves some to the collector.

    It says so in whatever test runs then, which has nothing to do with it. On a cluster there are many such.
    """
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"))
