"""An MCP server over HTTP with every bad habit, in the process of the test: a real one on a socket.

`async with Far() as far`: it keeps what it was sent in `far.heard`, and answers as `far.habit` says.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Message = dict[str, Any]
VERSION = "2025-11-25"
Tool = Callable[[web.Request, Message], Awaitable[web.StreamResponse | Message]]


class Far:
    """`session`: the id that it gives and insists on; None: it has no sessions. `tools`: by name."""

    def __init__(
        self, session: str | None = "s-1", tools: dict[str, Tool] | None = None, *, pages: int = 0
    ) -> None:
        self.session = session
        self.tools = tools or {}
        self.pages = pages
        self.tasks: dict[str, tuple[str, Message]] = {}
        """Of the older dialect: status and result by id; a tool named `task` becomes one."""
        self.heard: list[Message] = []
        self.headers: list[dict[str, str]] = []
        self.gets: list[dict[str, str]] = []
        self.came: asyncio.Queue[str] = asyncio.Queue()
        """The methods that it was asked for, for tests that wait for one."""
        self.streams: list[web.StreamResponse] = []
        self.deleted = 0
        self.capabilities: Message = {"tools": {"listChanged": True}}
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/mcp"

    @property
    def takes_tasks(self) -> bool:
        return "tasks" in self.capabilities

    def count(self, method: str) -> int:
        return sum(message.get("method") == method for message in self.heard)

    async def start(self) -> None:
        """Listens, at the same port as before if it was stopped."""
        app = web.Application()
        app.router.add_post("/mcp", self._post)
        app.router.add_get("/mcp", self._get)
        app.router.add_delete("/mcp", self._delete)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Is away: every connection is closed."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _post(self, request: web.Request) -> web.StreamResponse:
        message: Message = await request.json()
        self.heard.append(message)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        method = message.get("method", "")
        self.came.put_nowait(method)
        if method == "server/discover":
            return web.json_response({"jsonrpc": "2.0", "id": message["id"], "error": NOT_FOUND}, status=400)
        given = request.headers.get("mcp-session-id")
        if method != "initialize" and self.session is not None and given != self.session:
            return web.Response(status=404)
        if "id" not in message or "result" in message or "error" in message:
            return web.Response(status=202)
        return await self._answer(request, message)

    async def _answer(self, request: web.Request, message: Message) -> web.StreamResponse:
        headers = {"mcp-session-id": self.session} if self.session and message["method"] == "initialize" else {}
        match message["method"]:
            case "initialize":
                result: Message = {
                    "protocolVersion": VERSION,
                    "capabilities": self.capabilities,
                    "serverInfo": {"name": "far", "version": "1"},
                }
            case "tools/list":
                result = self._list(message)
            case "tools/call" if message["params"]["name"] == "task":
                self.tasks[f"t-{len(self.tasks) + 1}"] = ("working", text("done far away"))
                result = {"task": self._task(f"t-{len(self.tasks)}")}
            case "tasks/get":
                result = self._task(message["params"]["taskId"])
            case "tasks/result":
                result = self.tasks[message["params"]["taskId"]][1]
            case "tasks/cancel":
                task = message["params"]["taskId"]
                self.tasks[task] = ("cancelled", self.tasks[task][1])
                result = self._task(task)
            case "tools/call":
                made = await self.tools[message["params"]["name"]](request, message)
                if isinstance(made, web.StreamResponse):
                    return made
                result = made
            case _:
                return web.json_response({"jsonrpc": "2.0", "id": message["id"], "error": NOT_FOUND})
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result}, headers=headers)

    def _task(self, task: str) -> Message:
        return {"taskId": task, "status": self.tasks[task][0], "statusMessage": "at it", "pollInterval": 1000}

    def finish(self, task: str) -> None:
        """It is done."""
        self.tasks[task] = ("completed", self.tasks[task][1])

    def _list(self, message: Message) -> Message:
        if not self.pages:
            task = [{**described("task"), "execution": {"taskSupport": "required"}}] if self.takes_tasks else []
            return {"tools": [*task, *(described(name) for name in self.tools)]}
        page = int((message.get("params") or {}).get("cursor") or 0)
        tools = [described(f"tool-{page * 100 + n}") for n in range(100)]
        return {"tools": tools, **({"nextCursor": str(page + 1)} if page + 1 < self.pages else {})}

    async def _get(self, request: web.Request) -> web.StreamResponse:
        self.gets.append({name.lower(): value for name, value in request.headers.items()})
        if self.session is not None and request.headers.get("mcp-session-id") != self.session:
            return web.Response(status=404)
        stream = await opened(request)
        self.streams.append(stream)
        self.came.put_nowait("GET")
        await asyncio.get_running_loop().create_future()
        return stream

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        self.deleted += 1
        return web.Response(status=200)


NOT_FOUND = {"code": -32601, "message": "Method not found"}


def described(name: str) -> Message:
    return {"name": name, "inputSchema": {"type": "object"}}


def text(words: str) -> Message:
    return {"content": [{"type": "text", "text": words}]}


async def opened(request: web.Request) -> web.StreamResponse:
    """A stream of events that has begun."""
    stream = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await stream.prepare(request)
    return stream


async def say(stream: web.StreamResponse, message: Message, event_id: str = "") -> None:
    """One event."""
    head = f"id: {event_id}\n" if event_id else ""
    await stream.write(f"{head}data: {json.dumps({'jsonrpc': '2.0', **message})}\n\n".encode())
