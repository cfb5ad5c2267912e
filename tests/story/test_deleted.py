"""Whatever is deleted while a tool is at work, the processes of the tool end within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubechain.app.loops import ControlLoops
from kubechain.providers.tools.function.functions import Functions
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.tools.table import runners
from kubechain.resources.effect import Effect
from kubechain.resources.mcpserver import MCP_SERVERS, MCPServer, MCPServerSpec
from kubechain.resources.reference import EnvVar
from kubechain.resources.taskrun import TASK_RUNS
from kubechain.resources.tool import TOOLS, Tool, ToolSpec
from kubechain.resources.tool_function import FunctionTool
from kubechain.resources.toolcall import TOOL_CALLS
from kubechain.runtime.api import Api
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.story.asked import RUN, ask, call_that, looping, meta, none_left
from tests.unit.tools.processes import ended, heard, pipe

pytestmark = pytest.mark.timeout(60)
FUNCTIONS = Path(__file__).parent / "functions"
SECONDS = 5.0


@asynccontextmanager
async def at_work(
    folder: Path, effect: Effect, *, mcp: bool
) -> AsyncIterator[tuple[Store, ControlLoops, list[int]]]:
    """A run whose tool hangs in a process that has started another one; the ids of both."""
    ids = pipe(folder, "ids")
    tools = runners(Functions((FUNCTIONS,)), MCP())
    try:
        async with Store.open(None, clock=now) as store, looping(store, tools) as loops:
            env = [EnvVar(name="IDS", value=str(ids))]
            if mcp:
                script = str(FUNCTIONS / "hanging_server.py")
                server = MCPServerSpec(transport="stdio", command="python3", args=[script], env=env)
                await store.create(MCP_SERVERS, MCPServer(metadata=meta("hanging"), spec=server))
                await ask(store, server="hanging")
            else:
                function = FunctionTool(entrypoint="hanging:hang", env=env)
                await store.create(
                    TOOLS, Tool(metadata=meta("hanging"), spec=ToolSpec(function=function, effect=effect))
                )
                await ask(store, tool="hanging")
            yield store, loops, [int(word) for word in (await heard(ids)).split()]
    finally:
        for runner in tools:
            await runner.close()


async def delete(api: Api, what: str) -> None:
    if what == "run":
        await api.delete(TASK_RUNS, RUN, "default")
    elif what == "call":
        (call,) = (await api.list(TOOL_CALLS, "default")).items
        await api.delete(TOOL_CALLS, call.metadata.name, "default")
    elif what == "server":
        await api.delete(MCP_SERVERS, "hanging", "default")
    else:
        await api.delete(TOOLS, "hanging", "default")


@pytest.mark.parametrize("effect", ["ReadOnly", "NonIdempotent"])
@pytest.mark.parametrize("what", ["run", "tool"])
async def test_a_function_at_work_ends_with_its_run_or_its_tool(tmp_path: Path, what: str, effect: Effect) -> None:
    async with at_work(tmp_path, effect, mcp=False) as (store, loops, ids):
        await delete(store, what)
        async with asyncio.timeout(SECONDS):
            for process in ids:
                await ended(process)
        if what == "run":
            assert len(loops.executions) == 0
        else:
            await call_that(store, "Pending" if effect == "ReadOnly" else "OutcomeUnknown")


@pytest.mark.parametrize("what", ["run", "server"])
async def test_a_server_at_work_gives_up_a_call_with_its_run_and_ends_when_it_is_deleted(
    tmp_path: Path, what: str
) -> None:
    async with at_work(tmp_path, "NonIdempotent", mcp=True) as (store, loops, ids):
        await delete(store, what)
        if what == "server":
            async with asyncio.timeout(SECONDS):
                for process in ids:
                    await ended(process)
            lost = await call_that(store, "OutcomeUnknown")
            assert 'MCPServer "hanging" was deleted' in lost.status.error
        else:
            async with asyncio.timeout(SECONDS):
                await none_left(store, TOOL_CALLS)
            assert len(loops.executions) == 0


async def test_a_call_deleted_by_itself_ends_its_tool_and_is_made_anew(tmp_path: Path) -> None:
    """The run still expects it: what was deleted is created again under its computed name."""
    async with at_work(tmp_path, "ReadOnly", mcp=False) as (store, _, ids):
        ids_again = tmp_path / "ids"
        await delete(store, "call")
        async with asyncio.timeout(SECONDS):
            for process in ids:
                await ended(process)
        again = [int(word) for word in (await heard(ids_again)).split()]
        assert not set(again) & set(ids)
