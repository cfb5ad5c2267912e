"""When something is checked, when it is checked again, and when its status is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from msgspec import Raw
from msgspec.structs import replace

from kubechain.agents.ports.tool import ToolError
from kubechain.agents.toolbox import Assessment
from kubechain.controllers.setup.readiness import RELOAD, Found, Readiness, fingerprint, same
from kubechain.errors import Terminal, Transient
from kubechain.resources.kind import Kind
from kubechain.resources.mcpserver import (
    MCP_SERVERS,
    MCPServer,
    MCPServerSpec,
    MCPServerStatus,
    MCPTool,
)
from kubechain.resources.model import ObjectMeta
from kubechain.runtime.api import key_of
from kubechain.runtime.clock import now
from kubechain.runtime.controller import Next
from kubechain.runtime.informer import Informer
from kubechain.runtime.recorder import EventRecorder
from kubechain.runtime.worker import Worker
from tests.unit.runtime.faketime import on_fake_time, settle
from tests.unit.runtime.world import MemoryApi

pytestmark = pytest.mark.timeout(30)
READY = Assessment("Ready", "Connected", "it is there")


def discovered(schema: bytes) -> MCPServerStatus:
    return MCPServerStatus(tools=[MCPTool(name="add", input_schema=Raw(schema))])


def test_json_that_comes_back_with_its_keys_in_another_order_is_nothing_new() -> None:
    ours, theirs = b'{"type":"object","properties":{"a":{}}}', b'{"properties":{"a":{}},"type":"object"}'
    assert same(discovered(theirs), discovered(ours))
    assert not same(discovered(theirs), discovered(b'{"type":"object","properties":{"b":{}}}'))


class Checking:
    """A controller that checks its server outside; `outside` raises while something is wrong there."""

    kind: Kind[MCPServer] = MCP_SERVERS

    def __init__(self, api: MemoryApi, informer: Informer[MCPServer]) -> None:
        self.times: list[float] = []
        self.anew: list[bool] = []
        self.secrets = ""
        self.wrong: Exception | None = None
        self.unreachable = ""
        self._readiness = Readiness(api, informer, now)

    async def reconcile(self, server: MCPServer) -> Next:
        against = fingerprint(server, self.secrets)
        return await self._readiness.check(
            server, server.status, against, self._look(server), unreachable=self.unreachable
        )

    def _look(self, server: MCPServer) -> Callable[[bool], asyncio.Future[Found[MCPServerStatus]]]:
        def look(anew: bool) -> asyncio.Future[Found[MCPServerStatus]]:
            loop = asyncio.get_running_loop()
            self.times.append(round(loop.time() - 1000, 3))
            self.anew.append(anew)
            found: asyncio.Future[Found[MCPServerStatus]] = loop.create_future()
            if self.wrong is not None:
                found.set_exception(self.wrong)
            else:
                found.set_result(Found(READY, server.status))
            return found

        return look

    async def gone(self, last: MCPServer) -> None:
        self._readiness.forget(key_of(last))


class World:
    def __init__(self, api: MemoryApi, controller: Checking, worker: Worker[MCPServer]) -> None:
        self.api, self.controller, self.worker = api, controller, worker

    async def server(self) -> MCPServer:
        return await self.api.get(MCP_SERVERS, "s", "default")

    async def annotate(self, value: str) -> None:
        held = await self.server()
        meta = replace(held.metadata, annotations={RELOAD: value})
        self.api._record("MODIFIED", MCP_SERVERS, replace(held, metadata=meta))
        await settle()


@asynccontextmanager
async def checking(
    wrong: Exception | None = None, unreachable: str = "", api: MemoryApi | None = None
) -> AsyncIterator[World]:
    if api is None:
        api, spec = MemoryApi(), MCPServerSpec(transport="stdio", command="x")
        await api.create(MCP_SERVERS, MCPServer(metadata=ObjectMeta(name="s", namespace="default"), spec=spec))
    informer = Informer(api, MCP_SERVERS)
    controller = Checking(api, informer)
    controller.wrong, controller.unreachable = wrong, unreachable
    events = EventRecorder(api, "test", now)
    worker = Worker(controller, informer, events=events)
    tasks = [asyncio.create_task(part.run()) for part in (informer, events, worker)]
    await settle()
    yield World(api, controller, worker)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@on_fake_time
async def test_what_is_ready_is_checked_once_and_written_once() -> None:
    async with checking() as w:
        await asyncio.sleep(86_400)
        assert w.controller.times == [0]
        assert (await w.server()).status.ready
        assert w.api.version == 2
        assert w.worker.passes == 1


@on_fake_time
async def test_what_an_earlier_process_found_ready_is_checked_once_more_and_not_written() -> None:
    async with checking() as w:
        api = w.api
    async with checking(api=api) as w:
        await asyncio.sleep(3600)
        assert len(w.controller.times) == 1
        assert w.controller.anew == [False]
        assert api.version == 2


@pytest.mark.parametrize(
    "wrong",
    [Terminal("no such program", reason="CommandNotFound"), Transient("died", reason="Died"), ToolError("no")],
)
@on_fake_time
async def test_an_error_heals_within_a_minute_of_its_cause_and_is_written_once_until_then(
    wrong: Exception,
) -> None:
    async with checking(wrong) as w:
        await asyncio.sleep(3600)
        waits = [after - before for before, after in zip(w.controller.times, w.controller.times[1:], strict=False)]
        assert waits == sorted(waits) or max(waits) < 60
        assert 2 <= waits[0] < 3 and 40 < waits[-1] < 60 and len(waits) < 100
        assert w.api.version <= 4, "a status and an Event, and no more of them for each check"
        assert (await w.server()).status.status == "Error"
        w.controller.wrong = None
        await asyncio.sleep(60)
        assert (await w.server()).status.ready
        checks = len(w.controller.times)
        await asyncio.sleep(3600)
        assert len(w.controller.times) == checks


@on_fake_time
async def test_an_error_that_comes_again_is_waited_for_from_the_start() -> None:
    async with checking(Terminal("no", reason="No")) as w:
        await asyncio.sleep(600)
        w.controller.wrong = None
        await asyncio.sleep(60)
        w.controller.wrong = Terminal("no", reason="No")
        await w.annotate("1")
        begun = len(w.controller.times)
        await asyncio.sleep(10)
        assert len(w.controller.times) - begun == 2


@on_fake_time
async def test_a_reload_annotation_has_it_checked_anew_once_for_each_value() -> None:
    async with checking() as w:
        for value in ("2026-01-01", "2026-01-01", "2026-01-02"):
            await w.annotate(value)
        assert len(w.controller.times) == 3
        assert w.controller.anew == [False, True, True]


@on_fake_time
async def test_an_error_whose_cause_is_gone_is_ready_right_after_a_reload() -> None:
    async with checking(Terminal("no", reason="No")) as w:
        await asyncio.sleep(3600)
        w.controller.wrong = None
        await w.annotate("now")
        assert (await w.server()).status.ready


@on_fake_time
async def test_a_secret_in_another_version_has_it_checked_again() -> None:
    async with checking() as w:
        w.controller.secrets = "v2"
        w.worker.wake(key_of(await w.server()))
        await settle()
        w.worker.wake(key_of(await w.server()))
        await settle()
        assert len(w.controller.times) == 2
        assert w.controller.anew == [False, False]


@on_fake_time
async def test_what_cannot_be_reached_is_pending_where_the_kind_says_so() -> None:
    async with checking(Transient("refused", reason="Unreachable"), unreachable="ProviderUnreachable") as w:
        status = (await w.server()).status
        assert (status.status, status.conditions[0].reason) == ("Pending", "ProviderUnreachable")
        w.controller.wrong = None
        await asyncio.sleep(600)
        assert (await w.server()).status.ready


@on_fake_time
async def test_another_object_of_the_same_name_is_checked_for_itself() -> None:
    async with checking() as w:
        old = await w.server()
        await w.api.delete(MCP_SERVERS, "s", "default")
        await settle()
        await w.api.create(MCP_SERVERS, replace(old, metadata=ObjectMeta(name="s", namespace="default")))
        await settle()
        assert len(w.controller.times) == 2
