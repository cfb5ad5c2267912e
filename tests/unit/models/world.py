"""What model tests speak of: an endpoint from a few words, messages, tools, and a server that answers as told."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web
from msgspec import Raw

from kubechain.agents.ports.model import Endpoint, ToolOffer
from kubechain.resources.llm import LLM
from kubechain.resources.message import FunctionCall, Message, RequestedCall

KEY = "sk-test-0123456789abcdef-0123456789"
HELLO = "Say hello to the world using the echo tool"
ECHO = ToolOffer(
    "simple-echo-tool",
    "Echoes a message back.",
    Raw(b'{"type":"object","properties":{"message":{"type":"string"}},"required":["message"]}'),
)
Answer = web.StreamResponse


def endpoint(
    base_url: str | None = None,
    *,
    provider: str = "openai",
    name: str = "gpt-4o",
    key: str = KEY,
    headers: tuple[tuple[str, str], ...] = (),
    **parameters: Any,
) -> Endpoint:
    """The LLM default/`name` with these parameters (wire names) at this address."""
    spec: dict[str, Any] = {"provider": provider, "parameters": parameters}
    if key:
        spec["apiKeyFrom"] = {"secretKeyRef": {"name": "openai", "key": "OPENAI_API_KEY"}}
    llm = msgspec.convert({"metadata": {"name": name, "namespace": "default"}, "spec": spec}, LLM)
    return Endpoint(llm, api_key=key, headers=headers, base_url=base_url)


def user(text: str) -> Message:
    return Message(role="user", content=text)


def result(id_: str, text: str) -> Message:
    return Message(role="tool", tool_call_id=id_, content=text)


def calls(*wanted: tuple[str, str, str], content: str | None = None) -> Message:
    """An assistant's message that asks for tools: (id, name, arguments)."""
    requested = [RequestedCall(id=i, function=FunctionCall(name=n, arguments=a)) for i, n, a in wanted]
    return Message(role="assistant", content=content, tool_calls=requested)


def completion(message: dict[str, Any], finish: str | None = "stop", **rest: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], **rest}


def sse(*events: Any, done: bool = True) -> web.Response:
    """Events as one stream; a dict becomes JSON, bytes stay what they are."""
    body = b"".join(b"data: " + (e if isinstance(e, bytes) else msgspec.json.encode(e)) + b"\n\n" for e in events)
    return web.Response(body=body + (b"data: [DONE]\n\n" if done else b""), content_type="text/event-stream")


def delta(piece: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": piece, "finish_reason": finish}]}


class Server:
    """`async with Server(answer) as server`: one handler for every path, and what it was sent.

    `answer` is a handler, or the JSON to send with status 200.
    """

    def __init__(self, answer: Callable[[web.Request], Awaitable[Answer]] | dict[str, Any]) -> None:
        self.answer = answer
        self.bodies: list[bytes] = []
        self.heads: list[web.BaseRequest] = []
        self.open = 0
        self.most_open = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def sent(self) -> dict[str, Any]:
        """The last body."""
        body: dict[str, Any] = msgspec.json.decode(self.bodies[-1])
        return body

    async def _handle(self, request: web.Request) -> Answer:
        self.bodies.append(await request.read())
        self.heads.append(request)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if isinstance(self.answer, dict):
                return web.json_response(self.answer)
            return await self.answer(request)
        finally:
            self.open -= 1

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=2**26)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()


async def hang(_: web.Request) -> Answer:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError
