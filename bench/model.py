"""A model server for measurements: the chat-completions wire, no memory of any conversation, as cheap as Python gets.

Run as a process of its own, `python -m bench.model`; it prints its address as one line of JSON and serves until
its standard input closes, so it cannot outlive who started it. What it answers follows from the request alone:
the model's name says the shape (job.py), the number of tool messages says which turn this is, and the tool that is
called is the first one offered. It counts arrivals per run and turn, so repeated calls are seen from outside.

    POST /v1/chat/completions   a reply, streamed when asked     GET /stats        totals
    POST /v1/messages           the same on Anthropic's wire     GET /times?run=   arrivals of one run: [[n, s], ...]
    GET  /v1/models             an empty list                    POST /reset       forgets the counts
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import httptools
import msgspec
import uvloop

from bench.job import ASKED, Shape, shape_of

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
_JSON = b"application/json"
_STREAM = b"text/event-stream"
_encode = msgspec.json.encode


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = msgspec.Raw(b"null")


class _Function(msgspec.Struct, frozen=True):
    name: str = ""


class _Offer(msgspec.Struct):
    function: _Function = _Function()
    name: str = ""


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    tools: list[_Offer] = []
    stream: bool = False


_read = msgspec.json.Decoder(_Request).decode


class Ledger:
    """What arrived: how often each (run, turn) was asked, and when."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.total = 0
        self.times: dict[str, list[tuple[int, float]]] = {}
        self.asked: dict[tuple[str, int], int] = {}
        self.waiting = 0
        self.most_waiting = 0

    def note(self, run: str, n: int, at: float) -> None:
        self.total += 1
        self.times.setdefault(run, []).append((n, at))
        self.asked[run, n] = self.asked.get((run, n), 0) + 1

    def stats(self) -> dict[str, int]:
        """Totals; `repeated` are the calls beyond the first of each (run, turn)."""
        return {
            "total": self.total,
            "distinct": len(self.asked),
            "repeated": self.total - len(self.asked),
            "runs": len(self.times),
            "waiting": self.waiting,
            "mostWaiting": self.most_waiting,
        }


LEDGER = Ledger()


def _turn(request: _Request) -> tuple[str, int]:
    """The run's name and the number of tool results it has, on either wire."""
    run, results = "", 0
    for message in request.messages:
        if message.role == "tool":
            results += 1
        elif message.role == "user":
            raw = bytes(message.content)
            if b'"tool_result"' in raw:
                results += raw.count(b'"tool_result"')
            elif not run:
                content = msgspec.json.decode(raw)
                text = content if isinstance(content, str) else content[0]["text"]
                run = text.partition(ASKED)[2].strip()
    return run, results


def _reply(request: _Request, shape: Shape, run: str, n: int) -> dict[str, Any]:
    if n >= shape.turns - 1:
        return {"role": "assistant", "content": f"done after {n} results"}
    arguments = _encode({"run": run, "n": n, "size": shape.size}).decode()
    function = {"name": request.tools[0].function.name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": f"call_{n}", "type": "function", "function": function}],
    }


_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def _whole(request: _Request, message: dict[str, Any]) -> bytes:
    finish = "tool_calls" if "tool_calls" in message else "stop"
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return _encode(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 0,
            "model": request.model,
            "choices": [choice],
            "usage": _USAGE,
        }
    )


def _streamed(request: _Request, message: dict[str, Any]) -> bytes:
    """The reply in pieces as providers send them: text by the word, arguments by eight characters."""
    pieces: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    finish = "stop"
    if calls := message.get("tool_calls"):
        finish, call = "tool_calls", calls[0]
        text = call["function"]["arguments"]
        start = {**call, "index": 0, "function": {"name": call["function"]["name"], "arguments": ""}}
        pieces.append({"tool_calls": [start]})
        pieces += [
            {"tool_calls": [{"index": 0, "function": {"arguments": text[i : i + 8]}}]}
            for i in range(0, len(text), 8)
        ]
    else:
        pieces += [{"content": word + " "} for word in message["content"].split()]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": request.model}
    chunks = [{**head, "choices": [{"index": 0, "delta": piece, "finish_reason": None}]} for piece in pieces]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    chunks.append({**head, "choices": [], "usage": _USAGE})
    return b"".join(b"data: " + _encode(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def _anthropic(request: _Request, shape: Shape, run: str, n: int) -> bytes:
    block: dict[str, Any] = {"type": "text", "text": f"done after {n} results"}
    if n < shape.turns - 1:
        given = {"run": run, "n": n, "size": shape.size}
        block = {"type": "tool_use", "id": f"call_{n}", "name": request.tools[0].name, "input": given}
    return _encode(
        {
            "id": "m", "type": "message", "role": "assistant", "model": request.model, "content": [block],
            "stop_reason": "end_turn" if block["type"] == "text" else "tool_use", "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 5},
        }
    )  # fmt: skip


class Connection(asyncio.Protocol):
    """One client; requests on it are answered in turn."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []
        self.url = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        body, url = b"".join(self.body), self.url
        self.body, self.url = [], b""
        if url.startswith((b"/v1/chat/", b"/v1/messages")):
            self._ask(body, anthropic=url.startswith(b"/v1/messages"))
        else:
            self._send(_JSON, _encode(_look(url.decode())))

    def _ask(self, body: bytes, *, anthropic: bool) -> None:
        at = time.perf_counter()
        request = _read(body)
        run, n = _turn(request)
        shape = shape_of(request.model)
        LEDGER.note(run, n, at)
        kind = _JSON
        if anthropic:
            answer = _anthropic(request, shape, run, n)
        elif request.stream:
            kind, answer = _STREAM, _streamed(request, _reply(request, shape, run, n))
        else:
            answer = _whole(request, _reply(request, shape, run, n))
        if shape.wait:
            LEDGER.waiting += 1
            LEDGER.most_waiting = max(LEDGER.most_waiting, LEDGER.waiting)
            asyncio.get_running_loop().call_later(shape.wait / 1000, self._late, kind, answer)
        else:
            self._send(kind, answer)

    def _late(self, kind: bytes, answer: bytes) -> None:
        LEDGER.waiting -= 1
        self._send(kind, answer)

    def _send(self, kind: bytes, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(_HEAD % (kind, len(answer)) + answer)


def _look(url: str) -> Any:
    parts = urlsplit(url)
    match parts.path:
        case "/v1/models":
            return {"object": "list", "data": []}
        case "/stats":
            return LEDGER.stats()
        case "/times":
            return LEDGER.times.get(parse_qs(parts.query).get("run", [""])[0], [])
        case "/reset":
            LEDGER.clear()
            return {}
    return {"error": f"no {parts.path} here; see the docstring of bench/model.py"}


async def serve(ready: Callable[[str], None]) -> None:
    """Serves on a free port of 127.0.0.1 until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
    ready(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    stdin = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    await stdin.read()
    server.close()


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(lambda url: print(_encode({"url": url}).decode(), flush=True)))


if __name__ == "__main__":
    main()
