"""The model of a world behind real HTTP: the real client, a server that answers as badly as servers do.

In some worlds it stands in for `FaultyModel`. It answers whole or in a stream, is silent, hangs up in the middle
of a reply, sends garbage, and refuses with status and headers. Time stays unreal: the sockets are of this machine.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgspec import convert, json

from kubechain.agents.ports.model import Endpoint, Progress, Reply, ToolOffer
from kubechain.providers.models.router import Models
from kubechain.resources.message import Message, RequestedCall
from tests.chaos.fate import Life
from tests.chaos.model import Asked, Author

_NUMBER = re.compile(r"(?:reply |call-)([0-9]+)")
_REASONS = {200: "OK", 400: "Bad Request", 429: "Too Many Requests", 500: "Internal Server Error"}


class WiredModel:
    """The port `ModelProvider` of one life: the real client, whose calls are watched."""

    def __init__(self, author: Author, life: Life) -> None:
        self._author, self._life, self._models = author, life, Models()

    async def ask(
        self,
        endpoint: Endpoint,
        messages: Sequence[Message],
        tools: Sequence[ToolOffer],
        progress: Progress | None = None,
    ) -> Reply:
        await self._life.cross("ask")
        reply = await self._models.ask(endpoint, messages, tools, progress)
        found = _NUMBER.search(f"{reply.message.content} {[c.id for c in reply.message.tool_calls]}")
        if found is None:
            return reply
        asked = self._author.journal.asked[int(found[1]) - 1]
        if list(map(_plain, asked.given)) != list(map(_plain, messages)):
            raise AssertionError("the wire carried other messages than were sent")
        # The client may give calls other ids; of what was sent the server has seen less; and of a reply that was
        # cut enough may have come through, its price maybe not.
        if asked.ending == "transient":
            asked.usage = reply.usage
        asked.ending, asked.reply, asked.given = "reply", reply, list(messages)
        await self._life.cross("replied")
        return reply

    async def check(self, endpoint: Endpoint) -> str:
        await self._life.cross("check")
        return await self._models.check(endpoint)

    async def close(self) -> None:
        await self._models.close()


def _heard(message: Any) -> Message:
    return Message(
        role=message["role"],
        content=message.get("content"),
        tool_calls=convert(message.get("tool_calls", []), list[RequestedCall]),
        tool_call_id=message.get("tool_call_id", ""),
    )


def _plain(message: Message) -> tuple[str, str, list[str]]:
    return message.role, message.content or "", [c.function.name for c in message.tool_calls]


@asynccontextmanager
async def serving(author: Author) -> AsyncIterator[str]:
    """The server while the context is open: its address, to be followed by `/LIFE/v1`."""
    talks: set[asyncio.Task[None]] = set()

    def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.create_task(_talk(author, reader, writer)))

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def _talk(author: Author, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request on one connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        lengths = [line.partition(":")[2] for line in head if line.lower().startswith("content-length:")]
        body = await reader.readexactly(int(lengths[0])) if lengths else b""
        path = head[0].split()[1]
        if path.endswith("/models"):
            await _check(author, writer)
        else:
            await _answer(author, int(path.split("/")[1]), json.decode(body), writer)
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        return
    finally:
        writer.close()


async def _check(author: Author, writer: asyncio.StreamWriter) -> None:
    author.journal.checks.append(asyncio.get_running_loop().time())
    if author.weather.strikes("model"):
        author.weather.injected("model: check failed")
        writer.write(_response(500, b"<html>away</html>"))
    else:
        writer.write(_response(200, b'{"object": "list", "data": []}'))


async def _answer(author: Author, life: int, request: Any, writer: asyncio.StreamWriter) -> None:
    asked = author.asked(life, [_heard(m) for m in request["messages"]])
    await author.think()
    what = author.trouble()
    asked.ending = "transient"
    match what:
        case "429":
            writer.write(_response(429, b'{"error": {"message": "slow down"}}'))
        case "429 later":
            asked.later = author.later()
            writer.write(_response(429, b"slow down", f"Retry-After: {asked.later:g}"))
        case "500":
            writer.write(_response(author.weather.dice("status").choice((500, 502, 503, 529)), b"<html>"))
        case "timeout":
            await asyncio.sleep(3600)
        case "400":
            asked.ending = "terminal"
            writer.write(_response(400, b'{"error": {"message": "unsupported parameter"}}'))
        case _:
            _say(author, asked, what, writer, streams=bool(request.get("stream")))


def _say(author: Author, asked: Asked, what: str, writer: asyncio.StreamWriter, *, streams: bool) -> None:
    """The reply, or what is left of it."""
    reply = author.reply(asked, empty=what == "empty")
    whole = _streamed(reply) if streams else _response(200, json.encode(_completion(reply)))
    dice = author.weather.dice("cut")
    if what == "cut":
        whole = whole[: dice.randint(1, max(1, len(whole) - 60))]
    elif what == "garbage":
        at = whole.index(b"{") + 1
        whole = whole[:at] + bytes(dice.randrange(256) for _ in range(30)) + whole[at + 30 :]
    if what in ("cut", "garbage"):
        asked.ending, asked.reply = "transient", None
    writer.write(whole)


def _response(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Trouble')}", f"Content-Length: {len(body)}", *headers]
    lines += ["Content-Type: application/json", "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _completion(reply: Reply) -> dict[str, object]:
    return {"choices": [{"message": _message(reply), "finish_reason": reply.finish}], "usage": _usage(reply)}


def _streamed(reply: Reply) -> bytes:
    """Server-sent events: the reply in two pieces, its end, its price."""
    message = _message(reply)
    calls: Any = message.pop("tool_calls", [])
    pieces: list[object] = [
        {"choices": [{"delta": message}]},
        {"choices": [{"delta": {"tool_calls": [{"index": n, **call} for n, call in enumerate(calls)]}}]},
        {"choices": [{"delta": {}, "finish_reason": reply.finish}]},
        {"choices": [], "usage": _usage(reply)},
    ]
    events = b"".join(b"data: " + json.encode(piece) + b"\n\n" for piece in pieces) + b"data: [DONE]\n\n"
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    return head.encode() + events


def _message(reply: Reply) -> dict[str, object]:
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}}
        for c in reply.message.tool_calls
    ]
    made: dict[str, object] = {"role": "assistant", "content": reply.message.content}
    return made | {"tool_calls": calls} if calls else made


def _usage(reply: Reply) -> dict[str, int | None]:
    return {"prompt_tokens": reply.usage.input, "completion_tokens": reply.usage.output}
