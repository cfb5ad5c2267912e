"""A server that asks one run for a pause gets no request of the others meanwhile, and they say so."""

from __future__ import annotations

from contextlib import aclosing

import pytest
from aiohttp import web

from kubechain.agents.ports.model import PAUSED
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from tests.story import manifests
from tests.story.program import Story
from tests.unit.models.world import Server, completion

RUNS = ("two", "three")


async def refused(running: Story, name: str) -> TaskRun:
    """The run once it waits to be asked again."""
    async with aclosing(running.states(TASK_RUNS, name)) as states:
        async for run in states:
            if run.status.retry is not None:
                return run
    raise AssertionError("the watch ended")


@pytest.mark.parametrize("stream", ["true", "false"])
@pytest.mark.parametrize("status", [429, 503])
async def test_what_one_run_is_told_holds_the_others_with_its_key(
    running: Story, status: int, stream: str
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"data": []})
        if (await request.json())["model"] == "gpt-4o-mini":
            return web.json_response(completion({"role": "assistant", "content": "hi"}))
        said = {"error": {"message": "slow down"}}
        return web.json_response(said, status=status, headers={"Retry-After": "900"})

    async with Server(answer) as server:
        model = manifests.llm("model", "openai", server.url, f"stream: {stream}")
        other = manifests.llm("other", "openai", server.url, "model: gpt-4o-mini")
        agents = manifests.agent("helper", "model"), manifests.agent("free", "other")
        await running.apply(manifests.SECRET, model, other, *agents)
        await running.apply(manifests.task("one", "helper", "hello"), manifests.run("one", "one"))
        first = await refused(running, "one")
        for name in RUNS:
            await running.apply(manifests.task(name, "helper", "hello"), manifests.run(name, name))
            held = (await refused(running, name)).status
            assert held.retry is not None
            assert (held.retry.reason, held.retry.attempts) == (PAUSED, 0)
            assert "asked for a pause; KubeChain waits; next at " in held.waiting_on
            assert first.status.retry is not None
            assert held.retry.next_time < first.status.retry.next_time, "others are held for a minute at most"
        await running.apply(manifests.task("four", "free", "hello"), manifests.run("four", "four"))
        assert (await running.finished("four")).status.output == "hi"
    asked = [head for head in server.heads if head.method == "POST"]
    assert len(asked) == 2, "the one that was refused, and the one of another model"
