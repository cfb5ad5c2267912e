"""Rows of `bench.tools`: a bare request, and the same through the runners of the kinds `http` and `openapi`.

The server is a process of its own: `python -m bench.tools_http` serves until it is terminated. The runner alone is
measured: no API, no ToolCall.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import msgspec
from aiohttp import web

from kubechain.agents.ports.tool import ToolRun, ToolRunner
from kubechain.providers.tools.http.runner import HTTPRunner
from kubechain.providers.tools.openapi.runner import OpenAPIRunner
from kubechain.resources.agent import ToolOrigin
from kubechain.resources.model import ObjectMeta
from kubechain.resources.tool import OfferedTool, Tool, ToolSpec
from kubechain.resources.toolcall import ToolCall, ToolCallSpec
from kubechain.resources.toolkind import CONFIG, CONFIG_VERSION

Call = Callable[[], Awaitable[None]]
ANSWER = {"items": [{"id": n, "name": f"item {n}"} for n in range(20)]}
SECRET = {"secretKeyRef": {"name": "s", "key": "k"}}


@contextmanager
def served() -> Iterator[str]:
    """The address of a small JSON server in a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "bench.tools_http"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def http() -> AsyncIterator[tuple[Call, Call]]:
    """A GET by hand, and by a Tool of the kind `http` with a bearer token."""
    with served() as url:
        address = f"{url}/items/{{id}}"
        request = {"method": "GET", "url": address, "auth": {"bearer": SECRET}, "allowPrivate": True}
        run = run_of({"http": request}, "", '{"id": 7, "q": "x"}', {"auth.bearer": "t0ken-t0ken"})
        async with pair(url, HTTPRunner(), run) as both:
            yield both


@asynccontextmanager
async def openapi() -> AsyncIterator[tuple[Call, Call]]:
    """A GET by hand, and by an operation of a document of 50, with an API key."""
    from tests.parts.shop import document

    with served() as url:
        source = {"configMapKeyRef": {"name": "c", "key": "k"}}
        spec = {"documentFrom": source, "server": url, "auth": {"key": SECRET}, "allowPrivate": True}
        env = {CONFIG: json.dumps(document(1)), CONFIG_VERSION: "1", "auth.key.value": "k-k-k-k-k"}
        run, runner = run_of({"openapi": spec}, "listProducts", '{"limit": 7, "tag": ["x"]}', env), OpenAPIRunner()
        assert isinstance(run.provider, Tool)
        found = await runner.describe(run.provider, env)
        run.provider.status.tools = [OfferedTool(name=t.name, effect=t.effect) for t in found.tools]
        async with pair(url, runner, run) as both:
            yield both


@asynccontextmanager
async def pair(url: str, runner: ToolRunner, run: ToolRun) -> AsyncIterator[tuple[Call, Call]]:
    """The bare call, and the call through the runner."""
    async with aiohttp.ClientSession(headers={"authorization": "Bearer t0ken-t0ken"}) as session:

        async def bare() -> None:
            async with session.get(f"{url}/items/7?q=x") as answer:
                await answer.read()

        async def ours() -> None:
            await runner.start(run)

        yield bare, ours
    await runner.close()


def run_of(spec: Mapping[str, object], tool: str, arguments: str, env: Mapping[str, str]) -> ToolRun:
    """One call of a Tool with that spec."""
    parsed = msgspec.json.decode(json.dumps(spec), type=ToolSpec)
    made = Tool(metadata=ObjectMeta(name="t", namespace="default"), spec=parsed)
    origin = ToolOrigin(kind="Tool", name="t", tool=tool)
    called = ToolCallSpec(tool_call_id="1", task_run="r", tool="t", arguments=arguments, origin=origin)
    call = ToolCall(metadata=ObjectMeta(name="c", namespace="default", uid="uid"), spec=called)
    return ToolRun(call, made, 30.0, env)


async def serve() -> None:
    """Until terminated."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(ANSWER)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(serve())
