"""A bounded set of strange MCP servers; `python -m tests.fuzz.mcp` plays any number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from kubechain.providers.tools.mcp import client, session
from tests.fuzz.mcp.__main__ import judge
from tests.fuzz.mcp.world import hurry


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Gives the program its own patience back, and its log."""
    for module, name in (
        (client, "PROBE_SECONDS"),
        (session, "CHECK_SECONDS"),
        (session, "STOP_SECONDS"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    with structlog.testing.capture_logs():
        hurry()
        yield


async def test_whatever_a_server_does_its_calls_end_and_its_neighbours_do_not_notice() -> None:
    summary = await judge(range(600), real=10)
    assert summary.servers == 610
    assert not summary.failures
