"""Runs that use MCP servers over HTTP: one that is away, one that asks a person, tasks that outlive a restart."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from kubechain.app.loops import ControlLoops
from kubechain.providers.tools.mcp.runner import MCPRunner
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.resources.mcpserver import MCP_SERVERS, MCPServer, MCPServerSpec
from kubechain.resources.toolcall import TOOL_CALLS, ToolCall
from kubechain.runtime.api import Api, Change, WatchOptions
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.parts.node import modules, node
from tests.parts.process import Process, accepts, free_ports
from tests.story import manifests
from tests.story.asked import ask, call_that, ended_run, looping, meta, parked_call
from tests.story.conftest import Begin
from tests.story.program import conversation
from tests.unit.tools.far import Far, Message, opened, say, text

pytestmark = pytest.mark.timeout(120)
TASKS = {"tools": {"listChanged": True}, "tasks": {"requests": {"tools": {"call": {}}}}}


async def send(_: web.Request, message: Message) -> Message:
    return text("sent")


def server(far: Far) -> MCPServer:
    spec = MCPServerSpec(transport="http", url=far.url, allow_private=True)
    return MCPServer(metadata=meta("far"), spec=spec)


@asynccontextmanager
async def life(api: Api) -> AsyncIterator[ControlLoops]:
    """One life of the program."""
    sessions = MCP()
    try:
        async with looping(api, [MCPRunner(sessions)]) as loops:
            yield loops
    finally:
        await sessions.close()


async def server_that(api: Api, reason: str) -> MCPServer:
    """The MCPServer, once that is the reason of its condition."""
    async with aclosing(api.watch(MCP_SERVERS, "default", WatchOptions(initial_events=True))) as events:
        async for event in events:
            if isinstance(event, Change) and reason in [c.reason for c in event.object.status.conditions]:
                return event.object
    raise AssertionError("the watch ended")


async def test_a_server_that_is_away_is_pending_with_a_sentence_and_its_calls_run_when_it_is_back() -> None:
    far = Far(tools={"send": send})
    await far.start()
    await far.stop()
    async with asyncio.timeout(60), Store.open(None, clock=now) as store, life(store):
        await store.create(MCP_SERVERS, server(far))
        away = await server_that(store, "ServerUnreachable")
        assert away.status.status == "Pending"
        assert "cannot be reached (connection refused)" in away.status.status_detail
        await ask(store, server="far")
        await far.start()
        run = await ended_run(store)
        await far.stop()
    assert run.status.output == "sent"
    assert far.count("tools/call") == 1


async def test_a_call_that_finds_its_server_gone_waits_for_it_and_is_sent_once() -> None:
    async with Far(tools={"send": send}) as far:
        async with asyncio.timeout(60), Store.open(None, clock=now) as store, life(store):
            await store.create(MCP_SERVERS, server(far))
            await server_that(store, "Connected")
            await far.stop()
            await ask(store, server="far")
            waiting = await waiting_call(store)
            assert waiting.status.phase == "Pending"
            assert "cannot be reached" in waiting.status.waiting_on
            far.session = "s-2"
            await far.start()
            run = await ended_run(store)
        assert run.status.output == "sent"
        assert far.count("tools/call") == 1


async def waiting_call(api: Api) -> ToolCall:
    """The run's ToolCall, once it says what it waits for."""
    async with aclosing(api.watch(TOOL_CALLS, "default", WatchOptions(initial_events=True))) as events:
        async for event in events:
            if isinstance(event, Change) and event.object.status.waiting_on:
                return event.object
    raise AssertionError("the watch ended")


async def test_progress_is_shown_on_the_call_and_written_at_most_once_a_second() -> None:
    shown = asyncio.Event()

    async def works(request: web.Request, message: Message) -> web.StreamResponse:
        stream = await opened(request)
        token = message["params"]["_meta"]["progressToken"]
        for step in range(100):
            params = {"progressToken": token, "progress": step, "total": 100, "message": "copying"}
            await say(stream, {"method": "notifications/progress", "params": params})
        await shown.wait()
        await say(stream, {"id": message["id"], "result": text("copied")})
        return stream

    async with Far(tools={"works": works}) as far:
        async with asyncio.timeout(60), Store.open(None, clock=now) as store, life(store):
            await store.create(MCP_SERVERS, server(far))
            await ask(store, server="far")
            versions, progress = 0, ""
            async with aclosing(store.watch(TOOL_CALLS, "default", WatchOptions())) as events:
                async for event in events:
                    if isinstance(event, Change):
                        versions += 1
                        progress = event.object.status.progress or progress
                        if progress:
                            break
            assert progress == "99 of 100: copying"
            assert versions <= 3, "created, Running, and one for all of the progress"
            shown.set()
            assert (await ended_run(store)).status.output == "copied"


