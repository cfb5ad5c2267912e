"""The official conformance scenarios for MCP clients, with our sessions as the client."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from tests.parts.cache import PartMissing
from tests.parts.conformance import command

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]
ROOT = Path(__file__).parents[2]
PASSED = [
    "initialize",
    "tools_call",
    "sse-retry",
    "auth/client-credentials-basic",
    "request-metadata",
    "http-standard-headers",
    "http-custom-headers",
    "http-invalid-tool-headers",
    "json-schema-ref-no-deref",
    "json-schema-2020-12-preservation",
]


@pytest.mark.parametrize("scenario", PASSED)
async def test_a_scenario_for_clients_passes(scenario: str) -> None:
    try:
        words = await asyncio.to_thread(command, scenario)
    except PartMissing as missing:
        pytest.skip(str(missing))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    with tempfile.TemporaryDirectory() as folder:
        running = await asyncio.create_subprocess_exec(
            *map(str, words), cwd=folder, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await asyncio.wait_for(running.communicate(), 150)
    assert running.returncode == 0, said.decode()[-3000:]
    assert "OVERALL: PASSED" in said.decode()
