"""A model that is asked so many times at once and no more: who waits says so; who is deleted leaves the line."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from aiohttp import web

from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from tests.story import manifests
from tests.story.program import Story
from tests.unit.models.world import Server, completion

MOST = 2
RUNS = ("one", "two", "three", "four", "five")


async def waiting(running: Story, name: str) -> TaskRun:
    """The run once it shows that it is at the model, or in line for it."""
    async with aclosing(running.states(TASK_RUNS, name)) as states:
        async for run in states:
            if run.status.phase == "Running":
                return run
    raise AssertionError("the watch ended")


async def test_a_limit_bounds_the_requests_under_way_and_the_rest_wait(running: Story) -> None:
    go = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"data": []})
        await go.wait()
        return web.json_response(completion({"role": "assistant", "content": "hi"}))

    async with Server(answer) as server:
        limited = f"{manifests.llm('model', 'openai', server.url)}  rateLimit: {{maxConcurrent: {MOST}}}\n"
        runs = [
            made for name in RUNS for made in (manifests.task(name, "helper", name), manifests.run(name, name))
        ]
        await running.apply(manifests.SECRET, limited, manifests.agent("helper", "model"), *runs)
        told = [(await waiting(running, name)).status.waiting_on for name in RUNS]
        assert all("2 at a time: spec.rateLimit.maxConcurrent" in line for line in told[-2:])
        asked = [head for head in server.heads if head.method == "POST"]
        await running.ok("delete", "taskrun", "five")
        go.set()
        for name in RUNS[:-1]:
            assert (await running.finished(name)).status.output == "hi"
        assert server.most_open == MOST
    chats = [head for head in server.heads if head.method == "POST"]
    assert (len(asked), len(chats)) == (MOST, 4)
