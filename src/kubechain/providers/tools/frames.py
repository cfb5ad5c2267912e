"""What the program and a function worker say to each other: JSON in frames of a 4-byte big-endian length.

Both ends call it; the frames have a socket of their own, so nothing a function prints can get between them.
"""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import Raw, Struct

MAX_FRAME_BYTES = 64 * 1024 * 1024


class Inspect(Struct, tag=True, frozen=True):
    """Asks for a function's signature."""

    id: int
    entrypoint: str


class Call(Struct, tag=True, frozen=True):
    """Asks for a function's result; `arguments` is a JSON document."""

    id: int
    entrypoint: str
    arguments: str
    idempotency_key: str = ""


class Cancel(Struct, tag=True, frozen=True):
    """Says that nobody waits for this call any more."""

    id: int


Request = Inspect | Call | Cancel


class Described(Struct, tag=True, frozen=True):
    """A function's signature. `stale`: its files have changed on disk since this worker loaded them."""

    id: int
    description: str
    parameters: Raw
    stale: bool = False


class Returned(Struct, tag=True, frozen=True):
    """A function's result as text."""

    id: int
    text: str


class Failed(Struct, tag=True, frozen=True):
    """What a function raised, or why its arguments do not fit."""

    id: int
    message: str


class Unusable(Struct, tag=True, frozen=True):
    """There is no such function, or none that can be a tool; `reason` is a CamelCase word."""

    id: int
    reason: str
    message: str


Reply = Described | Returned | Failed | Unusable

_requests = msgspec.json.Decoder(Request)
_replies = msgspec.json.Decoder(Reply)


def frame(message: Request | Reply) -> bytes:
    """A message as it goes over the socket."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(4) + body


async def read_request(stream: asyncio.StreamReader) -> Request | None:
    """The next request, or None at the end."""
    body = await _body(stream)
    return None if body is None else _requests.decode(body)


async def read_reply(stream: asyncio.StreamReader) -> Reply | None:
    """The next reply, or None at the end. Raises msgspec.DecodeError on anything that is not one."""
    body = await _body(stream)
    return None if body is None else _replies.decode(body)


async def _body(stream: asyncio.StreamReader) -> bytes | None:
    try:
        length = int.from_bytes(await stream.readexactly(4))
        if length > MAX_FRAME_BYTES:
            return None
        return await stream.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
