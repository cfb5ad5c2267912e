"""Servers of others over HTTP, each used by a run, embedded and over a real Kubernetes.

An SSE server and one that asks people, of the official SDK; tasks of both dialects: of FastMCP and of
server-everything.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import yaml

from kubechain.providers.models.scripted.script import Match, Rule, ScriptedCall, ScriptedReply
from kubechain.providers.models.scripted.server import ScriptedModel
from kubechain.resources.taskrun import TaskRun
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Change, WatchOptions
from tests.parts import fastmcp_tasks
from tests.parts.cache import PartMissing
from tests.parts.node import modules, node
from tests.parts.process import Process, accepts, free_ports
from tests.story import manifests
from tests.story.conftest import Begin
from tests.story.program import Story

pytestmark = pytest.mark.timeout(180)
SECONDS = 60
SDK_SERVER = Path(__file__).parents[1] / "parts" / "mcp" / "sdk_server.py"


@asynccontextmanager
async def served(words: list[str | Path], folder: Path, **env: str) -> AsyncIterator[int]:
    """The port at which the program serves; it is the last word, or in $PORT."""
    (port,) = free_ports(1)
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "PORT": str(port), **env}
    process = await Process.start("an MCP server", [*words, str(port)], folder / "log", variables)
    try:
        await process.ready(lambda: accepts(port))
        yield port
    finally:
        await process.stop()


def sdk(transport: str) -> list[str | Path]:
    return [sys.executable, SDK_SERVER, transport]


def everything(transport: str) -> list[str | Path]:
    """The reference server. It listens on every address while the test runs."""
    try:
        place = modules()
    except PartMissing as missing:
        pytest.skip(str(missing))
    return [node(), place / "@modelcontextprotocol/server-everything/dist/index.js", transport]


def address(url: str, transport: str) -> str:
    document = {"apiVersion": "kubechain.humanlayer.dev/v1alpha1", "kind": "MCPServer"}
    spec = {"transport": transport, "url": url, "allowPrivate": True}
    return yaml.safe_dump({**document, "metadata": {"name": "far"}, "spec": spec})


@asynccontextmanager
async def asking(
    begin: Begin, url: str, tool: str, transport: str = "http", **given: object
) -> AsyncIterator[Story]:
    """The program, while the run `ask-run` calls this tool and says what came of it."""
    script = [
        Rule(
            match=Match(turn=0),
            reply=ScriptedReply(tool_calls=[ScriptedCall(name=f"far__{tool}", arguments=given)]),
        ),
        Rule(match=Match(turn=1), reply=ScriptedReply(content="It said: {result}")),
    ]
    async with ScriptedModel(script) as model, begin() as running:
        await running.apply(
            manifests.SECRET,
            manifests.llm("gpt", "openai", model.base_url),
            address(url, transport),
            manifests.agent("helper", "gpt", servers="[{name: far}]"),
            manifests.task("ask", "helper", "Go."),
            manifests.run("ask-run", "ask"),
        )
        yield running


async def ended(running: Story) -> tuple[TaskRun, ToolCall]:
    """The run and its one call, once the run is finished."""
    run = await running.finished("ask-run")
    (call,) = (await running.program.api.list(TOOL_CALLS, running.namespace)).items
    return run, call


async def parked(running: Story) -> ToolCall:
    """The call, once its work goes on elsewhere."""
    options = WatchOptions(initial_events=True)
    async with asyncio.timeout(SECONDS):
        async with aclosing(running.program.api.watch(TOOL_CALLS, running.namespace, options)) as events:
            async for event in events:
                if isinstance(event, Change) and event.object.status.external is not None:
                    return event.object
    raise AssertionError("the watch ended")


async def protocol(running: Story) -> str:
    return await running.ok("get", "mcpserver", "far", "-o", "jsonpath={.status.server.protocol}")


async def test_a_server_of_the_sdk_is_used_over_sse(begin: Begin, tmp_path: Path) -> None:
    async with served(sdk("sse"), tmp_path) as port:
        async with asking(begin, f"http://127.0.0.1:{port}/sse", "add", "sse", a=2, b=40) as running:
            run, call = await ended(running)
    assert (call.status.phase, call.status.error) == ("Succeeded", "")
    assert run.status.output == "It said: 42"


async def test_the_everything_server_is_used_over_sse(begin: Begin, tmp_path: Path) -> None:
    async with served(everything("sse"), tmp_path) as port:
        async with asking(begin, f"http://127.0.0.1:{port}/sse", "get-sum", "sse", a=2, b=40) as running:
            run, call = await ended(running)
    assert (call.status.phase, call.status.error) == ("Succeeded", "")
    assert run.status.output == "It said: The sum of 2 and 40 is 42."


async def test_a_task_of_the_everything_server_is_parked_and_its_result_reaches_the_run(
    begin: Begin, tmp_path: Path
) -> None:
    async with served(everything("streamableHttp"), tmp_path) as port:
        url = f"http://127.0.0.1:{port}/mcp"
        async with asking(begin, url, "simulate-research-query", topic="the moon") as running:
            waiting = await parked(running)
            run, call = await ended(running)
            spoken = await protocol(running)
    assert waiting.status.external is not None
    assert waiting.status.external.state, "the session that the task belongs to"
    assert spoken == "2025-11-25"
    assert (call.status.phase, call.status.error) == ("Succeeded", "")
    assert "Research Report: the moon" in run.status.output


async def test_a_task_of_fastmcp_is_parked_and_its_result_reaches_the_run(begin: Begin, tmp_path: Path) -> None:
    try:
        fastmcp_tasks.folder()
    except PartMissing as missing:
        pytest.skip(str(missing))
    async with fastmcp_tasks.TaskServer(tmp_path) as tasks:
        async with asking(begin, tasks.url, "crunch", message="numbers") as running:
            await parked(running)
            tasks.go()
            run, call = await ended(running)
        begun = tasks.lines()
    assert (call.status.phase, call.status.error) == ("Succeeded", "")
    assert run.status.output == "It said: crunched numbers"
    assert begun == ["begun"]


async def test_a_server_of_the_sdk_that_asks_a_person_fails_the_call_with_its_question_and_the_run_goes_on(
    begin: Begin, tmp_path: Path
) -> None:
    async with served(sdk("http"), tmp_path) as port:
        async with asking(begin, f"http://127.0.0.1:{port}/mcp", "book") as running:
            run, call = await ended(running)
            spoken = await protocol(running)
    sentence = "the tool asks for input from a person, which KubeChain cannot pass on yet: How many seats?"
    assert (call.status.phase, call.status.error) == ("Failed", sentence)
    assert (run.status.phase, sentence in run.status.output) == ("FinalAnswer", True)
    assert spoken == "2026-07-28"
    assert call.status.external is not None
    kept = json.loads(call.status.external.state)
    assert kept["inputRequests"]["seats"]["params"]["message"] == "How many seats?"
    assert kept["requestState"]
