"""How a reply travels: chunks of bytes, what becomes of them on the way, and how the connection ends. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from tests.fuzz.models import anthropic, chat
from tests.fuzz.models.intent import Intent, intend

Wire = Literal["openai", "anthropic"]
End = Literal["clean", "abort", "comments", "silence"]


@dataclass(frozen=True)
class Delivery:
    """One answer, and what is known of it.

    `faithful`: all of the intent arrives unharmed, so the reply must be it. `cut`: its end is missing, so there is
    no reply. Neither: bytes were changed, or the server says something else.
    """

    wire: Wire
    streams: bool
    intent: Intent
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    chunks: tuple[bytes, ...] = ()
    end: End = "clean"
    fault: str = "none"

    @property
    def faithful(self) -> bool:
        return self.fault in ("none", "late")

    @property
    def cut(self) -> bool:
        return self.fault == "cut"


def deliver(seed: int) -> Delivery:
    """The answer of a seed: one in two arrives as it was meant, however strange its form."""
    rng = Random(seed)
    wire: Wire = rng.choice(("openai", "anthropic"))
    streams = rng.random() < 0.6
    intent = intend(rng)
    plain = _streamed(rng, wire, intent) if streams else _whole(rng, wire, intent)
    if rng.random() < 0.5:
        return plain
    return rng.choice(FAULTS)(rng, plain)


def _whole(rng: Random, wire: Wire, intent: Intent) -> Delivery:
    body = (chat if wire == "openai" else anthropic).whole(rng, intent)
    kind = rng.choice(("application/json", "application/json; charset=utf-8", "application/json", "text/plain"))
    asked = kind != "text/plain" and rng.random() < 0.2
    return Delivery(wire, asked, intent, headers=(("content-type", kind),), chunks=_chunks(rng, body))


def _streamed(rng: Random, wire: Wire, intent: Intent) -> Delivery:
    events, complete = (chat if wire == "openai" else anthropic).stream(rng, intent)
    kind = rng.choice(("text/event-stream", "text/event-stream; charset=utf-8", "text/event-stream", ""))
    asked = not kind or rng.random() < 0.9
    body = _body(rng, wire, events)
    plain = Delivery(
        wire, asked, intent, headers=(("content-type", kind),) if kind else (), chunks=_chunks(rng, body)
    )
    if rng.random() < 0.2:
        kept = rng.randrange(complete)
        whole, part = _body(rng, wire, events[:kept]), rng.random() < 0.5
        torn = b"data: " + events[kept][: rng.randrange(len(events[kept]))] if part else b""
        end: End = rng.choice(("clean", "abort", "comments", "silence"))
        return replace(plain, chunks=_chunks(rng, whole + torn), end=end, fault="cut")
    if rng.random() < 0.1:
        return (
            replace(plain, end=rng.choice(("comments", "abort")), fault="late")
            if complete < len(events)
            else plain
        )
    return plain


def _body(rng: Random, wire: Wire, events: list[bytes]) -> bytes:
    line = rng.choice((b"\n", b"\r\n"))
    pieces = []
    for data in events:
        if rng.random() < 0.1:
            pieces.append(rng.choice((b": keep-alive", b"", b"id: 7", b"retry: 10")) + line + line)
        named = wire == "anthropic" and rng.random() < 0.7 and b'"type"' in data
        name = b"event: " + str(json.loads(data)["type"]).encode() + line if named else b""
        bom = BOM if not pieces and rng.random() < 0.05 else b""
        pieces.append(bom + name + rng.choice((b"data: ", b"data:")) + data + line + line)
    return b"".join(pieces)


BOM = b"\xef\xbb\xbf"


def _chunks(rng: Random, body: bytes) -> tuple[bytes, ...]:
    cuts = sorted(rng.randrange(len(body) + 1) for _ in range(rng.choice((0, 0, 1, 3, 9))))
    return tuple(body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b)


def _torn(rng: Random, plain: Delivery) -> Delivery:
    """The connection ends before the last byte of a whole reply, or somewhere in a stream."""
    body = b"".join(plain.chunks)
    end: End = rng.choice(("clean", "abort", "silence"))
    kept = body[: rng.randrange(max(1, len(body) - 1))]
    whole = not any("event-stream" in value for _, value in plain.headers) and body[:1] == b"{"
    return replace(plain, chunks=_chunks(rng, kept), end=end, fault="cut" if whole else "noise")


def _noisy(rng: Random, plain: Delivery) -> Delivery:
    """Bytes that are changed, missing or too many."""
    body = bytearray(b"".join(plain.chunks))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(body) + 1)
        body[at : at + rng.randrange(3)] = rng.choice(
            (b"", bytes([rng.randrange(256)]), b"\\ud83d", b"[" * 2000, b"null")
        )
    return replace(plain, chunks=_chunks(rng, bytes(body)), fault="noise")


def _halved(rng: Random, plain: Delivery) -> Delivery:
    """Half a surrogate where a word was."""
    body = b"".join(plain.chunks).replace(
        b"done", rng.choice((b"\\ud83d", b"\\ude00", b"\\uD83D", b"\xed\xa0\xbd"))
    )
    return replace(plain, chunks=_chunks(rng, body), fault="noise")


ERRORS = (
    {"error": {"message": "no", "type": "server_error", "code": 500}},
    {"error": "no"},
    {"type": "error", "error": {"type": "overloaded_error", "message": "no"}},
    {"object": "error", "message": "no", "code": 503},
    {"error": {"message": None, "code": {"a": 1}}},
    {"choices": [{"error": {"message": "no"}, "finish_reason": "error", "delta": {}, "message": {}}]},
)


def _erring(rng: Random, plain: Delivery) -> Delivery:
    """An error in place of the answer, under some status, or within the stream."""
    error = json.dumps(rng.choice(ERRORS)).encode()
    status = rng.choice((200, 200, 204, 302, 400, 401, 404, 413, 418, 422, 429, 500, 503, 529))
    body = (
        error if rng.random() < 0.7 else rng.choice((b"", b"<html><b>no</b></html>", b"[", b"\xff\xfe", error * 2))
    )
    retry = rng.choice(((), (("retry-after", "3"),), (("retry-after", "soon"),), (("retry-after-ms", "-1"),)))
    if plain.streams and rng.random() < 0.5:
        return replace(plain, chunks=(*plain.chunks[:-1], b"\n\ndata: " + error + b"\n\n"), fault="error")
    headers = (("content-type", rng.choice(("application/json", "text/html"))), *retry)
    return replace(plain, status=status, headers=headers, chunks=_chunks(rng, body), fault="error")


def _repeated(rng: Random, plain: Delivery) -> Delivery:
    """A chunk that comes twice."""
    at = rng.randrange(len(plain.chunks)) if plain.chunks else 0
    return replace(plain, chunks=(*plain.chunks[: at + 1], *plain.chunks[at:]), fault="noise")


FAULTS: tuple[Callable[[Random, Delivery], Delivery], ...] = (_torn, _noisy, _halved, _erring, _repeated)
