"""What a Task and an Agent say of themselves when no run could make use of them."""

from __future__ import annotations

import asyncio

import pytest

from kubechain.agents.toolbox import LARGEST
from kubechain.controllers.caches import Caches
from kubechain.controllers.calls.executions import Executions
from kubechain.controllers.parts import Parts
from kubechain.controllers.runs.asking import no_line
from kubechain.controllers.setup.agent import AgentController
from kubechain.controllers.setup.task import TaskController
from kubechain.resources.agent import AGENTS, Agent, AgentSpec, MCPServerReference
from kubechain.resources.mcpserver import MCPServer, MCPServerSpec, MCPServerStatus, MCPTool
from kubechain.resources.message import Message
from kubechain.resources.reference import Reference
from kubechain.resources.task import TASKS, Task, TaskSpec
from kubechain.runtime.clock import now
from kubechain.runtime.recorder import EventRecorder
from kubechain.runtime.replicas.share import alone
from kubechain.store.engine import Store
from tests.unit.controllers.test_asking import Script
from tests.unit.controllers.test_lost_race import meta, world

pytestmark = pytest.mark.timeout(30)


def parts(store: Store, held: Caches) -> Parts:
    """Nothing but the API and the caches is used."""
    events = EventRecorder(store, "test", now)
    return Parts(store, held, Script(), (), {}, no_line, Executions(alone()), events, now, alone())


async def test_a_conversation_that_cannot_be_sent_is_named_where_the_task_is_applied() -> None:
    async with Store.open(None, clock=now) as store, asyncio.timeout(20):
        held, _ = await world(store)
        window = [Message(role="user", content="hi"), Message(role="tool", tool_call_id="c", content="ok")]
        spec = TaskSpec(agent="a", context_window=window)
        await TaskController(parts(store, held)).reconcile(
            await store.create(TASKS, Task(metadata=meta("w"), spec=spec))
        )
        status = (await store.get(TASKS, "w", "default")).status
        assert (status.status, status.conditions[0].reason) == ("Error", "InvalidContextWindow")
        assert status.status_detail.startswith("spec.contextWindow[1].toolCallId:")


async def test_an_agent_whose_tools_do_not_fit_into_it_says_so_and_names_whose_they_are() -> None:
    async with Store.open(None, clock=now) as store, asyncio.timeout(20):
        held, _ = await world(store)
        for name in ("big", "small"):
            many = [MCPTool(name=f"t{n}", description="d" * 10_000) for n in range(90 if name == "big" else 20)]
            held.servers.put(
                MCPServer(
                    metadata=meta(name),
                    spec=MCPServerSpec(transport="stdio", command="x"),
                    status=MCPServerStatus(ready=True, tools=many),
                )
            )
        servers = [MCPServerReference(name="big"), MCPServerReference(name="small")]
        spec = AgentSpec(llm_ref=Reference(name="m"), mcp_servers=servers)
        agent = await store.create(AGENTS, Agent(metadata=meta("many"), spec=spec))
        await AgentController(parts(store, held)).reconcile(agent)
        status = (await store.get(AGENTS, "many", "default")).status
        assert (status.status, status.conditions[0].reason, status.tools) == ("Error", "ToolsTooLarge", [])
        assert "MCPServer big" in status.status_detail
        assert f"{LARGEST:,}" in status.status_detail
