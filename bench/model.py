"""A model server for measurements: no memory of any conversation, and as cheap as Python gets.

Run as a process of its own, `python -m bench.model`; it prints its address as one line of JSON and serves until
its standard input closes, so it cannot outlive who started it. What it answers follows from the request alone:
the model's name says the shape (job.py), the number of tool messages says which turn this is, and the tool that is
called is the first one offered. It counts arrivals per run and turn, so repeated calls are seen from outside.

    POST /v1/chat/completions   a reply, streamed when asked     GET /stats        totals
    POST /v1/messages           the same on Anthropic's wire     GET /times?run=   a run's arrivals: [[n, s], ...]
    GET  /v1/models             an empty list                    GET /calls        [[run, n, asked, replied], ...]
                                                                 POST /reset       forgets the counts
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

from bench import wires
from bench.job import ASKED, shape_of

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


class Call(msgspec.Struct, array_like=True):
    """A call of the model: seconds of the machine's monotonic clock; `replied` is 0 until its reply was sent."""

    run: str
    n: int
    asked: float
    replied: float = 0.0


class Ledger:
    """What arrived: how often each (run, turn) was asked, and when."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.total = 0
        self.times: dict[str, list[tuple[int, float]]] = {}
        self.asked: dict[tuple[str, int], int] = {}
        self.calls: list[Call] = []
        self.waiting = 0
        self.most_waiting = 0

    def note(self, run: str, n: int, at: float) -> Call:
        call = Call(run, n, at)
        self.calls.append(call)
        self.total += 1
        self.times.setdefault(run, []).append((n, at))
        self.asked[run, n] = self.asked.get((run, n), 0) + 1
        return call

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
        call = LEDGER.note(run, n, at)
        tool = request.tools[0].function.name or request.tools[0].name if request.tools else ""
        wire = wires.anthropic if anthropic else wires.chat
        answer = wire(request.model, shape, run, n, tool, stream=request.stream)
        kind = _STREAM if request.stream else _JSON
        if shape.wait:
            LEDGER.waiting += 1
            LEDGER.most_waiting = max(LEDGER.most_waiting, LEDGER.waiting)
            asyncio.get_running_loop().call_later(shape.wait / 1000, self._late, call, kind, answer)
        else:
            self._answer(call, kind, answer)

    def _late(self, call: Call, kind: bytes, answer: bytes) -> None:
        LEDGER.waiting -= 1
        self._answer(call, kind, answer)

    def _answer(self, call: Call, kind: bytes, answer: bytes) -> None:
        if not self.transport.is_closing():
            self._send(kind, answer)
            call.replied = time.perf_counter()

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
        case "/calls":
            return LEDGER.calls
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
