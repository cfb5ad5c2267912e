"""How the process of an MCP server lives: started, left alone, ended, started again."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.mcp import restarts
from kubechain.providers.tools.mcp.restarts import LONGEST, STEADY, Restarts, delay
from kubechain.providers.tools.mcp.server import ServerCommand, ToolAnswer, ToolRequest
from kubechain.providers.tools.mcp.sessions import MCP
from tests.unit.tools.processes import ended, heard, pipe, said
from tests.unit.tools.test_mcp import OWNER, call, killed, plain


class Told:
    """What the sessions report."""

    def __init__(self) -> None:
        self.owners: asyncio.Queue[str] = asyncio.Queue()

    async def once(self) -> None:
        async with asyncio.timeout(30):
            assert await self.owners.get() == OWNER


@pytest.fixture
async def told() -> Told:
    return Told()


@pytest.fixture
async def servers(told: Told) -> AsyncIterator[MCP]:
    sessions = MCP(told.owners.put_nowait)
    yield sessions
    await sessions.close()


async def test_a_server_that_nobody_uses_is_stopped_and_the_next_call_starts_it(servers: MCP, told: Told) -> None:
    command = replace(plain(), idle_seconds=0.2)
    names = [t.name for t in (await servers.discover(OWNER, command, 20)).tools]
    pid = int(await call(servers, "pid", command))
    await told.once()
    await ended(pid)
    found = await servers.discover(OWNER, command, 20)
    assert found.idle and [t.name for t in found.tools] == names and not found.restarts
    assert int(await call(servers, "pid", command)) != pid
    await told.once()


async def test_a_server_is_not_idle_while_a_call_runs(servers: MCP, told: Told) -> None:
    command = replace(plain(), idle_seconds=0.2)
    await servers.discover(OWNER, command, 20)
    waiting = asyncio.create_task(call(servers, "meet", command))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(told.owners.get(), 1)
    assert await call(servers, "meet", command) == await waiting == "met"
    await told.once()


async def test_a_changed_command_starts_a_server_that_was_stopped_while_idle(servers: MCP, told: Told) -> None:
    await servers.discover(OWNER, replace(plain(), idle_seconds=0.1), 20)
    await told.once()
    assert not (await servers.discover(OWNER, plain(), 20)).idle


async def test_a_server_that_dies_is_reported_and_started_again_with_what_it_printed_last(
    servers: MCP, told: Told
) -> None:
    await servers.discover(OWNER, plain(), 20)
    pid = int(await call(servers, "pid"))
    await call(servers, "print")
    os.kill(pid, signal.SIGKILL)
    await told.once()
    found = await servers.discover(OWNER, plain(), 20)
    assert (found.restarts, found.last_end) == (1, "was killed by SIGKILL; it printed last: what one run asked")
    assert int(await call(servers, "pid")) != pid


async def test_a_server_that_keeps_dying_is_started_less_and_less_often_and_says_so(
    servers: MCP, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "FIRST", 3.0)
    for _ in range(2):
        os.kill(int(await call(servers, "pid")), signal.SIGKILL)
        await told.once()  # its start
        await told.once()  # its end
    with pytest.raises(Transient, match=r"keeps ending \(2 times\) and is started again in [23] s: it was killed"):
        await servers.discover(OWNER, plain(), 20)
    with pytest.raises(Transient, match=r"did not start within 0\.1 s: it keeps ending .* was killed by SIGKILL"):
        await call(servers, "pid", timeout=0.1)
    await told.once()  # it is started by itself
    found = await servers.discover(OWNER, plain(), 20)
    assert found.restarts == 2


def test_the_wait_before_a_start_doubles_and_a_server_that_ran_for_a_while_begins_anew() -> None:
    assert [delay(n) for n in (1, 2, 3, 4)] == [0.0, 1.0, 2.0, 4.0] and delay(500) == LONGEST
    now = 100.0
    ends = Restarts(lambda: now)
    for _ in range(4):
        ends.ended("exited", "exited", 1.0)
    assert (ends.count, ends.wait) == (4, 4.0)
    ends.ended("exited", "exited", STEADY)
    assert (ends.count, ends.wait) == (1, 0.0)


async def test_two_processes_of_one_server_never_run_at_the_same_time(servers: MCP, told: Told) -> None:
    command = replace(plain("clings"), idle_seconds=0.1)
    await servers.discover(OWNER, command, 20)
    pid = int(await call(servers, "pid", command))
    await told.once()
    assert int(await call(servers, "pid", command)) != pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_server_that_takes_long_to_start_is_waited_for_and_ready_for_the_next_try(
    servers: MCP, told: Told, tmp_path: Path
) -> None:
    gate = pipe(tmp_path, "gate")
    slow = ServerCommand("python3", ("-I", "-S", plain().args[2], "gated", str(gate)), ())
    with pytest.raises(Transient, match=r"did not start within 0\.2 s"):
        await servers.discover(OWNER, slow, 0.2)
    await said(gate)
    await told.once()
    assert len((await servers.discover(OWNER, slow, 20)).tools) == 3


async def test_a_server_that_never_starts_is_killed_when_its_time_is_over(servers: MCP, tmp_path: Path) -> None:
    place = pipe(tmp_path, "pid")
    deaf = ServerCommand("python3", ("-I", "-S", plain().args[2], "deaf", str(place)), (), start_seconds=1.0)
    asked = asyncio.create_task(servers.discover(OWNER, deaf, 20))
    pid = int(await heard(place))
    with pytest.raises(
        Transient, match=r"did not finish its handshake within 1 s and was killed; see spec\.start"
    ):
        await asked
    await ended(pid)


async def test_a_server_is_started_in_its_folder_and_its_program_may_be_there(
    servers: MCP, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "server"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\npwd >&2\nexec {sys.executable} -I -S {plain().args[2]} "$@"\n')
    program.chmod(0o755)
    command = ServerCommand("bin/server", ("dies",), (), folder=str(tmp_path))
    with pytest.raises(Transient) as raised:
        await servers.discover(OWNER, command, 20)
    assert str(tmp_path) in str(raised.value).split("printed last: ")[1]
    with pytest.raises(Terminal, match=f"no program bin/other in {tmp_path}") as absent:
        await servers.discover(OWNER, replace(command, command="bin/other"), 20)
    assert absent.value.reason == "CommandNotFound"
    with pytest.raises(Terminal, match=r"no folder /no/such; create it or correct spec\.workingDir") as nowhere:
        await servers.discover(OWNER, replace(command, folder="/no/such"), 20)
    assert nowhere.value.reason == "FolderNotFound"


@pytest.mark.slow
async def test_two_hundred_restarts_of_a_server_leave_no_process_and_no_descriptor(
    servers: MCP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "FIRST", 0.0)

    def left() -> tuple[int, int]:
        gc.collect()  # what earlier tests have left behind may close its descriptors at any time
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return len(list(Path("/proc/self/fd").iterdir())), len(children)

    async def lives(owner: str, times: int) -> None:
        for _ in range(times):
            answer = await servers.call(owner, plain(), ToolRequest("pid", b"{}", ""), 30)
            assert isinstance(answer, ToolAnswer)
            pid = int(answer.text)
            await killed(pid)
        await servers.forget(owner)

    await lives("default/first", 1)
    before = left()
    await asyncio.gather(*(lives(f"default/{n}", 50) for n in range(4)))
    assert not [now for now, then in zip(left(), before, strict=True) if now > then]


async def test_answers_out_of_order_reach_those_who_asked(servers: MCP) -> None:
    waiting = asyncio.create_task(call(servers, "wait"))
    assert await call(servers, "release") == "released"
    assert await waiting == "waited"


async def test_a_flood_on_stderr_delays_no_call_and_fills_no_log(servers: MCP) -> None:
    with structlog.testing.capture_logs() as logs:
        flood = asyncio.create_task(call(servers, "shout", lines=50_000))
        pids = {await call(servers, "pid") for _ in range(20)}
        assert await flood == "quiet"
    assert len(pids) == 1
    assert len(logs) < 50_000 / 10
    found = await servers.discover(OWNER, plain(), 20)
    assert not found.restarts
