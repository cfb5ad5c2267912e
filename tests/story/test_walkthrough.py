"""The README's walk-through with the kubectls that people have."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from kubechain.resources.taskrun import TASK_RUNS
from tests.parts.kubectl import VERSIONS
from tests.story import manifests
from tests.story.conftest import FUNCTIONS
from tests.story.program import Story, conversation, story

KUBECTLS = (VERSIONS[0], "1.32", VERSIONS[-1])
"""With these on both engines, with all others on the embedded one."""


def cells(table: str) -> list[list[str]]:
    """Rows of a table, columns separated by two blanks or more."""
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()]


@pytest.mark.parametrize("version", KUBECTLS)
async def test_the_walk_through_prints_what_the_readme_shows(running: Story, version: str) -> None:
    await walk_through(running, version)


@pytest.mark.parametrize("version", [version for version in VERSIONS if version not in KUBECTLS])
async def test_the_walk_through_looks_the_same_with_every_kubectl(tmp_path: Path, version: str) -> None:
    async with story(tmp_path, functions=(FUNCTIONS,)) as running:
        await walk_through(running, version)


async def walk_through(running: Story, version: str) -> None:
    """Its commands one after the other, and what each prints."""
    files = manifests.walkthrough()

    async def kubectl(*words: str, stdin: str = "") -> str:
        return await running.ok(*words, stdin=stdin, version=version)

    await kubectl(
        "create",
        "secret",
        "generic",
        "openai",
        "--from-literal=OPENAI_API_KEY=sk-x",
        f"--namespace={running.namespace}",
    )
    await kubectl("apply", "-f", "-", stdin=files["llm"])
    await kubectl("wait", "llm/gpt-4o", "--for=condition=Ready", "--timeout=20s")
    assert cells(await kubectl("get", "llm")) == [
        ["NAME", "PROVIDER", "READY", "STATUS"],
        ["gpt-4o", "openai", "true", "Ready"],
    ]
    wide = cells(await kubectl("get", "llm", "-o", "wide"))
    assert wide[0][:5] == ["NAME", "PROVIDER", "READY", "STATUS", "DETAIL"]
    assert wide[1][:5] == ["gpt-4o", "openai", "true", "Ready", "OpenAI API key validated successfully"]

    await kubectl("apply", "-f", "-", stdin=files["agent"])
    await kubectl("wait", "agent/my-assistant", "--for=jsonpath={.status.ready}=true", "--timeout=20s")
    assert cells(await kubectl("get", "agent")) == [
        ["NAME", "LLM", "READY", "STATUS"],
        ["my-assistant", "gpt-4o", "true", "Ready"],
    ]
    assert "All dependencies validated successfully" in await kubectl("get", "agent", "-o", "wide")

    await kubectl("apply", "-f", "-", stdin=files["task"])
    await kubectl("wait", "task/hello-world-task", "--for=condition=Ready", "--timeout=20s")
    assert cells(await kubectl("get", "task")) == [
        ["NAME", "AGENT", "READY", "STATUS"],
        ["hello-world-task", "my-assistant", "true", "Ready"],
    ]

    await kubectl("apply", "-f", "-", stdin=files["taskrun"])
    run = await running.finished("hello-world-run")
    rows = cells(await kubectl("get", "taskrun"))
    assert rows[0] == ["NAME", "TASK", "PHASE", "AGE"]
    assert rows[1][:3] == ["hello-world-run", "hello-world-task", "FinalAnswer"]
    assert conversation(run) == [
        ("system", "You are a helpful assistant. Your job is to help the user with their tasks.\n"),
        ("user", "Say hello to the world using the echo tool"),
        (
            "assistant",
            "I'll help you say hello to the world using the echo tool. "
            'simple-echo-tool({"message":"Hello, World!"})',
        ),
        ("tool", "Echo: Hello, World!"),
        (
            "assistant",
            'I\'ve used the echo tool to say hello to the world. The response was "Echo: Hello, World!"',
        ),
    ]
    shown = json.loads(await kubectl("get", "taskrun", "hello-world-run", "-o", "json"))["status"]
    assert shown["messages"][2]["toolCalls"][0] == {
        "id": "call_01",
        "type": "function",
        "function": {"name": "simple-echo-tool", "arguments": '{"message":"Hello, World!"}'},
    }
    assert shown["messages"][3]["toolCallId"] == "call_01"
    assert shown["startTime"] <= shown["completionTime"]

    await running.program.loops.events.flush()
    described = await kubectl("describe", "taskrun", "hello-world-run")
    for reason in ("Started", "ToolCallsRequested", "FinalAnswer"):
        assert reason in described.split("Events:")[1]


async def test_a_run_is_seen_pending_then_running_then_final(running: Story) -> None:
    phases: list[str | None] = []

    async def look() -> None:
        async for run in running.states(TASK_RUNS, "hello-world-run"):
            phases.append(run.status.phase)
            if run.status.finished:
                return

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        await running.apply(manifests.SECRET, *manifests.walkthrough().values())
    assert list(dict.fromkeys(phases)) == ["Pending", "Running", "FinalAnswer"]
