"""Fixtures of the model tests."""

from collections.abc import AsyncIterator

import pytest

from kubechain.providers.models.router import Models
from tests.unit.models.loopback import only_loopback

__all__ = ["only_loopback"]


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    provider = Models()
    yield provider
    await provider.close()
