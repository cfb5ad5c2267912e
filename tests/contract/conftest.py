"""Fixtures of the contract tests: one running server per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.world import World, world


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[World]:
    """A fresh store behind a running server."""
    async with world(tmp_path) as made:
        yield made
