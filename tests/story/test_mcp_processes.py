"""What people and runs notice of the process of an MCP server, over a store in memory and with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.app.loops import control_loops
from kubechain.controllers.assembly import Outside
from kubechain.providers.tools.function.functions import Functions
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.tools.table import runners
from kubechain.resources.agent import AGENTS
from kubechain.resources.limits import Limits, Resources
from kubechain.resources.mcpserver import MCP_SERVERS, MCPServer, MCPServerSpec, MCPToolOverride
from kubechain.resources.message import FunctionCall, Message, RequestedCall
from kubechain.resources.tool import TOOLS, Tool, ToolSpec
from kubechain.resources.tool_function import FunctionTool
from kubechain.runtime.api import Change, WatchOptions
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.story.asked import ask, ended_run, looping, meta
from tests.unit.tools.processes import pipe, said
from tests.unit.tools.test_limits import in_cgroups
from tests.unit.tools.test_mcp import PLAIN

pytestmark = pytest.mark.timeout(90)


def server(name: str, *args: str, **fields: object) -> MCPServer:
    spec = MCPServerSpec(transport="stdio", command="python3", args=["-I", "-S", PLAIN, *args])
    for field, value in fields.items():
        setattr(spec, field, value)
    return MCPServer(metadata=meta(name), spec=spec)


async def seen(store: Store, name: str, whether: Callable[[MCPServer], bool]) -> MCPServer:
    """The server, once it is so."""
    async with aclosing(store.watch(MCP_SERVERS, "default", WatchOptions(initial_events=True))) as events:
        async for event in events:
            if isinstance(event, Change) and event.key.name == name and whether(event.object):
                return event.object
    raise AssertionError("the watch ended")


def reason(one: MCPServer) -> str:
    return one.status.conditions[0].reason if one.status.conditions else ""


async def test_a_server_that_nobody_uses_is_stopped_stays_ready_and_serves_the_next_run() -> None:
    async with asyncio.timeout(60), Store.open(None, clock=now) as store:
        async with looping(store, runners(Functions(()), MCP())):
            await store.create(MCP_SERVERS, server("idle", idle_timeout="300ms"))
            idle = await seen(store, "idle", lambda one: reason(one) == "Idle")
            assert idle.status.ready and idle.status.tool_count == 3
            assert idle.status.status_detail == (
                "Connected; 3 tools discovered; it is stopped while idle, and the next call starts it"
            )
            await ask(store, server="idle")
            assert (await ended_run(store)).status.output.isdecimal()
            await seen(store, "idle", lambda one: reason(one) == "Connected")


async def test_a_server_that_is_slow_to_start_says_so_and_then_serves(tmp_path: Path) -> None:
    gate = pipe(tmp_path, "gate")
    async with asyncio.timeout(60), Store.open(None, clock=now) as store:
        async with looping(store, runners(Functions(()), MCP())):
            await store.create(MCP_SERVERS, server("slow", "gated", str(gate)))
            await ask(store, server="slow")
            starting = await seen(store, "slow", lambda one: reason(one) == "Starting")
            assert (starting.status.ready, starting.status.status) == (False, "Pending")
            await said(gate)
            assert (await ended_run(store)).status.output.isdecimal()


async def test_a_server_that_dies_is_started_again_without_a_call_and_its_status_says_why() -> None:
    sessions = MCP()
    async with asyncio.timeout(60), Store.open(None, clock=now) as store:
        async with looping(store, runners(Functions(()), sessions)):
            await store.create(MCP_SERVERS, server("mortal"))
            await ask(store, server="mortal")
            pid = int((await ended_run(store)).status.output)
            os.kill(pid, signal.SIGKILL)
            again = await seen(store, "mortal", lambda one: "started again" in one.status.status_detail)
            assert again.status.ready
            assert again.status.status_detail == (
                "Connected; 3 tools discovered; it was started again once, the last time because it was killed by "
                "SIGKILL"
            )


async def test_a_server_that_never_answers_says_why_and_other_servers_do_not_notice() -> None:
    async with asyncio.timeout(60), Store.open(None, clock=now) as store:
        async with looping(store, runners(Functions(()), MCP())):
            await store.create(MCP_SERVERS, server("deaf", "deaf", start_timeout="1s"))
            await store.create(MCP_SERVERS, server("good"))
            await ask(store, server="good")
            assert (await ended_run(store)).status.output.isdecimal()
            deaf = await seen(store, "deaf", lambda one: one.status.status == "Error")
            assert "did not finish its handshake within 1 s and was killed" in deaf.status.status_detail
            assert (await store.get(MCP_SERVERS, "good", "default")).status.ready


LIMITED = Resources(limits=Limits(memory="64Mi", cpu="1"))
MEMORY = "it used more than its memory limit of 64Mi; raise spec."
HOLDS = "memory 64Mi and cpu 1 hold for all its processes together (cgroup v"


@in_cgroups
async def test_a_server_that_takes_too_much_memory_costs_its_call_which_is_told_why_and_is_started_again() -> None:
    fails = [MCPToolOverride(tools=["eat"], on_interrupt="Fail")]
    async with asyncio.timeout(60), Store.open(None, clock=now) as store:
        async with looping(store, runners(Functions(()), MCP())):
            await store.create(MCP_SERVERS, server("big", "hungry", resources=LIMITED, overrides=fails))
            await ask(store, server="big")
            output = (await ended_run(store)).status.output
            assert f"was killed by SIGKILL because {MEMORY}resources.limits.memory, or have it" in output
            again = await seen(store, "big", lambda one: "started again" in one.status.status_detail)
            assert again.status.ready and f"SIGKILL because {MEMORY}resources" in again.status.status_detail
            (limits,) = [c for c in again.status.conditions if c.type == "LimitsEnforced"]
            assert (limits.status, limits.reason) == ("True", "Cgroup") and limits.message.startswith(HOLDS)


@in_cgroups
async def test_a_function_that_takes_too_much_memory_costs_its_call_which_is_told_why(tmp_path: Path) -> None:
    (tmp_path / "hungry.py").write_text(
        "def eat() -> str:\n    held = []\n    while True:\n        held.append(bytearray(b'x') * (1 << 20))\n"
    )
    function = FunctionTool(entrypoint="hungry:eat", resources=LIMITED)
    async with asyncio.timeout(60), Store.open(None, clock=now) as store:
        async with looping(store, runners(Functions((tmp_path,)), MCP())):
            spec = ToolSpec(function=function, on_interrupt="Fail")
            await store.create(TOOLS, Tool(metadata=meta("eat"), spec=spec))
            await ask(store, tool="eat")
            output = (await ended_run(store)).status.output
            assert f"SIGKILL because {MEMORY}function.resources.limits.memory, or have it" in output
            tool = await store.get(TOOLS, "eat", "default")
            assert [(c.reason, c.status) for c in tool.status.conditions if c.type == "LimitsEnforced"] == [
                ("Cgroup", "True")
            ]


class Turns:
    """A model that calls these tools, one in each turn, and keeps which ones it was offered.

    The first turn is answered at once, the others when the gate is open.
    """

    def __init__(self, *names: str) -> None:
        self._names = names
        self.gate = asyncio.Event()
        self.offered: list[list[str]] = []

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        if self.offered:
            await self.gate.wait()
        self.offered.append([tool.name for tool in tools])
        turn = len(self.offered)
        if turn > len(self._names):
            return Reply(Message(role="assistant", content=messages[-1].content))
        function = FunctionCall(name=self._names[turn - 1], arguments="{}")
        return Reply(Message(role="assistant", tool_calls=[RequestedCall(id=f"call_{turn}", function=function)]))

    async def check(self, endpoint: Endpoint) -> str:
        return "ready"

    async def close(self) -> None:
        return None


async def test_a_server_that_changes_its_tools_under_a_run_costs_the_run_only_the_tools_that_are_gone() -> None:
    model = Turns("s__turn", "s__old")
    async with asyncio.timeout(60), Store.open(None, clock=now) as store:
        async with control_loops(store, Outside(model, runners(Functions(()), MCP()), {})):
            await store.create(MCP_SERVERS, server("s", "turning"))
            await ask(store, server="s")
            await seen(store, "s", lambda one: [tool.name for tool in one.status.tools] == ["new"])
            async with aclosing(store.watch(AGENTS, "default", WatchOptions(initial_events=True))) as events:
                async for event in events:
                    if isinstance(event, Change) and [t.name for t in event.object.status.tools] == ["s__new"]:
                        break
            model.gate.set()
            run = await ended_run(store)
    assert model.offered[0] == ["s__turn", "s__old"]
    assert model.offered[2] == ["s__new"]
    assert run.status.phase == "FinalAnswer"
    assert 'there is no tool "s__old"' in run.status.output or "Unknown tool: old" in run.status.output
