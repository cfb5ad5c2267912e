"""The scripted model: a model server that speaks the chat-completions wire over real HTTP, and follows a script.

The demo, `kubechain up --model scripted` and tests start it. It keeps nothing that answers depend on, listens on
loopback unless told otherwise, takes any key and never calls anybody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from kubechain.providers.models.scripted.dialogue import ChatRequest, Dialogue
from kubechain.providers.models.scripted.script import (
    OBLIGING,
    Script,
    ScriptedCall,
    ScriptedError,
    ScriptedReply,
    ScriptedUsage,
    decide,
)
from kubechain.resources.json import JsonObject, JsonValue

JOURNAL = 1000
"""How many requests `ScriptedModel.requests` remembers."""
CREATED = 1_700_000_000
_DECODER = msgspec.json.Decoder(ChatRequest)


class ScriptedModel:
    """`async with ScriptedModel() as model:` answers at `model.base_url`. `delay` is seconds before each answer;
    `requests` are the bodies of the last JOURNAL requests. Port 0 is a free port."""

    def __init__(
        self, script: Script = OBLIGING, host: str = "127.0.0.1", port: int = 0, delay: float = 0.0
    ) -> None:
        self.script = script
        self.host = host
        self.port = port
        self.delay = delay
        self.requests: deque[JsonObject] = deque(maxlen=JOURNAL)
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """The root for `spec.parameters.baseURL`, once the server is started."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/v1"

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_post("/v1/chat/completions", self._complete)
        application.router.add_get("/v1/models", _models)
        application.router.add_route("*", "/{path:.*}", _nothing_here)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self.port = runner.addresses[0][1]
        self._runner = runner
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _complete(self, http: web.Request) -> web.StreamResponse:
        body = await http.read()
        try:
            request = _DECODER.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _refusal(ScriptedError(status=400, message=str(error), type="invalid_request_error"))
        self.requests.append(msgspec.json.decode(body))
        reply = decide(self.script, request)
        if reply is None:
            missing = "No rule of the script matches this request."
            return _refusal(
                ScriptedError(status=404, message=missing, type="invalid_request_error", code="no_rule")
            )
        if wait := self.delay + reply.delay:
            await asyncio.sleep(wait)
        if reply.error is not None:
            return _refusal(reply.error)
        if request.stream:
            return await _stream(http, request, reply)
        return _json(_completion(request, reply))


def _json(value: JsonValue, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _refusal(error: ScriptedError) -> web.Response:
    said: JsonObject = {"message": error.message, "type": error.type, "param": None, "code": error.code}
    response = _json({"error": said}, error.status)
    if error.retry_after is not None:
        response.headers["Retry-After"] = f"{error.retry_after:g}"
    return response


async def _models(_: web.Request) -> web.Response:
    return _json({"object": "list", "data": []})  # it answers as whatever model is asked for


async def _nothing_here(http: web.Request) -> web.Response:
    message = f"The scripted model has nothing at {http.method} {http.path}."
    return _refusal(ScriptedError(status=404, message=message, type="invalid_request_error", code="not_found"))


def _calls(request: ChatRequest, reply: ScriptedReply) -> list[JsonObject]:
    """Ids are counted through the conversation, so that the same request always gets the same ones."""
    calls: list[JsonObject] = []
    for number, call in enumerate(reply.tool_calls, Dialogue(request).calls_before + 1):
        function: JsonObject = {"name": call.name, "arguments": _arguments(call)}
        calls.append({"id": f"call_{number:02d}", "type": "function", "function": function})
    return calls


def _arguments(call: ScriptedCall) -> str:
    given = call.arguments
    return given if isinstance(given, str) else msgspec.json.encode(given).decode()


def _usage(request: ChatRequest, reply: ScriptedReply) -> JsonObject:
    """As scripted, else about four letters a token."""
    written = len(reply.content or "") + sum(len(str(call.arguments)) for call in reply.tool_calls)
    usage = reply.usage or ScriptedUsage(input=Dialogue(request).length // 4 + 1, output=written // 4 + 1)
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


def _finish(reply: ScriptedReply) -> str:
    return reply.finish or ("tool_calls" if reply.tool_calls else "stop")


def _envelope(request: ChatRequest, kind: str, choices: list[JsonValue]) -> JsonObject:
    return {
        "id": f"chatcmpl-scripted-{len(request.messages)}",
        "object": kind,
        "created": CREATED,
        "model": request.model,
        "choices": choices,
    }


def _completion(request: ChatRequest, reply: ScriptedReply) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": reply.content}
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = list(_calls(request, reply))
    choice: JsonObject = {"index": 0, "message": message, "finish_reason": _finish(reply)}
    return {**_envelope(request, "chat.completion", [choice]), "usage": _usage(request, reply)}


async def _stream(http: web.Request, request: ChatRequest, reply: ScriptedReply) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(http)
    for delta in _deltas(request, reply):
        choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": None}
        await _send(response, _envelope(request, "chat.completion.chunk", [choice]))
    last: JsonObject = {"index": 0, "delta": {}, "finish_reason": _finish(reply)}
    await _send(response, _envelope(request, "chat.completion.chunk", [last]))
    if request.stream_options is not None and request.stream_options.include_usage:
        usage: JsonObject = {"usage": _usage(request, reply)}
        await _send(response, {**_envelope(request, "chat.completion.chunk", []), **usage})
    await response.write(b"data: [DONE]\n\n")
    return response


async def _send(response: web.StreamResponse, event: JsonObject) -> None:
    await response.write(b"data: " + msgspec.json.encode(event) + b"\n\n")


def _deltas(request: ChatRequest, reply: ScriptedReply) -> Iterator[JsonObject]:
    """The role, the text in pieces of 16 characters, then each call's name and its arguments in halves."""
    yield {"role": "assistant", "content": ""}
    if reply.reasoning is not None:
        yield {"reasoning_content": reply.reasoning}
    text = reply.content or ""
    for start in range(0, len(text), 16):
        yield {"content": text[start : start + 16]}
    for index, call in enumerate(_calls(request, reply)):
        arguments = _arguments(reply.tool_calls[index])
        half = len(arguments) // 2
        named: JsonObject = {"name": reply.tool_calls[index].name, "arguments": ""}
        yield {"tool_calls": [{**call, "index": index, "function": named}]}
        for part in (arguments[:half], arguments[half:]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
