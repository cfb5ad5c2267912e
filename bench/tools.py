"""What a call of a tool costs over a bare call of the same thing: `python -m bench.tools [NAME...]`.

A row calls the same server by hand and through KubeChain's runner of that kind of tool, in turns, and prints how
long both take, the difference, the most that is accepted for it, and the CPU time of this process in a call. Times
are those that a tenth of the calls stay under: what a call costs, and not what else the machine does. Exits 1 when
a difference is larger. A kind of tool adds its row to ROWS.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from msgspec import Struct

from kubechain.agents.ports.tool import ToolRun
from kubechain.providers.tools.mcp.runner import MCPRunner
from kubechain.providers.tools.mcp.sessions import MCP
from kubechain.resources.agent import ToolOrigin
from kubechain.resources.mcpserver import MCPServer, MCPServerSpec
from kubechain.resources.model import ObjectMeta
from kubechain.resources.toolcall import ToolCall, ToolCallSpec

Call = Callable[[], Awaitable[None]]
CALLS = 300
WARM = 20
ARGUMENTS = {"a": 2, "b": 40}
ABOUT: dict[str, Any] = {
    "protocolVersion": "2026-07-28",
    "clientInfo": {"name": "bench", "version": "1"},
    "clientCapabilities": {},
}


class Figure(Struct, frozen=True):
    """Milliseconds of a call: by hand, through KubeChain, the most that the difference may be, CPU of ours."""

    bare: float
    ours: float
    most: float
    cpu: float


class BarePipe:
    """The sample MCP server, spoken to by hand: one line there, one line back."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._number = 0

    @classmethod
    async def open(cls) -> BarePipe:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kubechain.samples.mcp_server",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        bare = cls(process)
        info = {"name": "bench", "version": "1"}
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}
        await bare.ask("initialize", hello)
        bare.tell({"method": "notifications/initialized"})
        return bare

    def tell(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdout is not None
        self._number += 1
        self.tell({"id": self._number, "method": method, "params": params})
        answer: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return answer

    async def call(self) -> None:
        answer = await self.ask("tools/call", {"name": "add", "arguments": ARGUMENTS})
        assert answer["result"]["content"][0]["text"] == "42"

    async def close(self) -> None:
        self._process.terminate()
        await self._process.wait()


async def mcp_stdio() -> Figure:
    """A call of an MCP server over stdio: the runner and its session, against the pipe alone."""
    server = MCPServer(
        metadata=ObjectMeta(name="bench", namespace="default"),
        spec=MCPServerSpec(transport="stdio", command=sys.executable, args=["-m", "kubechain.samples.mcp_server"]),
    )
    origin = ToolOrigin(kind="MCPServer", name="bench", tool="add")
    spec = ToolCallSpec(
        tool_call_id="c", task_run="r", tool="bench__add", arguments=json.dumps(ARGUMENTS), origin=origin
    )
    run = ToolRun(ToolCall(metadata=ObjectMeta(name="c", uid="u"), spec=spec), server, 60.0)
    runner, bare = MCPRunner(MCP()), await BarePipe.open()

    async def ours() -> None:
        assert (await runner.start(run)).text == "42"

    try:
        return await compared(bare.call, ours, most=3.0)
    finally:
        await bare.close()
        await runner.close()


class BareHTTP:
    """The same server over HTTP, spoken to by hand: one POST, and what it answers."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{port}/mcp"
        self._client = aiohttp.ClientSession()

    @classmethod
    async def open(cls) -> BareHTTP:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kubechain.samples.mcp_server", str(port), stdout=asyncio.subprocess.DEVNULL
        )
        bare = cls(process, port)
        async with asyncio.timeout(60):
            while not await bare.answers():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return bare

    async def answers(self) -> bool:
        try:
            await self.call()
        except aiohttp.ClientError:
            return False
        return True

    async def call(self) -> None:
        about = {f"io.modelcontextprotocol/{key}": value for key, value in ABOUT.items()}
        params = {"name": "add", "arguments": ARGUMENTS, "_meta": about}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": ABOUT["protocolVersion"],
            "mcp-method": "tools/call",
            "mcp-name": "add",
        }
        async with self._client.post(self.url, json=message, headers=headers) as answer:
            assert '"text":"42"' in (await answer.text()).replace(" ", "")

    async def close(self) -> None:
        await self._client.close()
        self._process.terminate()
        await self._process.wait()


async def mcp_http() -> Figure:
    """A call of an MCP server over streamable HTTP: the runner and its session, against one POST."""
    bare = await BareHTTP.open()
    server = MCPServer(
        metadata=ObjectMeta(name="bench", namespace="default"),
        spec=MCPServerSpec(transport="http", url=bare.url, allow_private=True),
    )
    origin = ToolOrigin(kind="MCPServer", name="bench", tool="add")
    spec = ToolCallSpec(
        tool_call_id="c", task_run="r", tool="bench__add", arguments=json.dumps(ARGUMENTS), origin=origin
    )
    run = ToolRun(ToolCall(metadata=ObjectMeta(name="c", uid="u"), spec=spec), server, 60.0)
    runner = MCPRunner(MCP())

    async def ours() -> None:
        assert (await runner.start(run)).text == "42"

    try:
        return await compared(bare.call, ours, most=3.0)
    finally:
        await runner.close()
        await bare.close()


async def http() -> Figure:
    """A Tool of the kind `http`, against the request alone."""
    from bench.tools_http import http

    async with http() as (bare, ours):
        return await compared(bare, ours, most=1.5)


async def openapi() -> Figure:
    """An operation of an OpenAPI document, against the request alone."""
    from bench.tools_http import openapi

    async with openapi() as (bare, ours):
        return await compared(bare, ours, most=1.5)


async def container() -> Figure:
    """A container of podman."""
    from bench.container import container as measured  # needs podman, which the other rows do not

    return await measured()


async def compared(bare: Call, ours: Call, most: float, calls: int = CALLS, warm: int = WARM) -> Figure:
    """Both, called in turns, so that a busy machine is busy for both."""
    times: tuple[list[float], list[float]] = ([], [])
    cpu = 0.0
    for number in range(warm + calls):
        for call, kept in zip((bare, ours), times, strict=True):
            begun, used = time.perf_counter(), time.process_time()
            await call()
            if number >= warm:
                kept.append((time.perf_counter() - begun) * 1000)
                cpu += (time.process_time() - used) * 1000 if call is ours else 0.0
    first, second = (statistics.quantiles(each, n=10)[0] for each in times)
    return Figure(first, second, most, cpu / calls)


ROWS: Mapping[str, Callable[[], Awaitable[Figure]]] = {
    "mcp-stdio": mcp_stdio,
    "mcp-http": mcp_http,
    "http": http,
    "openapi": openapi,
    "container": container,
}


def main(names: list[str]) -> int:
    """Prints the rows of these names, or all."""
    print(f"{'tool':<14}{'bare ms':>10}{'ours ms':>10}{'over ms':>10}{'at most':>10}{'cpu ms':>10}")
    worst = 0
    for name in names or ROWS:
        figure = asyncio.run(_awaited(ROWS[name]))
        over = figure.ours - figure.bare
        worst |= over > figure.most
        print(
            f"{name:<14}{figure.bare:>10.2f}{figure.ours:>10.2f}{over:>10.2f}{figure.most:>10.1f}{figure.cpu:>10.2f}"
        )
    return int(worst)


async def _awaited(row: Callable[[], Awaitable[Figure]]) -> Figure:
    return await row()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
