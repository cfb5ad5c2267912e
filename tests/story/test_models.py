"""The same task on both wires, against a model server that we did not write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.parts.aimock import Aimock
from tests.parts.cache import PartMissing
from tests.story import manifests
from tests.story.conftest import FUNCTIONS
from tests.story.program import Story, conversation, story

WIRES = {"openai": "/v1", "anthropic": ""}


@pytest.fixture
async def foreign_model() -> object:
    try:
        model = Aimock()
        await model.__aenter__()
    except PartMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))
    yield model
    await model.__aexit__(None, None, None)


async def prepare(running: Story, model: Aimock, provider: str, message: str, tool: str) -> None:
    await running.ok("delete", "tool", "simple-echo-tool", "--ignore-not-found")
    await running.apply(
        manifests.SECRET,
        tool,
        manifests.llm("model", provider, model.base_url + WIRES[provider], "model: gpt-4o, maxTokens: 500"),
        manifests.agent("helper", "model", "[{name: simple-echo-tool}]"),
        manifests.task("job", "helper", message),
        manifests.run("job-run", "job"),
    )


@pytest.mark.parametrize("provider", WIRES)
async def test_the_echo_task_runs_on_both_wires(running: Story, foreign_model: Aimock, provider: str) -> None:
    echo = manifests.function_tool("simple-echo-tool", "kubechain.samples.echo:simple_echo")
    await prepare(running, foreign_model, provider, "Say hello to the world using the echo tool", echo)
    run = await running.finished("job-run")
    assert conversation(run)[1:] == [
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


@pytest.mark.parametrize("provider", WIRES)
async def test_two_tool_calls_of_one_turn_run_at_the_same_time(
    tmp_path: Path, foreign_model: Aimock, provider: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    tool = manifests.function_tool("simple-echo-tool", "meeting:meet").replace(
        'entrypoint: "meeting:meet"',
        f'entrypoint: "meeting:meet", env: [{{name: MEETING_PLACE, value: "{place}"}}]',
    )
    async with story(tmp_path, functions=(FUNCTIONS,)) as running:
        await prepare(running, foreign_model, provider, "Echo one and two at once", tool)
        run = await running.finished("job-run")
    assert [text for role, text in conversation(run) if role == "tool"] == ["met as one", "met as two"]
    assert run.status.output == "Both echoes came back."
