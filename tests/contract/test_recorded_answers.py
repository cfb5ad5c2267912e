"""Embedded and real server say what a real one said before: to bad manifests, and to several field managers."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from typing import Any

import pytest

from tests.contract.applies.record import play, stories
from tests.contract.bad_manifests.record import Case, Server, cases
from tests.kubernetes import Kubernetes, on_cluster
from tests.world import TOKEN, World


@pytest.fixture(params=["embedded", on_cluster])
def server(request: pytest.FixtureRequest) -> Server:
    """A server of each engine."""
    if request.param == "embedded":
        world: World = request.getfixturevalue("running")
        return Server(world.server.url, TOKEN, ssl.create_default_context(cafile=str(world.ca)))
    kubernetes: Kubernetes = request.getfixturevalue("kubernetes")
    config = json.loads(kubernetes.kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
    return Server(cluster["server"], user["token"], ssl.create_default_context(cadata=ca))


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """A Status with its causes, and what its message is made of, in an order: a real server has none."""
    details = dict(answer.get("details", {}))
    causes = sorted((c.get("field", ""), c.get("message", "")) for c in details.pop("causes", []))
    return {**answer, "message": sorted(answer.get("message", "")), "details": (sorted(details.items()), causes)}


async def test_every_bad_manifest_gets_the_recorded_answer(server: Server) -> None:
    def differing(case: Case) -> bool:
        return comparable(server.answer(case)) != comparable(case["answer"])

    # A resource version of letters is an internal error of a real server; here it is the client's.
    asked = [case for case in cases() if case["answer"]["code"] != 500]
    assert [case["case"] for case in asked if await asyncio.to_thread(differing, case)] == []


# The embedded store keeps managedFields that a client asks it to forget, and collects at once what names no owner.
ELSEWHERE = {"untracked", "ownerrefs"}


async def test_every_story_of_field_managers_gets_the_recorded_answers(server: Server) -> None:
    def played() -> list[str]:
        return [
            f"{story['title']}: {step['verb']} by {step['manager']}"
            for story in stories()
            if story["title"] not in ELSEWHERE
            for step, answer in play(server, story)
            if answer != step["answer"]
        ]

    assert await asyncio.to_thread(played) == []
