"""Fixtures of the stories: the program, embedded and over a real Kubernetes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.kubernetes import on_cluster
from tests.story.program import Story, place, story

FUNCTIONS = Path(__file__).parent / "functions"
Begin = Callable[..., AbstractAsyncContextManager[Story]]


@pytest.fixture(params=["embedded", on_cluster])
async def begin(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Begin]:
    """Starts the program, with further settings; again in the same test, it finds what it left."""
    if request.param == "embedded":
        yield partial(story, tmp_path, functions=(FUNCTIONS,))
        return
    async with place(request.getfixturevalue("kubernetes"), tmp_path) as found:
        yield partial(found.story, tmp_path, functions=(FUNCTIONS,))


@pytest.fixture
async def running(begin: Begin) -> AsyncIterator[Story]:
    """The program with the scripted model and the functions of the stories."""
    async with begin() as made:
        yield made
