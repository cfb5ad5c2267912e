"""Fixtures of the stories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.story.program import Story, story

FUNCTIONS = Path(__file__).parent / "functions"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Story]:
    """The program with the scripted model and the functions of the stories."""
    async with story(tmp_path, functions=(FUNCTIONS,)) as made:
        yield made
