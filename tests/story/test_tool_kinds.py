"""A kind of tool is one class and one line in the list of runners: shown with a timer of the test's own."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec import Raw

from kubechain.agents.call.outcome import Done, Parked
from kubechain.agents.ports.tool import Described, Description, Environment, Provider, ToolRun, ToolRunner
from kubechain.providers.tools.function.functions import Functions
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.tools.table import runners
from kubechain.resources.tool import TOOLS, Tool, ToolSpec
from kubechain.resources.tool_external import ExternalTool
from kubechain.resources.toolcall import TOOL_CALLS, ExternalWork
from kubechain.runtime.clock import now
from kubechain.store.engine import Store
from tests.story.asked import ask, call_that, ended_run, looping, meta, parked_call

pytestmark = pytest.mark.timeout(60)
SECONDS = "test/seconds"


class TimerRunner(ToolRunner):
    """Parked until its time has come; nothing is kept in memory, and nothing runs meanwhile."""

    kind = "timer"

    def __init__(self, did: Counter[str]) -> None:
        self._did = did
        self.cancelled = asyncio.Event()

    def serves(self, provider: Provider | None) -> bool:
        return provider is not None and SECONDS in provider.metadata.annotations

    async def describe(self, provider: Provider, env: Environment) -> Described:
        tool = Description(provider.metadata.name, "Rings.", Raw(b'{"type":"object"}'))
        return Described([tool], "TimerSet", "It rings")

    async def start(self, run: ToolRun) -> Done | Parked:
        assert run.provider is not None
        self._did["start"] += 1
        due = now() + timedelta(seconds=float(run.provider.metadata.annotations[SECONDS]))
        return Parked(ExternalWork(id=due.isoformat()), due, "the timer")

    async def look(self, run: ToolRun, handle: ExternalWork) -> Done | Parked:
        self._did["look"] += 1
        due = datetime.fromisoformat(handle.id)
        return Done("rang") if now() >= due else Parked(handle, due, "the timer")

    async def cancel(self, run: ToolRun, handle: ExternalWork) -> None:
        self.cancelled.set()


def timer(seconds: float) -> Tool:
    return Tool(metadata=meta("timer", **{SECONDS: str(seconds)}), spec=ToolSpec(external=ExternalTool()))


def kinds(did: Counter[str]) -> list[ToolRunner]:
    return [TimerRunner(did), *runners(Functions(()), MCP())]


async def test_a_kind_of_ones_own_is_parked_and_looked_at_when_its_time_has_come() -> None:
    did: Counter[str] = Counter()
    async with asyncio.timeout(30), Store.open(None, clock=now) as store, looping(store, kinds(did)) as loops:
        await store.create(TOOLS, timer(0.3))
        await ask(store, tool="timer")
        parked = await parked_call(store)
        assert parked.status.waiting_on == "the timer"
        run = await ended_run(store)
        assert run.status.output == "rang"
        assert did == {"start": 1, "look": 1}
        assert len(loops.executions) == 0
        told = await store.get(TOOLS, "timer", "default")
        assert (told.status.type, told.status.status_detail) == ("timer", "It rings")


async def test_after_a_restart_it_is_gone_on_with_and_not_started_again(tmp_path: Path) -> None:
    did: Counter[str] = Counter()
    async with asyncio.timeout(30), Store.open(tmp_path / "store.db", clock=now) as store:
        async with looping(store, kinds(did)):
            await store.create(TOOLS, timer(1.0))
            await ask(store, tool="timer")
            await parked_call(store)
        async with looping(store, kinds(did)):
            assert (await ended_run(store)).status.output == "rang"
        assert did["start"] == 1
        assert did["look"] <= 2, "once after the restart, once when it is time"


async def test_deleting_its_call_cancels_what_is_parked() -> None:
    tools = (TimerRunner(Counter()),)
    async with asyncio.timeout(30), Store.open(None, clock=now) as store, looping(store, tools):
        await store.create(TOOLS, timer(3600))
        await ask(store, tool="timer")
        call = await parked_call(store)
        await store.delete(TOOL_CALLS, call.metadata.name, "default")
        await tools[0].cancelled.wait()


async def test_deleting_its_tool_cancels_what_is_parked_and_the_call_is_not_left_waiting_for_it() -> None:
    tools = (TimerRunner(Counter()),)
    async with asyncio.timeout(30), Store.open(None, clock=now) as store, looping(store, tools):
        one = timer(3600)
        one.spec.effect = "NonIdempotent"
        await store.create(TOOLS, one)
        await ask(store, tool="timer")
        await parked_call(store)
        await store.delete(TOOLS, "timer", "default")
        await tools[0].cancelled.wait()
        lost = await call_that(store, "OutcomeUnknown")
        assert 'Tool "timer" was deleted' in lost.status.error
