"""MCP servers as real processes: our sample, and one with every bad habit."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
import yaml

from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.mcp import client as mcp_client
from kubechain.providers.tools.mcp import session as mcp_session
from kubechain.providers.tools.mcp.server import ServerCommand, ToolAnswer, ToolRequest
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.providers.tools.result import MAX_RESULT_BYTES
from tests.unit.tools.processes import ended, heard, pipe

PLAIN = str(Path(__file__).parent / "fixtures" / "plain_server.py")
OWNER = "default/plain"


@pytest.fixture
async def servers() -> AsyncIterator[MCP]:
    sessions = MCP()
    yield sessions
    await sessions.close()


def plain(habit: str = "", **env: str) -> ServerCommand:
    return ServerCommand("python3", ("-I", "-S", PLAIN, habit), tuple(env.items()))


async def call(
    servers: MCP, tool: str, command: ServerCommand | None = None, timeout: float = 20, **arguments: object
) -> str:
    given = json.dumps(arguments).encode()
    answer = await servers.call(OWNER, command or plain(), ToolRequest(tool, given, "uid-1"), timeout)
    assert isinstance(answer, ToolAnswer)
    return answer.text


async def test_the_sample_server_of_the_manifest_works_where_kubechain_is_installed(servers: MCP) -> None:
    folder = Path(__file__).parents[3] / "src" / "kubechain" / "samples" / "manifests"
    spec = yaml.safe_load((folder / "mcp-server.yaml").read_text())["spec"]
    command = ServerCommand(spec["command"], tuple(spec["args"]), ())
    found = await servers.discover(OWNER, command, 60)
    assert (found.server_name, found.server_version) == ("kubechain-sample", "1.0.0")
    assert [(tool.name, tool.effect) for tool in found.tools] == [
        ("add", "ReadOnly"),
        ("current_time", "ReadOnly"),
        ("word_count", "ReadOnly"),
    ]
    assert json.loads(bytes(found.tools[0].input_schema))["required"] == ["a", "b"]
    assert await call(servers, "add", command, a=2, b=40) == "42"
    assert (await call(servers, "current_time", command)).endswith("+00:00")
    assert await call(servers, "word_count", command, text="a b\nc") == "2 lines, 3 words, 5 characters"
    with pytest.raises(ToolError, match="no time zone 'Mars'"):
        await call(servers, "current_time", command, timezone="Mars")
    with pytest.raises(ToolError, match="Unknown tool: nothing"):
        await call(servers, "nothing", command)


async def test_an_older_server_is_understood_and_its_hints_become_effects(servers: MCP) -> None:
    found = await servers.discover(OWNER, plain(), 20)
    assert (found.server_name, found.server_version, found.protocol) == ("plain", "0.9", "2025-11-25")
    assert [(tool.name, tool.description, tool.effect) for tool in found.tools] == [
        ("pid", "Does pid.", "ReadOnly"),
        ("big", "Does big.", "Idempotent"),
        ("meet", "Does meet.", "NonIdempotent"),
    ]


async def test_two_calls_at_the_same_time_overlap_on_one_server(servers: MCP) -> None:
    assert list(await asyncio.gather(call(servers, "meet"), call(servers, "meet"))) == ["met", "met"]


async def test_a_server_sees_its_own_environment_and_nothing_of_ours(
    servers: MCP, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "USER", "SHELL", "TERM", "LOGNAME"):
        monkeypatch.setenv(name, "ours")
    seen = json.loads(await call(servers, "environment", plain(TOKEN="theirs")))
    # The interpreter of the server itself adds LC_CTYPE where no locale is set.
    assert set(seen) - {"LC_CTYPE"} == {"PATH", "HOME", "TOKEN"}
    assert seen["PATH"].split(":")[0] == str(Path(sys.executable).parent)


async def test_the_launcher_adds_nothing_to_the_environment(servers: MCP) -> None:
    show = ServerCommand("sh", ("-c", "tr '\\0' '\\n' < /proc/$$/environ | sort >&2"), (("TOKEN", "t"),))
    with pytest.raises(Transient) as raised:
        await servers.discover(OWNER, show, 20)
    lines = str(raised.value).split("printed last: ")[1].splitlines()
    assert {line.split("=")[0] for line in lines} - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "HOME", "TOKEN"}


async def test_the_idempotency_key_travels_beside_the_arguments(servers: MCP) -> None:
    meta = json.loads(await call(servers, "meta"))
    assert meta["kubechain.humanlayer.dev/idempotency-key"] == "uid-1"


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("structure", '{"a":1}'),
        ("nonsense", "not a list"),
        ("no_number", "hello"),
        ("picture", "look:\n[image image/png, 3 bytes]\ninside\n[resource file:///b: b]"),
    ],
)
async def test_results_that_are_no_text_become_text(servers: MCP, tool: str, text: str) -> None:
    assert await call(servers, tool) == text


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("fail", "no such city"),
        ("leak", r"refused: \[redacted\]"),
        ("nothing", "Unknown tool: nothing"),
        ("unreadable", "the server's answer is not valid JSON"),
    ],
)
async def test_what_a_tool_says_no_with_is_told_to_the_model(servers: MCP, tool: str, text: str) -> None:
    with pytest.raises(ToolError, match=text):
        await call(servers, tool, plain(TOKEN="sk-123456"))


@pytest.mark.parametrize("arguments", [b"{", b"[]", b"1"])
async def test_arguments_that_are_no_object_never_reach_the_server(servers: MCP, arguments: bytes) -> None:
    with pytest.raises(ToolError, match="JSON"):
        await servers.call(OWNER, plain(), ToolRequest("pid", arguments, ""), 20)


async def test_a_result_of_ten_megabytes_is_cut_with_a_line_that_says_so(servers: MCP) -> None:
    text, _, marker = (await call(servers, "big")).rpartition("\n")
    assert len(text) == MAX_RESULT_BYTES and "of 10,000,000 bytes" in marker


async def test_a_server_killed_in_the_middle_of_a_call_costs_that_call_and_the_next_one_starts_it_anew(
    servers: MCP, tmp_path: Path
) -> None:
    place = pipe(tmp_path, "pid")
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(_error(servers, "say_pid_and_hang", pipe=str(place)))
        pid = int(await heard(place))
        os.kill(pid, signal.SIGKILL)
    error = hanging.result()
    assert isinstance(error, Transient) and "default/plain was killed by SIGKILL" in str(error)
    assert int(await call(servers, "pid")) != pid


async def test_a_server_that_died_between_two_calls_costs_nobody_anything(servers: MCP) -> None:
    pid = int(await call(servers, "pid"))
    await killed(pid)
    assert int(await call(servers, "pid")) != pid


async def test_a_server_that_exits_at_once_says_why_without_its_secrets(servers: MCP) -> None:
    with pytest.raises(Transient) as raised:
        await servers.discover(OWNER, plain("dies", TOKEN="sk-123456"), 20)
    assert str(raised.value) == (
        "MCP server default/plain exited with code 3; it printed last: cannot open [redacted]"
    )


async def test_a_program_that_is_not_there_is_named(servers: MCP) -> None:
    with pytest.raises(Terminal, match="no program no-such-program on PATH") as raised:
        await servers.discover(OWNER, ServerCommand("no-such-program", (), ()), 20)
    assert raised.value.reason == "CommandNotFound"


async def test_garbage_between_messages_is_skipped_and_endless_garbage_ends_the_server(servers: MCP) -> None:
    with structlog.testing.capture_logs() as logs:
        assert int(await call(servers, "pid", plain("chatty"))) > 0
    assert "Welcome to plain server!" in [entry["line"] for entry in logs]
    with pytest.raises(Transient, match="more than 1,000 lines that are no MCP messages"):
        await servers.discover(OWNER, ServerCommand("yes", (), ()), 20)
    with pytest.raises(Transient, match="a line of over 64 MiB"):
        await servers.discover(OWNER, plain("endless"), 20)


async def test_a_server_that_never_answers_costs_its_caller_the_deadline_and_others_nothing(servers: MCP) -> None:
    async with asyncio.TaskGroup() as group:
        deaf = group.create_task(_discover_error(servers, "default/deaf", plain("deaf"), 3))
        assert int(await call(servers, "pid")) > 0
        assert not deaf.done()
    error = deaf.result()
    assert isinstance(error, Transient) and "did not start within 3 s" in str(error)
    pid = int(str(error).split("printed last: ")[1])
    await servers.forget("default/deaf")
    await ended(pid)


async def test_a_server_that_hangs_in_a_call_is_found_out_and_replaced(
    servers: MCP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_session, "CHECK_SECONDS", 1.0)
    pid = int(await call(servers, "pid"))
    with pytest.raises(Transient, match=r"did not answer stop within 0\.5 s"):
        await call(servers, "stop", timeout=0.5)
    await ended(pid)
    assert int(await call(servers, "pid")) != pid


async def test_a_slow_tool_on_a_healthy_server_costs_only_its_own_call(servers: MCP, tmp_path: Path) -> None:
    place = pipe(tmp_path, "pid")
    async with asyncio.TaskGroup() as group:
        late = group.create_task(_error(servers, "say_pid_and_hang", timeout=1, pipe=str(place)))
        pid = int(await heard(place))
    assert isinstance(late.result(), Transient)
    assert int(await call(servers, "pid")) == pid


async def test_a_changed_command_replaces_the_old_process(servers: MCP) -> None:
    pid = int(await call(servers, "pid"))
    assert int(await call(servers, "pid", plain(TOKEN="other"))) != pid
    await ended(pid)


async def test_a_server_that_tells_of_changed_tools_is_heard() -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    servers = MCP(told.put_nowait)
    try:
        await servers.discover(OWNER, plain(), 20)
        assert await call(servers, "change") == "changed"
        async with asyncio.timeout(20):
            assert await told.get() == OWNER
    finally:
        await servers.close()


async def test_forget_ends_the_process_and_a_later_call_starts_another(servers: MCP) -> None:
    pid = int(await call(servers, "pid"))
    await servers.forget(OWNER)
    await ended(pid)
    await servers.forget(OWNER)
    assert int(await call(servers, "pid")) != pid


async def test_close_ends_servers_and_those_who_wait(servers: MCP, tmp_path: Path) -> None:
    place = pipe(tmp_path, "pid")
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_error(servers, "say_pid_and_hang", pipe=str(place)))
        pid = int(await heard(place))
        await servers.close()
    assert isinstance(waiting.result(), Transient)
    await ended(pid)


async def test_a_server_that_ends_at_an_unknown_first_question_is_started_once_more_and_asked_plainly(
    servers: MCP,
) -> None:
    found = await servers.discover(OWNER, plain("strict"), 20)
    assert len(found.tools) == 3
    pid = int(await call(servers, "pid", plain("strict")))
    await killed(pid)
    assert int(await call(servers, "pid", plain("strict"))) != pid


async def test_a_server_that_is_silent_until_it_is_asked_plainly_is_asked_plainly_soon(
    servers: MCP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_client, "PROBE_SECONDS", 0.2)
    assert len((await servers.discover(OWNER, plain("silent"), 20)).tools) == 3


@pytest.mark.parametrize(
    ("habit", "names"),
    [
        ("round", ["pid", "big", "meet"]),
        ("counting", ["pid", "big", "meet"]),
        ("pages", ["pid", "big", "meet"]),
        ("toolless", []),
    ],
)
async def test_every_page_is_read_and_a_list_without_end_ends(servers: MCP, habit: str, names: list[str]) -> None:
    found = await servers.discover(OWNER, plain(habit), 20)
    assert [tool.name for tool in found.tools] == names
    assert not found.left_out


async def test_two_thousand_tools_in_pages_of_ten_are_all_found(servers: MCP) -> None:
    found = await servers.discover(OWNER, plain("many"), 60)
    assert [tool.name for tool in found.tools] == [f"t{n}" for n in range(2_000)]


async def test_a_bad_tool_is_left_out_by_name_and_costs_no_other(servers: MCP) -> None:
    found = await servers.discover(OWNER, plain("odd"), 20)
    assert [tool.name for tool in found.tools] == ["pid", "big", "meet"]
    assert [(one.name, one.why) for one in found.left_out] == [
        ("pid", "it is listed twice"),
        ('{"name":3}', "it has no name"),
        ("bad", "its inputSchema is not a JSON object"),
    ]


async def test_a_server_that_refuses_to_list_its_tools_is_waited_for(servers: MCP) -> None:
    with pytest.raises(Transient, match="default/plain does not list its tools: no database") as raised:
        await servers.discover(OWNER, plain("refusing"), 20)
    assert raised.value.reason == "ListFailed"


@pytest.mark.parametrize("code", [-32000, -32001, -32601, 0, 7])
async def test_an_error_of_the_servers_own_is_the_tools_answer_whatever_its_code(servers: MCP, code: int) -> None:
    pid = await call(servers, "pid")
    with pytest.raises(ToolError, match="broken pipe to the moon"):
        await call(servers, "own_error", code=code)
    assert await call(servers, "pid") == pid


async def test_noise_has_no_bound_over_a_lifetime(servers: MCP) -> None:
    pid = await call(servers, "pid")
    for _ in range(5):
        assert await call(servers, "noise") == "quiet"
    assert await call(servers, "pid") == pid


async def test_a_storm_of_changes_is_told_once_at_a_time() -> None:
    told: list[str] = []
    servers = MCP(told.append)
    try:
        await servers.discover(OWNER, plain(), 20)
        assert await call(servers, "storm") == "changed"
        assert await call(servers, "pid")
        assert told == [OWNER]
    finally:
        await servers.close()


async def test_a_server_that_hangs_gets_no_new_calls_and_keeps_those_it_has(
    servers: MCP, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mcp_session, "CHECK_SECONDS", 0.2)
    pid = int(await call(servers, "pid"))
    place = pipe(tmp_path, "pid")
    async with asyncio.TaskGroup() as group:
        neighbour = group.create_task(call(servers, "meet"))
        late = group.create_task(_error(servers, "say_pid_and_hang", timeout=2, pipe=str(place)))
        await heard(place)
        os.kill(pid, signal.SIGSTOP)
        assert "did not answer" in str(await late)
        found = pid
        async with asyncio.timeout(20):
            while found == pid:
                with contextlib.suppress(Transient):
                    found = int(await call(servers, "pid", timeout=1))
        assert not neighbour.done()
        neighbour.cancel()
    await ended(pid)


async def test_what_a_server_printed_is_never_shown_to_another_run(servers: MCP, tmp_path: Path) -> None:
    await call(servers, "print")
    place = pipe(tmp_path, "pid")
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(_error(servers, "say_pid_and_hang", pipe=str(place)))
        os.kill(int(await heard(place)), signal.SIGKILL)
    assert "was killed by SIGKILL" in str(hanging.result()) and "what one run asked" not in str(hanging.result())
    assert "what one run asked" not in str(await _error(servers, "say_pid_and_hang", timeout=0.2))


async def test_a_value_from_a_secret_is_shown_in_no_result_and_any_other_is(servers: MCP) -> None:
    command = ServerCommand(
        "python3", ("-I", "-S", PLAIN), (("CITY", "Amsterdam"), ("TOKEN", "sk-123456")), frozenset({"TOKEN"})
    )
    assert await call(servers, "show", command) == "[redacted] Amsterdam"


async def test_what_a_server_has_started_ends_with_it(servers: MCP) -> None:
    child = int(await call(servers, "child"))
    await servers.forget(OWNER)
    await ended(child)


@pytest.mark.parametrize("program", ["./server", "bin/server"])
async def test_a_relative_command_says_where_programs_start(
    servers: MCP, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / program).write_text("#!/bin/sh\n")
    (tmp_path / program).chmod(0o755)
    with pytest.raises(Terminal, match="started in the folder /"):
        await servers.discover(OWNER, ServerCommand(program, (), ()), 20)


PROGRAM = """
import asyncio, sys
from kubechain.providers.tools.mcp.server import ServerCommand
from kubechain.providers.tools.mcp.sessions import MCP
async def main():
    command = ServerCommand("python3", ("-I", "-S", sys.argv[1], "deaf", sys.argv[2]), ())
    await MCP().discover("default/deaf", command, 60)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a server ends with its input, once it looks")
async def test_a_server_that_does_not_look_at_its_input_still_dies_with_the_program(tmp_path: Path) -> None:
    place = pipe(tmp_path, "pid")
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, PLAIN, str(place))
    pid = int(await heard(place))
    program.kill()
    await program.wait()
    await ended(pid)


async def test_the_sdk_is_not_loaded_before_a_server_is_needed() -> None:
    code = "import sys; from kubechain.providers.tools import mcp, function; print('mcp' in sys.modules)"
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert (await program.communicate())[0] == b"False\n"


async def killed(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    await ended(pid)
    for _ in range(10):  # the end of the pipe has come by now, and takes a few turns of the loop to be noticed
        await asyncio.sleep(0)


async def _error(servers: MCP, tool: str, timeout: float = 20, **arguments: str) -> Exception:
    with pytest.raises(Exception) as raised:
        await call(servers, tool, None, timeout, **arguments)
    return raised.value


async def _discover_error(servers: MCP, owner: str, command: ServerCommand, timeout: float) -> Exception:
    with pytest.raises(Exception) as raised:
        await servers.discover(owner, command, timeout)
    return raised.value
