"""A folder applied in any order ends in the answer, and nothing shows an Error on the way."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from typing import Any

import pytest

from kubechain.resources.agent import AGENTS
from kubechain.resources.kind import Kind
from kubechain.resources.llm import LLMS
from kubechain.resources.mcpserver import MCP_SERVERS
from kubechain.resources.task import TASKS
from kubechain.resources.tool import TOOLS
from kubechain.runtime.api import Bookmark, Change, WatchOptions
from tests.kubernetes import on_cluster
from tests.story import manifests
from tests.story.program import Story, conversation

READY_KINDS = (LLMS, AGENTS, TOOLS, MCP_SERVERS, TASKS)
SERVER = """
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: MCPServer
metadata: {name: sample}
spec: {transport: stdio, command: python3, args: ["-m", "kubechain.samples.mcp_server"]}
"""
FOLDER = {
    "agent": manifests.agent("helper", "gpt", "[{name: my-echo}]", "[{name: sample}]"),
    "llm": """
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: LLM
metadata: {name: gpt}
spec: {provider: openai, apiKeyFrom: {secretKeyRef: {name: openai, key: OPENAI_API_KEY}}}
""",
    "mcpserver": SERVER,
    "secret": manifests.SECRET,
    "task": manifests.task("hello", "helper", "Say hello to the world using the my-echo tool"),
    "taskrun": manifests.run("hello-run", "hello"),
    "tool": manifests.function_tool("my-echo", "kubechain.samples.echo:simple_echo"),
}
ALPHABETICAL = list(FOLDER)
SHUFFLES = [random.Random(seed).sample(ALPHABETICAL, len(ALPHABETICAL)) for seed in range(20)]


async def errors_seen(running: Story, kind: Kind[Any], seen: list[str]) -> None:
    async with aclosing(running.program.api.watch(kind, running.namespace, WatchOptions(since="0"))) as stream:
        async for event in stream:
            match event:
                case Change(key=key, object=obj):
                    if obj.status.status == "Error":
                        seen.append(f"{kind.kind} {key}: {obj.status.status_detail}")
                case Bookmark():
                    pass


ORDERS = {"alphabetical": ALPHABETICAL, "reversed": ALPHABETICAL[::-1]}
ORDERS |= {f"shuffle{n}": order for n, order in enumerate(SHUFFLES)}
ON_CLUSTER = ("reversed", "shuffle0", "shuffle1", "shuffle2")


@pytest.mark.parametrize(
    ("begin", "order"),
    [
        *(pytest.param("embedded", order, id=name) for name, order in ORDERS.items()),
        *(pytest.param("cluster", ORDERS[n], id=f"{n}-cluster", marks=on_cluster.marks) for n in ON_CLUSTER),
    ],
    indirect=["begin"],
)
async def test_a_folder_applied_in_any_order_ends_in_the_answer(running: Story, order: list[str]) -> None:
    seen: list[str] = []
    async with asyncio.TaskGroup() as group:
        watchers = [group.create_task(errors_seen(running, kind, seen)) for kind in READY_KINDS]
        await running.apply(*(FOLDER[name] for name in order))
        run = await running.finished("hello-run")
        for watcher in watchers:
            watcher.cancel()
    assert run.status.phase == "FinalAnswer"
    assert [role for role, _ in conversation(run)] == ["system", "user", "assistant", "tool", "assistant"]
    assert seen == []
