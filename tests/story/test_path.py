"""The path of one TaskRun stays short enough to be read."""

from __future__ import annotations

import asyncio

from tests.story.path import path

MOST = 60
"""Files; `python -m tests.story.path` prints them."""


async def test_a_run_passes_through_few_files() -> None:
    async with asyncio.timeout(60):
        entered = await path()
    assert entered[0].startswith("store/")
    assert {"controllers/runs/taskrun.py", "agents/run/step.py", "runtime/worker.py"} <= set(entered)
    assert len(entered) <= MOST, f"{len(entered)} files: {entered}"
