"""MCP servers over HTTP, on real sockets: one with every bad habit, and those that the official SDK makes."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from kubechain.agents.ports.tool import ToolError
from kubechain.errors import Terminal, Transient
from kubechain.providers.tools.mcp.server import InputRequired, ServerAddress, ToolAnswer, ToolRequest
from kubechain.providers.tools.mcp.sessions import MCP
from tests.parts.process import Process, accepts, free_ports
from tests.unit.tools.far import Far, Message, opened, say, text

OWNER = "default/far"
SDK_SERVER = Path(__file__).parent / "fixtures" / "sdk_server.py"


@pytest.fixture
async def servers() -> AsyncIterator[MCP]:
    sessions = MCP()
    yield sessions
    await sessions.close()


def at(far: Far, **more: object) -> ServerAddress:
    return ServerAddress("http", far.url, allow_private=True, **more)  # type: ignore[arg-type]


async def call(servers: MCP, far: Far, tool: str, timeout: float = 20, **arguments: object) -> str:
    request = ToolRequest(tool, json.dumps(arguments).encode(), "uid-1")
    answer = await servers.call(OWNER, at(far), request, timeout)
    assert isinstance(answer, ToolAnswer)
    return answer.text


async def echo(_: web.Request, message: Message) -> Message:
    return text(message["params"]["arguments"].get("text", ""))


async def until(far: Far, method: str) -> None:
    """Waits until the server was asked for this."""
    async with asyncio.timeout(20):
        while await far.came.get() != method:
            pass


async def test_a_server_that_answers_with_json_is_discovered_and_called(servers: MCP) -> None:
    async with Far(tools={"echo": echo}) as far:
        found = await servers.discover(OWNER, at(far), 20)
        assert (found.server_name, found.protocol, [tool.name for tool in found.tools]) == (
            "far",
            "2025-11-25",
            ["echo"],
        )
        assert await call(servers, far, "echo", text="hello") == "hello"
    called = far.headers[-1]
    assert (called["mcp-session-id"], called["mcp-protocol-version"]) == ("s-1", "2025-11-25")
    assert far.count("initialize") == 1


async def test_two_thousand_tools_in_pages_are_all_found(servers: MCP) -> None:
    async with Far(pages=20) as far:
        found = await servers.discover(OWNER, at(far), 30)
    assert len(found.tools) == 2000
    assert far.count("tools/list") == 20


async def test_a_server_that_forgot_the_session_is_greeted_again_and_the_call_is_sent_once_more(
    servers: MCP,
) -> None:
    """With 404 the server says that it has not looked at the request."""
    done: list[str] = []

    async def send(_: web.Request, message: Message) -> Message:
        done.append(message["params"]["arguments"]["text"])
        return text("sent")

    async with Far(tools={"send": send}) as far:
        await servers.discover(OWNER, at(far), 20)
        far.session = "s-2"
        assert await call(servers, far, "send", text="once") == "sent"
    assert done == ["once"]
    assert far.count("initialize") == 2


async def test_a_call_whose_stream_breaks_is_not_sent_again(servers: MCP) -> None:
    async def breaks(request: web.Request, message: Message) -> web.StreamResponse:
        stream = await opened(request)
        assert request.transport is not None
        request.transport.close()
        return stream

    async with Far(tools={"breaks": breaks}) as far:
        with pytest.raises(Transient, match="before its answer was complete") as raised:
            await call(servers, far, "breaks")
        assert raised.value.reason == "Interrupted"
        assert far.count("tools/call") == 1


async def test_a_stream_with_ids_is_resumed_where_it_broke(servers: MCP) -> None:
    async def resumes(request: web.Request, message: Message) -> web.StreamResponse:
        stream = await opened(request)
        await stream.write(b"id: e-1\nretry: 10\ndata:\n\n")
        far.late = message["id"]  # type: ignore[attr-defined]
        return stream

    class Resuming(Far):
        async def _get(self, request: web.Request) -> web.StreamResponse:
            if request.headers.get("last-event-id") != "e-1":
                return web.Response(status=405)
            stream = await opened(request)
            await say(stream, {"id": self.late, "result": text("late")})  # type: ignore[attr-defined]
            return stream

    async with Resuming(tools={"resumes": resumes}) as far:
        assert await call(servers, far, "resumes") == "late"
        assert far.count("tools/call") == 1


async def test_progress_of_a_call_is_told_in_a_few_words(servers: MCP) -> None:
    async def works(request: web.Request, message: Message) -> web.StreamResponse:
        stream = await opened(request)
        token = message["params"]["_meta"]["progressToken"]
        for step in (1, 2):
            params = {"progressToken": token, "progress": step, "total": 2, "message": "copying"}
            await say(stream, {"method": "notifications/progress", "params": params})
        await say(stream, {"id": message["id"], "result": text("done")})
        return stream

    told: list[str] = []
    async with Far(tools={"works": works}) as far:
        await servers.call(OWNER, at(far), ToolRequest("works", b"{}", "", told.append), 20)
    assert told == ["1 of 2: copying", "2 of 2: copying"]


async def test_a_call_that_nobody_waits_for_is_cancelled_at_the_server(servers: MCP) -> None:
    async def hangs(request: web.Request, message: Message) -> web.StreamResponse:
        stream = await opened(request)
        await asyncio.get_running_loop().create_future()
        return stream

    async with Far(tools={"hangs": hangs, "echo": echo}) as far:
        calling = asyncio.create_task(call(servers, far, "hangs"))
        await until(far, "tools/call")
        calling.cancel()
        await until(far, "notifications/cancelled")
        number = next(m["id"] for m in far.heard if m.get("method") == "tools/call")
        assert far.heard[-1]["params"]["requestId"] == number
        assert await call(servers, far, "echo", text="others go on") == "others go on"


async def test_a_late_answer_is_a_timeout_and_others_do_not_notice(servers: MCP) -> None:
    async def hangs(request: web.Request, message: Message) -> Message:
        await asyncio.get_running_loop().create_future()
        return {}

    async with Far(tools={"hangs": hangs, "echo": echo}) as far:
        await servers.discover(OWNER, at(far), 20)
        late = asyncio.create_task(call(servers, far, "hangs", timeout=1))
        assert await call(servers, far, "echo", text="hello") == "hello"
        with pytest.raises(Transient, match="did not answer hangs within 1 s") as raised:
            await late
        assert raised.value.reason == "Timeout"


async def test_answers_out_of_order_reach_those_who_asked(servers: MCP) -> None:
    second = asyncio.Event()

    async def first(_: web.Request, message: Message) -> Message:
        await second.wait()
        return text("first")

    async def last(_: web.Request, message: Message) -> Message:
        second.set()
        return text("last")

    async with Far(tools={"first": first, "last": last}) as far:
        answers = await asyncio.gather(call(servers, far, "first"), call(servers, far, "last"))
    assert list(answers) == ["first", "last"]


async def test_a_server_that_is_away_is_unreachable_and_back_when_it_is_back(servers: MCP) -> None:
    async with Far(tools={"echo": echo}) as far:
        assert await call(servers, far, "echo", text="here") == "here"
        await far.stop()
        with pytest.raises(Transient, match="connection refused") as raised:
            await call(servers, far, "echo", text="away")
        assert raised.value.reason == "Unreachable"
        far.session = "s-2"
        await far.start()
        assert await call(servers, far, "echo", text="back") == "back"


async def test_a_change_of_tools_is_told_over_the_stream_that_is_kept_open(servers: MCP) -> None:
    changed = asyncio.Event()
    servers.on_change = lambda owner: changed.set()
    async with Far(tools={"echo": echo}) as far:
        await servers.discover(OWNER, at(far), 20)
        await until(far, "GET")
        await say(far.streams[0], {"method": "notifications/tools/list_changed"})
        await asyncio.wait_for(changed.wait(), 20)


async def test_a_lost_server_is_looked_at_anew_and_listened_to_again_once_it_answers(servers: MCP) -> None:
    changed: asyncio.Queue[str] = asyncio.Queue()
    servers.on_change = changed.put_nowait
    async with Far(tools={"echo": echo}) as far:
        await servers.discover(OWNER, at(far), 20)
        await until(far, "GET")
        await far.stop()
        assert await asyncio.wait_for(changed.get(), 20) == OWNER
        with pytest.raises(Transient, match="cannot be reached"):
            await servers.discover(OWNER, at(far), 20)
        await far.start()
        await servers.discover(OWNER, at(far), 20)
        await until(far, "GET")


async def test_the_session_is_ended_at_the_server(servers: MCP) -> None:
    async with Far(tools={"echo": echo}) as far:
        await servers.discover(OWNER, at(far), 20)
        await servers.forget(OWNER)
        assert far.deleted == 1


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, Terminal, "set spec.auth or spec.headers"),
        (403, Terminal, "check what its credentials allow"),
        (404, Transient, "404 Not Found; check spec.url and spec.transport"),
        (503, Transient, "503 Service Unavailable"),
    ],
)
async def test_a_refusal_names_the_server_and_what_to_do(
    servers: MCP, status: int, error: type[Exception], words: str
) -> None:
    class Refusing(Far):
        async def _post(self, request: web.Request) -> web.StreamResponse:
            return web.Response(status=status)

    async with Refusing() as far:
        with pytest.raises(error, match=words) as raised:
            await servers.discover(OWNER, at(far), 20)
        assert str(raised.value).startswith(f"MCP server {OWNER}: ")


async def test_a_private_address_is_refused_unless_it_is_allowed(servers: MCP) -> None:
    async with Far(tools={"echo": echo}) as far:
        with pytest.raises(Terminal, match=r"spec\.allowPrivate: true"):
            await servers.discover(OWNER, ServerAddress("http", far.url), 20)
    assert far.heard == []


async def test_no_value_of_a_secret_is_in_a_result_or_an_error(servers: MCP) -> None:
    async def tells(request: web.Request, message: Message) -> Message:
        said = request.headers["x-key"]
        return {**text(f"the key is {said}"), "isError": message["params"]["arguments"]["fails"]}

    async with Far(tools={"tells": tells}) as far:
        target = at(far, headers=(("x-key", "hidden-value"),), secret=("hidden-value",))
        answer = await servers.call(OWNER, target, ToolRequest("tells", b'{"fails":false}', ""), 20)
        assert answer == ToolAnswer("the key is [redacted]")
        with pytest.raises(ToolError, match=r"the key is \[redacted\]"):
            await servers.call(OWNER, target, ToolRequest("tells", b'{"fails":true}', ""), 20)
        assert "hidden-value" not in repr(target)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "path", "protocol"),
    [("http", "/mcp", "2026-07-28"), ("stateless", "/mcp", "2026-07-28"), ("sse", "/sse", "2025-11-25")],
)
async def test_servers_of_the_official_sdk_are_understood(
    servers: MCP, tmp_path: Path, kind: str, path: str, protocol: str
) -> None:
    (port,) = free_ports(1)
    argv: list[str | Path] = [sys.executable, SDK_SERVER, str(port), tmp_path / "journal", kind]
    process = await Process.start("an MCP server", argv, tmp_path / "log")
    try:
        await process.ready(lambda: accepts(port))
        transport = "sse" if kind == "sse" else "http"
        target = ServerAddress(transport, f"http://127.0.0.1:{port}{path}", allow_private=True)  # type: ignore[arg-type]
        found = await servers.discover(OWNER, target, 30)
        assert (found.server_name, found.protocol) == ("far", protocol)
        answer = await servers.call(OWNER, target, ToolRequest("add", b'{"a":1,"b":2}', ""), 30)
        assert answer == ToolAnswer("3")
        if protocol == "2026-07-28":
            asked = await servers.call(OWNER, target, ToolRequest("order", b'{"order":"tea"}', ""), 30)
            assert isinstance(asked, InputRequired)
            assert asked.state and "How many of tea?" in json.dumps(asked.asks)
        told: list[str] = []
        steps = ToolRequest("steps", b'{"count":2,"seconds":0}', "", told.append)
        assert await servers.call(OWNER, target, steps, 30) == ToolAnswer("all steps")
        assert told[:1] == ["1 of 2: step 1"] or kind == "stateless"
    finally:
        await process.stop()
