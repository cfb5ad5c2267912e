"""Fixtures of the model tests."""

from collections.abc import AsyncIterator

import pytest

from kubechain.providers.models.router import Models


@pytest.fixture
async def models() -> AsyncIterator[Models]:
    provider = Models()
    yield provider
    await provider.close()