async def test_a_task_is_parked_and_gone_on_with_after_a_restart(tmp_path: Path) -> None:
    async with Far() as far:
        far.capabilities = TASKS
        async with asyncio.timeout(90), Store.open(tmp_path / "store.db", clock=now) as store:
            async with life(store):
                await store.create(MCP_SERVERS, server(far))
                await ask(store, server="far")
                parked = await parked_call(store)
                assert parked.status.external is not None
                assert (parked.status.external.id, parked.status.external.state) == ("t-1", "s-1")
                assert parked.status.waiting_on == "task at MCPServer far: at it"
            assert far.deleted == 0, "with the session the server would end the task"
            far.finish("t-1")
            async with life(store):
                run = await ended_run(store)
        assert run.status.output == "done far away"
        assert far.count("tools/call") == 1


async def test_deleting_a_call_cancels_its_task() -> None:
    async with Far() as far:
        far.capabilities = TASKS
        async with asyncio.timeout(60), Store.open(None, clock=now) as store, life(store):
            await store.create(MCP_SERVERS, server(far))
            await ask(store, server="far")
            call = await parked_call(store)
            await store.delete(TOOL_CALLS, call.metadata.name, "default")
            while await far.came.get() != "tasks/cancel":
                pass


async def test_what_a_tool_wants_to_know_fails_the_call_with_a_sentence_and_is_kept_with_its_state() -> None:
    asks = {"q": {"method": "elicitation/create", "params": {"message": "How many?"}}}

    async def wants(request: web.Request, message: Message) -> Message:
        return {"resultType": "input_required", "inputRequests": asks, "requestState": "opaque"}

    async with Far(tools={"wants": wants}) as far:
        async with asyncio.timeout(60), Store.open(None, clock=now) as store, life(store):
            await store.create(MCP_SERVERS, server(far))
            await ask(store, server="far")
            call = await call_that(store, "Failed")
            run = await ended_run(store)
    assert call.status.error == (
        "the tool asks for input from a person, which KubeChain cannot pass on yet: How many?"
    )
    assert call.status.external is not None
    assert json.loads(call.status.external.state) == {"inputRequests": asks, "requestState": "opaque"}
    assert "How many?" in run.status.output


async def test_a_run_uses_servers_over_http_on_both_engines(begin: Begin) -> None:
    """With a header from a Secret, which nothing shows."""

    async def add(request: web.Request, message: Message) -> Message:
        assert request.headers["x-key"] == "sk-test-0123456789"
        return text("the key is sk-test-0123456789")

    async with Far(tools={"add": add}) as far, begin() as running:
        await running.apply(
            manifests.SECRET,
            manifests.walkthrough()["llm"],
            f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: MCPServer
metadata: {{name: far}}
spec:
  transport: http
  url: {far.url}
  allowPrivate: true
  headers: [{{name: X-Key, valueFrom: {{secretKeyRef: {{name: openai, key: OPENAI_API_KEY}}}}}}]
""",
            manifests.agent("helper", "gpt-4o", servers="[{name: far}]"),
            manifests.task("ask", "helper", "Use the far__add tool"),
            manifests.run("ask-run", "ask"),
        )
        run = await running.finished("ask-run")
        documents = b"".join(await running.documents())
        events = await running.ok("get", "events", "-o", "json")
    assert ("tool", "the key is [redacted]") in conversation(run)
    assert b"sk-test-0123456789" not in documents
    assert "sk-test-0123456789" not in events


async def test_the_everything_server_is_used_over_http_on_both_engines(begin: Begin, tmp_path: Path) -> None:
    """It listens on every address while the test runs."""
    (port,) = free_ports(1)
    program = await asyncio.to_thread(lambda: modules() / "@modelcontextprotocol/server-everything/dist/index.js")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PORT": str(port)}
    argv: list[str | Path] = [node(), program, "streamableHttp"]
    everything = await Process.start("everything", argv, tmp_path / "log", env)
    try:
        await everything.ready(lambda: accepts(port))
        async with begin() as running:
            await running.apply(
                manifests.SECRET,
                manifests.walkthrough()["llm"],
                f"""
apiVersion: kubechain.humanlayer.dev/v1alpha1
kind: MCPServer
metadata: {{name: far}}
spec:
  transport: http
  url: http://127.0.0.1:{port}/mcp
  allowPrivate: true
  tools: {{allow: [get-tiny-image]}}
""",
                manifests.agent("helper", "gpt-4o", servers="[{name: far}]"),
                manifests.task("ask", "helper", "Use the far__get-tiny-image tool"),
                manifests.run("ask-run", "ask"),
            )
            run = await running.finished("ask-run")
    finally:
        await everything.stop()
    assert any(role == "tool" and "[image image/png" in said for role, said in conversation(run))
