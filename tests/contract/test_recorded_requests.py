"""Every recorded request again, story by story: embedded and real server say what the real one said before."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kubechain.runtime.clock import now
from kubechain.server import tls
from kubechain.server.http import serve
from kubechain.server.settings import ServerSettings, User
from kubechain.store.engine import Store
from tests.contract.recorded.story import Step, Story, play, stories
from tests.contract.recorded.wire import Server, server, server_of
from tests.kubernetes import Kubernetes, on_cluster
from tests.world import TOKEN

EVERY = [pytest.param(story, id=f"{story['file']}: {story['title']}") for story in stories()]
COMPAT = Path(__file__).parents[2] / "docs" / "compat.md"
ADMIN = User("admin", ("system:masters", "system:authenticated"))


@pytest.fixture(params=["embedded", on_cluster])
async def answering(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    """A server of each engine, its administrator called as in the recording."""
    if request.param == "cluster":
        kubernetes: Kubernetes = request.getfixturevalue("kubernetes")
        async with server_of(kubernetes.kubeconfig) as found:
            yield found
        return
    files = tls.ensure(tmp_path / "tls", now)
    settings = ServerSettings(
        certificate=files.certificate, private_key=files.private_key, tokens={TOKEN: ADMIN}, clock=now
    )
    trust = ssl.create_default_context(cadata=files.ca_pem)
    async with (
        Store.open(tmp_path / "store.db", clock=now, synchronous="OFF") as api,
        serve(api, settings) as running,
        server(running.url, TOKEN, trust) as found,
    ):
        yield found


@pytest.mark.parametrize("story", EVERY)
async def test_a_recorded_story_gets_the_recorded_answers(
    story: Story, answering: Server, request: pytest.FixtureRequest
) -> None:
    embedded = "embedded" in request.node.callspec.id.split("-")
    differing = []
    async for step, answer in play(answering, story):
        expected = step["elsewhere" if embedded and "elsewhere" in step else "answer"]
        if comparable(answer) != comparable(expected):
            differing.append((step["ask"], step.get("body"), {"expected": expected, "got": answer}))
    assert differing == []


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer, what its message is made of in an order: of many causes a real server has none."""
    body = answer["body"]
    if isinstance(body, dict) and body.get("kind") == "Status":
        return {**answer, "body": {**body, "message": sorted(body.get("message", ""))}}
    return answer


def test_every_difference_is_on_the_page_of_compatibility() -> None:
    page = " ".join(COMPAT.read_text().split())
    told: list[Step] = [step for story in stories() for step in story["steps"] if "elsewhere" in step]
    assert [step["ask"] for step in told if step["because"] not in page] == []
