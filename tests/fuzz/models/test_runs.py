"""Strange replies through the whole program: runs end or wait for a reason, and no tool gets what nobody meant."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kubechain.agents.run.tries import TIMEOUT
from kubechain.resources.agent import AGENTS, Agent
from kubechain.resources.llm import LLM, LLMS
from kubechain.resources.task import TASKS, Task
from kubechain.resources.taskrun import TASK_RUNS, TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from tests.fuzz.models.delivery import Delivery, Wire, deliver
from tests.fuzz.models.intent import Intent
from tests.fuzz.models.judge import FREE
from tests.fuzz.models.server import Server
from tests.story import manifests
from tests.story.program import Story, story

pytest.importorskip("pydantic_ai.models.anthropic", reason="the extra kubechain[anthropic] is not installed")
SEEDS = range(90)
MOST = 4
"""Requests of one run: three that end unusable, or one with calls and one with their results."""


class Answering(Server):
    """Answers each run by its seed, and the results of its tools with a plain word."""

    def choose(self, name: str) -> Delivery:
        meant = deliver(int(name.removeprefix("seed-")))
        answered = b"tool_result" in self.last or b'"role":"tool"' in self.last
        return plain(meant.wire) if answered else meant


def plain(wire: Wire) -> Delivery:
    text = {"type": "text", "text": "done"}
    body: dict[str, Any] = {"choices": [{"message": {"content": "done"}, "finish_reason": "stop"}]}
    if wire == "anthropic":
        body = {"type": "message", "content": [text], "stop_reason": "end_turn"}
    headers = (("content-type", "application/json"),)
    return Delivery(
        wire, False, Intent("done", (), "", "stop"), headers=headers, chunks=(json.dumps(body).encode(),)
    )


async def begin(running: Story, server: Answering, seed: int) -> None:
    """An LLM, an Agent, a Task and a TaskRun of the seed's own."""
    name, meant, api = f"seed-{seed}", deliver(seed), running.program.api
    metadata = {"name": name, "namespace": running.namespace}
    parameters = {
        "baseURL": server.url(name),
        "stream": meant.streams,
        "timeout": "20s" if meant.end in ("clean", "abort") else "500ms",
    }
    key = {"secretKeyRef": {"name": "openai", "key": "OPENAI_API_KEY"}}
    llm = {"provider": meant.wire, "apiKeyFrom": key, "parameters": parameters}
    agent = {"llmRef": {"name": name}, "system": "x", "offeredTools": "Ignore"}
    await api.create(LLMS, msgspec.convert({"metadata": metadata, "spec": llm}, LLM))
    await api.create(AGENTS, msgspec.convert({"metadata": metadata, "spec": agent}, Agent))
    task = {"agent": name, "userMessage": "x"}
    await api.create(TASKS, msgspec.convert({"metadata": metadata, "spec": task}, Task))
    await api.create(TASK_RUNS, msgspec.convert({"metadata": metadata, "spec": {"task": name}}, TaskRun))


async def settled(running: Story, seed: int) -> TaskRun:
    """The run once it is finished, or waits for a model that may have no time for ever."""
    async with aclosing(running.states(TASK_RUNS, f"seed-{seed}")) as states:
        async for run in states:
            retry = run.status.retry
            if run.status.finished or (retry is not None and retry.reason in {TIMEOUT, *FREE}):
                return run
    raise AssertionError("the watch ended")


def wrong(run: TaskRun, calls: Sequence[ToolCall], asked: int, meant: Delivery) -> list[str]:
    """What is wrong with a run."""
    status, found = run.status, []
    if not status.finished and not (status.waiting_on and status.retry and status.retry.next_time):
        found.append(f"waits without a reason: {status.waiting_on!r}")
    if status.phase == "Failed" and not status.error:
        found.append("failed without a word")
    if status.finished and asked > MOST:  # one that waits goes on asking: what came to nothing costs nothing
        found.append(f"asked {asked} times")
    if calls and (meant.cut or not meant.intent.whole):
        found.append(f"tools were called for a reply that was cut: {[c.spec.arguments for c in calls]}")
    if meant.faithful:
        intended = [json.loads(arguments) for _, arguments in meant.intent.calls]
        found += [
            f"nobody meant {c.spec.arguments}" for c in calls if json.loads(c.spec.arguments) not in intended
        ]
        if not status.finished or (status.phase == "Failed" and meant.intent.whole and meant.intent.calls):
            found.append(f"did not go on from a whole reply: {status.error or status.waiting_on}")
    return found


@pytest.mark.timeout(120)
async def test_every_run_ends_or_waits_for_a_reason(tmp_path: Path) -> None:
    async with Answering() as server, story(tmp_path) as running:
        await running.apply(manifests.SECRET)
        await asyncio.gather(*(begin(running, server, seed) for seed in SEEDS))
        runs = await asyncio.gather(*(settled(running, seed) for seed in SEEDS))
        made = (await running.program.api.list(TOOL_CALLS, running.namespace)).items
    bad = {}
    for seed, run in zip(SEEDS, runs, strict=True):
        name = f"seed-{seed}"
        mine = [call for call in made if call.spec.task_run == name]
        if sentences := wrong(run, mine, server.asked[name], deliver(seed)):
            bad[seed] = sentences
    assert bad == {}
