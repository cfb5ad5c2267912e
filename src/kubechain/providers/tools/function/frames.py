"""What the program and a function worker say to each other: JSON in frames of a 4-byte big-endian length.

Both ends call it; the frames have a socket of their own, so nothing a function prints can get between them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH = 4


class Inspect(Struct, tag=True, frozen=True):
    """Asks for a function's signature."""

    id: int
    entrypoint: str


class Call(Struct, tag=True, frozen=True):
    """Asks for a function's result; `arguments` is a JSON document, `hidden` names variables nobody may see."""

    id: int
    entrypoint: str
    arguments: str
    idempotency_key: str = ""
    hidden: frozenset[str] = frozenset()


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
    """There is no such function, or none that can be a tool; `reason` is a CamelCase word, `stale` as above."""

    id: int
    reason: str
    message: str
    stale: bool = False


class Printed(Struct, tag=True, frozen=True):
    """A line that was printed for a request that is being answered."""

    id: int
    line: str


Reply = Described | Returned | Failed | Unusable | Printed

_requests = msgspec.json.Decoder(Request)
_replies = msgspec.json.Decoder(Reply)


def frame(message: Request | Reply) -> bytes:
    """A message as it goes over the socket."""
    body = msgspec.json.encode(message)
    return len(body).to_bytes(_LENGTH) + body


def read_request(connection: socket.socket) -> Request | None:
    """The next request, once it is there, and not a byte more; None at the end."""
    try:
        body = _exactly(connection, int.from_bytes(_exactly(connection, _LENGTH)))
    except ConnectionError:
        return None
    request: Request = _requests.decode(body)
    return request


def _exactly(connection: socket.socket, size: int) -> bytearray:
    """So many bytes. Raises ConnectionError where the other end is closed before."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        if not (count := connection.recv_into(view)):
            raise ConnectionResetError
        view = view[count:]
    return data


class Replies(asyncio.Protocol):
    """The program's end: hands every reply to `on_reply`; `ended` is set when there will be no more."""

    def __init__(self, on_reply: Callable[[Reply], None]) -> None:
        self.ended = asyncio.Event()
        self._on_reply = on_reply
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        begin = 0
        while len(data) - begin >= _LENGTH:
            end = begin + _LENGTH + int.from_bytes(data[begin : begin + _LENGTH])
            if end - begin > MAX_FRAME_BYTES:
                self._transport.close()
                return
            if end > len(data):
                break
            try:
                reply = _replies.decode(memoryview(data)[begin + _LENGTH : end])
            except msgspec.DecodeError:
                self._transport.close()
                return
            self._on_reply(reply)
            begin = end
        self._rest = data[begin:]

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()
