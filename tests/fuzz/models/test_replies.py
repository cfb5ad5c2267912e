"""A bounded set of the seeds; `python -m tests.fuzz.models` plays as many as one likes."""

import pytest

from tests.fuzz.models.play import played

pytest.importorskip("pydantic_ai.models.anthropic", reason="the extra kubechain[anthropic] is not installed")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", range(0, 2000, 500))
async def test_every_reply_ends_as_meant_or_with_a_sentence(first: int) -> None:
    assert await played(range(first, first + 500)) == {}
