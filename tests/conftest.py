"""What holds for every test: real model hosts are impossible to reach. And the cluster that some share."""

from __future__ import annotations

import pytest

from tests.kubernetes import kubernetes
from tests.loopback import only_loopback

__all__ = ["kubernetes", "only_loopback"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: runs on a real Kubernetes; `-m 'not cluster'` leaves it out")
