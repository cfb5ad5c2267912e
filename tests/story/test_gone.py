"""What is deleted or replaced ends what was begun for it: a model request is dropped, a server process ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.app.loops import ControlLoops, control_loops
from kubechain.controllers.assembly import Outside
from kubechain.errors import Transient
from kubechain.providers.tools.function.functions import Functions
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.tools.table import runners
from kubechain.resources.agent import AGENTS, Agent, AgentSpec
from kubechain.resources.builtin import EVENTS
from kubechain.resources.llm import LLM, LLMS, LLMSpec
from kubechain.resources.mcpserver import MCP_SERVERS, MCPServer, MCPServerSpec
from kubechain.resources.message import Message
from kubechain.resources.model import ObjectMeta
from kubechain.resources.reference import Reference
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.resources.taskrun import TASK_RUNS, TaskRun, TaskRunSpec
from kubechain.runtime.api import DeleteOptions
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.unit.tools.processes import ended

pytestmark = pytest.mark.timeout(60)


class Silent:
    """A model that never answers: it says when it is asked, and when the asking is given up."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.dropped: asyncio.Queue[str] = asyncio.Queue()

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        asked = messages[-1].content or ""
        self.asked.put_nowait(asked)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.dropped.put_nowait(asked)
            raise Transient("the connection was closed") from None
        raise AssertionError("it never answers")

    async def check(self, endpoint: Endpoint) -> str:
        return "ready"

    async def close(self) -> None:
        return None


def meta(name: str) -> ObjectMeta:
    return ObjectMeta(name=name, namespace="default")


def run(message: str) -> TaskRun:
    return TaskRun(metadata=meta("r"), spec=TaskRunSpec(task="t", user_message=message))


@asynccontextmanager
async def asking(model: Silent) -> AsyncIterator[tuple[Store, ControlLoops]]:
    """The control loops while a run waits for the model's answer to "first"."""
    tools = runners(Functions(()), MCP())
    async with (
        Store.open(None, clock=now) as store,
        control_loops(store, Outside(model, tools, {})) as loops,
    ):
        await store.create(LLMS, LLM(metadata=meta("m"), spec=LLMSpec(provider="ollama")))
        await store.create(AGENTS, Agent(metadata=meta("a"), spec=AgentSpec(llm_ref=Reference(name="m"))))
        await store.create(TASKS, Task(metadata=meta("t"), spec=TaskSpec(agent="a", user_message="from the task")))
        await store.create(TASK_RUNS, run("first"))
        assert await model.asked.get() == "first"
        yield store, loops
    for runner in tools:
        await runner.close()


async def events(store: Store, loops: ControlLoops) -> list[str]:
    await loops.events.flush()
    page = await store.list(EVENTS, "default")
    return [f"{event.reason}: {event.note}" for event in page.items if event.regarding.kind == "TaskRun"]


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_a_deleted_run_drops_its_request_and_nothing_is_said_about_it_afterwards(propagation: str) -> None:
    model = Silent()
    async with asyncio.timeout(30), asking(model) as (store, loops):
        options = DeleteOptions(propagation="Foreground" if propagation == "Foreground" else "Background")
        before = await events(store, loops)
        await store.delete(TASK_RUNS, "r", "default", options)
        assert await model.dropped.get() == "first"
        assert await events(store, loops) == before
        assert not any(worker.failures for worker in loops.workers)


async def test_a_replaced_run_asks_for_itself_alone() -> None:
    model = Silent()
    async with asyncio.timeout(30), asking(model) as (store, _):
        await store.delete(TASK_RUNS, "r", "default")
        await store.create(TASK_RUNS, run("second"))
        assert await model.dropped.get() == "first"
        assert await model.asked.get() == "second"
        assert model.dropped.empty()


async def test_the_process_of_a_deleted_mcpserver_ends(tmp_path: Path) -> None:
    model, pid = Silent(), tmp_path / "pid"
    script = f"echo $$ > {pid}; exec python3 -m kubechain.samples.mcp_server"
    async with asyncio.timeout(30), asking(model) as (store, loops):
        spec = MCPServerSpec(transport="stdio", command="sh", args=["-c", script])
        ready = asyncio.Event()
        loops.caches.servers.on_change(lambda _, new: ready.set() if new and new.status.ready else None)
        await store.create(MCP_SERVERS, MCPServer(metadata=meta("s"), spec=spec))
        await ready.wait()
        await store.delete(MCP_SERVERS, "s", "default")
        await ended(int(pid.read_text()))
